"""Handshakes with wireguard-go and among ourselves: roles, preshared keys, new session keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.netns.capture import INITIATION, RESPONSE, Capture
from tests.netns.lab import KeyPair, Laboratory, Tunnel, eventually
from tests.netns.topology import Pair, two_hosts
from tests.netns.traffic import burst_udp, echo_udp, iperf3, udp_pair
from tests.peers import Program

pytestmark = pytest.mark.netns

FAMILIES = pytest.mark.parametrize("outer", [4, 6], ids=["outer-ipv4", "outer-ipv6"])
REKEY_AFTER_TIME = 120.0


@pytest.fixture(params=["we-initiate", "we-respond"])
def mixed(
    request: pytest.FixtureRequest, lab: Laboratory, program: Program, reference: Program
) -> Pair:
    """One end is under test, the other wireguard-go; left is the one that begins."""
    programs = (program, reference)
    if request.param == "we-respond":
        programs = (reference, program)
    return two_hosts(lab, *programs)


# ---------------------------------------------------------------- with wireguard-go


@pytest.mark.interop
@pytest.mark.parametrize("mtu", [1280, 1420, 8920])
def test_every_kind_of_traffic_with_wireguard_go(mixed: Pair, mtu: int) -> None:
    """Left speaks first; then ping, TCP and UDP of both families both ways."""
    for tunnel in (mixed.left, mixed.right):
        tunnel.namespace.ip("link", "set", "wire0", "mtu", str(mtu + 80))
    mixed.up(mtu)
    mixed.left.namespace.ping(mixed.right.inner4)
    assert_roles(mixed)
    mixed.ping(count=10)
    mixed.transfer()
    for near, far in ((mixed.left, mixed.right), (mixed.right, mixed.left)):
        for address in (far.inner4, far.inner6):
            echo_udp(near.namespace, far.namespace, address, 0, 1, mtu - 49, mtu - 28, 20000)
            burst_udp(near.namespace, far.namespace, address)


def assert_roles(pair: Pair) -> None:
    """The one that began has received a response, and the other an initiation."""
    received, sent = pair.left.transfer(pair.right.keys.public)
    assert received in {92 + 128, 92 + 128 + 32}
    assert sent in {148 + 128, 148 + 128 + 32}


@pytest.mark.interop
def test_parallel_streams_with_wireguard_go(mixed: Pair) -> None:
    """Four TCP streams each way at once; every one of them moves."""
    mixed.up()
    options = ("--bidir", "-P", "4", "-t", "2")
    end = iperf3(mixed.left.namespace, mixed.right.namespace, mixed.right.inner4, *options)
    streams = [stream["receiver"]["bytes"] for stream in end["streams"]]
    assert len(streams) == 8
    assert all(streams), streams


@pytest.mark.interop
def test_a_preshared_key_with_wireguard_go(mixed: Pair) -> None:
    """The same one on both ends: traffic. Another one from the next handshake on: none."""
    left, right = mixed.left, mixed.right
    shared = KeyPair.generate().private
    left.peer(right.keys.public, preshared=shared)
    right.peer(left.keys.public, preshared=shared)
    mixed.up()
    mixed.ping(count=3)
    assert left.shown("preshared-keys", right.keys.public) == shared


@pytest.mark.interop
@pytest.mark.parametrize("which", ["ours-only", "different"])
def test_a_wrong_preshared_key_with_wireguard_go(mixed: Pair, which: str) -> None:
    """Nothing passes, nobody believes in a handshake, and the right key mends it."""
    left, right = mixed.left, mixed.right
    shared = KeyPair.generate().private
    left.peer(right.keys.public, preshared=shared)
    if which == "different":
        right.peer(left.keys.public, preshared=KeyPair.generate().private)
    mixed.up()
    assert left.namespace.answers(right.inner4) == 0
    assert left.shown("latest-handshakes", right.keys.public) == "0"
    right.peer(left.keys.public, preshared=shared)
    forbid_session(left)
    left.namespace.ping(right.inner4)


@pytest.mark.interop
def test_both_begin_at_the_same_time(mixed: Pair) -> None:
    """Initiations that cross each other may void each other, but the next ones bring all through.

    What waited for a session is not lost, so that every ping is answered in the end.
    """
    mixed.up()
    commands = [
        near.namespace.start("ping", "-n", "-c", "3", "-i", "0.3", "-W", "9", far.inner4)
        for near, far in ((mixed.left, mixed.right), (mixed.right, mixed.left))
    ]
    outputs = [command.communicate(timeout=20)[0] for command in commands]
    assert all(" 0% packet loss" in output for output in outputs), outputs


@pytest.mark.interop
@FAMILIES
def test_keepalives_are_understood(
    lab: Laboratory, program: Program, reference: Program, outer: int
) -> None:
    """Left's keepalive makes the handshake, and right hears from it every second."""
    pair = two_hosts(lab, program, reference, outer)
    left, right = pair.left, pair.right
    right.up()
    left.peer(right.keys.public, "persistent-keepalive", "1")
    left.up()
    eventually("the keepalive", lambda: right.transfer(left.keys.public)[0] == 148 + 32, 2)
    eventually("another one", lambda: right.transfer(left.keys.public)[0] == 148 + 64, 2)


# ---------------------------------------------------------------- new session keys


@contextmanager
def pinged_without_a_loss(
    near: Tunnel, far: Tunnel, *, interval: float, duration: float
) -> Iterator[None]:
    """Ping all the while, and wait for the last answer: every ping has been answered."""
    count = int(duration / interval)
    words = ("ping", "-n", "-q", "-i", str(interval), "-c", str(count), "-W", "2", far.inner4)
    command = near.namespace.start(*words)
    try:
        yield
    finally:
        output, _ = command.communicate(timeout=duration + 30)
    assert f"{count} packets transmitted, {count} received" in output, output


@pytest.mark.interop
@pytest.mark.parametrize("with_reference", [False, True], ids=["ours", "wireguard-go"])
def test_new_session_keys_under_traffic(
    lab: Laboratory, program: Program, reference: Program, with_reference: bool
) -> None:
    """Left makes new session keys five times while both ends ping; no ping is lost.

    Taking another private key and the old one back, in one request, forbids left to send under
    the session it has; what goes out next waits for a handshake.
    """
    pair = two_hosts(lab, program, reference if with_reference else program)
    left, right = pair.left, pair.right
    pair.up()
    left.namespace.ping(right.inner4)
    handshakes = {handshake(left)}
    pace = {"interval": 0.01, "duration": 2.5}
    with pinged_without_a_loss(left, right, **pace), pinged_without_a_loss(right, left, **pace):
        for _ in range(5):
            time.sleep(0.3)
            forbid_session(left)
            eventually("a handshake", lambda: handshake(left) not in handshakes, 1)
            handshakes.add(handshake(left))
    assert len(handshakes) == 6


def forbid_session(tunnel: Tunnel) -> None:
    """Make the next packet that is sent ask for a new session."""
    own = next(line for line in tunnel.ask("get=1\n\n").splitlines() if "private_key" in line)
    other = f"private_key={'11' * 32}"
    assert tunnel.ask(f"set=1\n{other}\n{own}\n\n") == "errno=0\n\n"


def handshake(tunnel: Tunnel) -> tuple[str, ...]:
    """Return when the last handshake was, to the nanosecond."""
    lines = tunnel.ask("get=1\n\n").splitlines()
    return tuple(line for line in lines if line.startswith("last_handshake"))


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_initiator_renews_the_session_after_two_minutes(mixed: Pair) -> None:
    """Across 130 seconds of pings there are two handshakes, both left's, and no ping is lost."""
    left, right = mixed.left, mixed.right
    mixed.up()
    with Capture(mixed.outside, "wire0") as capture:
        with pinged_without_a_loss(left, right, interval=0.02, duration=REKEY_AFTER_TIME + 10):
            pass
        initiations = capture.datagrams(INITIATION)
        assert {d.packet.source for d in initiations} == {"192.0.2.1"}
        assert len(initiations) == len(capture.datagrams(RESPONSE)) == 2
        first, second = (d.packet.at for d in initiations)
        assert REKEY_AFTER_TIME - 0.5 <= second - first <= REKEY_AFTER_TIME + 5


# ---------------------------------------------------------------- unanswered


def test_data_without_an_answer_gets_one_keepalive(hosts: Pair) -> None:
    """Left says something that nobody answers; ten seconds later right says that it heard."""
    left, right = hosts.left, hosts.right
    hosts.up()
    left.namespace.ping(right.inner4)
    with Capture(hosts.outside, "wire0") as capture:
        with udp_pair(left.namespace, right.namespace, right.inner4) as (near, far):
            near.send(b"no answer, please")
            far.recv(100)
        time.sleep(11)
        data, keepalive = capture.datagrams()
    assert (data.packet.source, keepalive.packet.source) == ("192.0.2.1", "192.0.2.2")
    assert len(keepalive.payload) == 32
    assert 9.9 <= keepalive.packet.at - data.packet.at <= 10.5


def test_initiations_are_repeated_every_five_seconds(hosts: Pair) -> None:
    """Right is not there; left asks again after five seconds and a little."""
    hosts.left.up()
    with Capture(hosts.outside, "wire0") as capture:
        hosts.left.namespace.answers(hosts.right.inner4)
        time.sleep(5)
        initiations = capture.datagrams(INITIATION)
    first, second = (d.packet.at for d in initiations)
    assert 4.9 <= second - first <= 5.9
    assert initiations[0].payload[8:40] != initiations[1].payload[8:40]
