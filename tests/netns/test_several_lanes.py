"""Several lanes for a direction: flows keep their order, whatever the threads."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kubespan import fastpath
from tests.netns.lab import KeyPair, Laboratory, Tunnel, eventually
from tests.netns.namespace import SO_RCVBUFFORCE
from tests.netns.test_handshake import forbid_session, handshake
from tests.netns.topology import Pair, two_hosts
from tests.netns.traffic import iperf3
from tests.peers import Program

pytestmark = [
    pytest.mark.netns,
    pytest.mark.native,
    pytest.mark.skipif(not fastpath.NATIVE, reason="the native module is not in use"),
]

FLOWS, ROUNDS = 48, 60
FAMILIES = pytest.mark.parametrize("inner", [4, 6], ids=["ipv4", "ipv6"])


@pytest.fixture(params=["1", "2", "6", "16"], ids=lambda count: f"{count} threads")
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("KUBESPAN_THREADS", request.param)
    return int(request.param)


@pytest.fixture
def pair(lab: Laboratory, program: Program, threads: int) -> Pair:
    assert threads
    return crowded(two_hosts(lab, program, program))


def crowded(pair: Pair) -> Pair:
    """Both are up and know somebody else too, so that peers have queues of their own."""
    for tunnel in (pair.left, pair.right):
        tunnel.peer(KeyPair.generate().public)
    pair.up()
    pair.ping()
    return pair


@contextmanager
def flows(near: Tunnel, far: Tunnel, inner: int) -> Iterator[list[socket.socket]]:
    """Sockets that send a flow each to one at the far end, which is the last of them."""
    family = socket.AF_INET6 if inner == 6 else socket.AF_INET
    address = far.inner6 if inner == 6 else far.inner4
    with ExitStack() as stack:
        receiver = stack.enter_context(far.namespace.socket(family, socket.SOCK_DGRAM))
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        receiver.settimeout(5)
        receiver.bind((address, 0))
        senders = []
        for _ in range(FLOWS):
            one = stack.enter_context(near.namespace.socket(family, socket.SOCK_DGRAM))
            one.connect(receiver.getsockname())
            senders.append(one)
        yield [*senders, receiver]


def send_rounds(senders: list[socket.socket]) -> None:
    for number in range(ROUNDS):
        for sender in senders:
            sender.send(number.to_bytes(4, "big") + bytes(number * 20))
        time.sleep(0.002)


def assert_order(receiver: socket.socket) -> None:
    """All of every flow, in the order in which it was sent."""
    arrived: dict[tuple[str, int], list[int]] = {}
    for _ in range(FLOWS * ROUNDS):
        data, sender = receiver.recvfrom(2048)
        arrived.setdefault(sender[:2], []).append(int.from_bytes(data[:4], "big"))
    assert len(arrived) == FLOWS
    assert all(numbers == list(range(ROUNDS)) for numbers in arrived.values())


def drops(tunnel: Tunnel) -> dict[str, str]:
    lines = (line.partition("=") for line in tunnel.ask("get=1\n\n").splitlines())
    return {name: value for name, _, value in lines if name.startswith("kubespan_drop")}


@FAMILIES
def test_flows_arrive_whole_and_in_order_under_new_keys(pair: Pair, inner: int) -> None:
    """Three times while they last the session is replaced; both ends answer all the while."""
    left, right = pair.left, pair.right
    with flows(left, right, inner) as (*senders, receiver):
        for _ in range(3):
            send_rounds(senders)
            assert_order(receiver)
            before = handshake(left)
            forbid_session(left)
            left.namespace.ping(right.inner4)
            eventually("a handshake", lambda: handshake(left) != before)  # noqa: B023
    assert "kubespan_drop_replayed" not in drops(right) | drops(left)


@pytest.mark.usefixtures("threads")
def test_streams_both_ways_between_many_lanes(pair: Pair) -> None:
    """Eight TCP streams each way: every one moves, and no packet is taken for a replay."""
    options = ("--bidir", "-P", "8", "-t", "2")
    end = iperf3(pair.left.namespace, pair.right.namespace, pair.right.inner4, *options)
    assert all(stream["receiver"]["bytes"] for stream in end["streams"])
    pair.transfer()


@pytest.mark.interop
def test_with_wireguard_go(
    lab: Laboratory, program: Program, reference: Program, threads: int
) -> None:
    """It opens what several lanes seal, and several lanes open what it seals."""
    assert threads
    pair = crowded(two_hosts(lab, program, reference))
    for near, far in ((pair.left, pair.right), (pair.right, pair.left)):
        with flows(near, far, 4) as (*senders, receiver):
            send_rounds(senders)
            assert_order(receiver)
    pair.transfer()


def test_as_many_threads_run_as_were_asked_for(pair: Pair, threads: int) -> None:
    lanes = [line for line in pair.left.ask("get=1\n\n").splitlines() if "_alive_ns=" in line]
    assert len(lanes) == threads


def test_the_interface_goes_and_comes_and_ends_with_its_lanes(pair: Pair) -> None:
    """Down and up again, another port, and deleted at last: every thread leaves."""
    pair.left.down()
    pair.left.up()
    eventually("it listens", pair.left.listens)
    pair.left.set("listen-port", "1003")
    pair.left.namespace.ping(pair.right.inner4)
    pair.left.delete()
    eventually("the daemon leaves", lambda: not pair.left.is_running())
