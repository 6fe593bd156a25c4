"""The native gate against its Python twin, and what a lane does with handshake messages by it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan import _fastpath, fastpath
from kubespan.fastpath import LaneOptions, UpcallKind
from kubespan.model.address import Endpoint
from kubespan.model.constants import HANDSHAKE_QUEUE, UNDER_LOAD_AFTER
from kubespan.model.drop import DropReason
from kubespan.model.keys import PublicKey
from kubespan.noise.cookie import CookieChecker, CookieGenerator, Gate
from kubespan.noise.messages import CookieReply
from kubespan.noise.primitives import mac

OURS = PublicKey(bytes(range(32)))
SECRET = bytes(range(32, 64))
START = 1000.0
LONG = 1e6
PATIENCE = 5.0
SIZES = {1: 148, 2: 92}
COOKIE_REPLIES = 64
BATCH = 128
REPLIES_A_BATCH = 32

sources = st.sampled_from([6, 18]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
messages = st.sampled_from([148, 92]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def twins(secret: bytes = SECRET) -> tuple[CookieChecker, _fastpath.Gate]:
    """Make the pair, both with the same young secret."""
    checker = CookieChecker(OURS)
    checker.create_reply(
        bytes(148), receiver_index=0, source=bytes(6), nonce=bytes(24), secret=secret, boot=START
    )
    return checker, native(checker.gate)


def native(gate: Gate) -> _fastpath.Gate:
    fastpath.provider()
    return _fastpath.Gate(gate.mac1_key, gate.cookie_key, gate.secret, gate.secret_until)


def with_macs(message: bytes, cookie: CookieReply | None = None) -> bytes:
    generator = CookieGenerator(OURS)
    datagram = generator.add_macs(message, START)
    if cookie is not None:
        generator.consume_reply(cookie, START)
        datagram = generator.add_macs(message, START)
    return datagram


# ---- twins


@given(key=st.binary(min_size=1, max_size=32), data=st.binary(max_size=300))
def test_macs_are_those_of_the_library(key: bytes, data: bytes) -> None:
    assert _fastpath.mac(key, data) == mac(key, data)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 127, 128, 129, 192, 4096])
def test_macs_at_the_edges_of_blocks(length: int) -> None:
    data = bytes(n % 251 for n in range(length))
    assert _fastpath.mac(SECRET, data) == mac(SECRET, data)


@pytest.mark.parametrize("size", [0, 33])
def test_a_key_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 32"):
        _fastpath.mac(bytes(size), b"")


@given(message=messages, flipped=st.integers(0, 8 * 148))
def test_twins_agree_on_mac1(message: bytes, flipped: int) -> None:
    checker, gate = twins()
    good = with_macs(message)
    assert gate.check_mac1(good)
    damaged = bytearray(good)
    damaged[flipped // 8 % len(good)] ^= 1 << flipped % 8
    for datagram in (message, bytes(damaged)):
        assert gate.check_mac1(datagram) == checker.check_mac1(datagram)


@given(message=messages, source=sources, nonce=st.binary(min_size=24, max_size=24))
def test_twins_give_the_same_cookies_and_take_each_others(
    message: bytes, source: bytes, nonce: bytes
) -> None:
    checker, gate = twins()
    first = with_macs(message)
    reply = gate.create_reply(first, source, nonce)
    index = int.from_bytes(message[4:8], "little")
    assert reply == checker.create_reply(
        first, receiver_index=index, source=source, nonce=nonce, secret=b"", boot=START
    )
    second = with_macs(message, CookieReply.parse(reply))
    assert gate.check_mac2(second, source)
    assert checker.check_mac2(second, source, START)
    other = bytes((source[0] ^ 1,)) + source[1:]
    assert not gate.check_mac2(second, other)
    assert not gate.check_mac2(first, source)


@pytest.mark.parametrize("size", [0, 64, 91, 147, 149])
def test_only_messages_with_macs_have_macs(size: int) -> None:
    _, gate = twins()
    with pytest.raises(ValueError, match="neither"):
        gate.check_mac1(bytes(size))


def test_keys_and_nonces_have_their_sizes() -> None:
    _, gate = twins()
    with pytest.raises(ValueError, match="nonce"):
        gate.create_reply(bytes(148), bytes(6), bytes(23))
    with pytest.raises(ValueError, match="32 bytes"):
        _fastpath.Gate(bytes(32), bytes(31), bytes(32), 0.0)


# ---- lanes


class Post:
    """Lanes that only receive, and a stranger who writes to them over loopback."""

    def __init__(self, family: str, *, start: bool = True) -> None:
        self.kind = socket.AF_INET if family == "ipv4" else socket.AF_INET6
        self.host = "127.0.0.1" if family == "ipv4" else "::1"
        self.tun, self.lane_tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.lane_tun.setblocking(False)
        self.ours, self.stranger = self.bound(), self.bound()
        self.path: Any = fastpath.create_path()
        fd = self.ours.fileno()
        options = LaneOptions(
            self.lane_tun.fileno(),
            ipv4_fds=(fd,) if family == "ipv4" else (),
            ipv6_fds=(fd,) if family == "ipv6" else (),
            threads=1,
        )
        self.lanes = fastpath.create_lanes(self.path, options)
        if start:
            self.lanes.start()

    def bound(self) -> socket.socket:
        one = socket.socket(self.kind, socket.SOCK_DGRAM)
        one.bind((self.host, 0))
        one.settimeout(PATIENCE)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        return one

    @property
    def source(self) -> bytes:
        return Endpoint(ip_address(self.host), self.stranger.getsockname()[1]).cookie_source()

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.stranger.sendto(datagram, self.ours.getsockname())

    def load(self) -> None:
        """Let so much wait that cookies are demanded."""
        self.send(*(message(n) for n in range(UNDER_LOAD_AFTER)))
        self.settled(udp_received=UNDER_LOAD_AFTER)

    def settled(self, **counters: int) -> None:
        end = time.monotonic() + PATIENCE
        while any(self.lanes.counters()[name] < n for name, n in counters.items()):
            assert time.monotonic() < end, self.lanes.counters()
            time.sleep(0.002)

    def dropped(self) -> dict[DropReason, int]:
        return dict(+self.lanes.drops())

    def handed_up(self) -> list[bytes]:
        """Stop, and return what went up."""
        self.lanes.stop()
        upcalls = self.lanes.drain(1 << 16)
        assert {upcall.kind for upcall in upcalls} <= {UpcallKind.HANDSHAKE}
        return [upcall.payload for upcall in upcalls]

    def close(self) -> None:
        self.lanes.stop()
        self.lanes.close()
        for one in (self.tun, self.lane_tun, self.ours, self.stranger):
            one.close()


@pytest.fixture(params=["ipv4", "ipv6"])
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    one = Post(request.param)
    yield one
    one.close()


def message(number: int = 0, kind: int = 1) -> bytes:
    head = kind.to_bytes(4, "little") + number.to_bytes(4, "little")
    return with_macs(head.ljust(SIZES[kind], b"\x55"))


def young(checker: CookieChecker) -> Gate:
    return replace(checker.gate, secret_until=boot() + LONG)


def boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("kind", [1, 2])
def test_whoever_does_not_know_us_is_not_heard(post: Post, kind: int) -> None:
    post.path.publish_gate(CookieChecker(OURS).gate)
    good = message(kind=kind)
    post.send(good[:-32] + bytes(16) + good[-16:], good)
    post.settled(udp_received=2)
    assert post.dropped() == {DropReason.BAD_MAC1: 1}
    assert post.handed_up() == [good]


def test_without_an_identity_everything_goes_up(post: Post) -> None:
    post.path.publish_gate(CookieChecker(OURS).gate)
    post.path.publish_gate(None)
    post.send(bytes((1,)) + bytes(147))
    post.settled(udp_received=1)
    assert post.handed_up() == [bytes((1,)) + bytes(147)]


@pytest.mark.parametrize("size", [63, 65, 91, 93, 147, 149])
def test_a_message_has_its_size(post: Post, size: int) -> None:
    post.send(*(bytes((kind,)) + bytes(size - 1) for kind in (1, 2, 3)))
    post.settled(udp_received=3)
    assert post.dropped() == {DropReason.MALFORMED: 3}
    assert post.handed_up() == []


@pytest.mark.parametrize("kind", [1, 2])
def test_under_load_the_stranger_gets_a_cookie_and_is_let_in_by_it(post: Post, kind: int) -> None:
    checker, _ = twins()
    post.path.publish_gate(young(checker))
    post.load()
    first = message(7, kind)
    post.send(first)
    reply = CookieReply.parse(post.stranger.recv(100))
    assert reply.receiver_index == 7
    second = with_macs(first[:-32] + bytes(32), reply)
    assert checker.check_mac2(second, post.source, START)
    post.send(second)
    post.settled(udp_received=UNDER_LOAD_AFTER + 2, cookie_replies=1)
    assert post.dropped() == {DropReason.UNDER_LOAD: 1}
    assert post.handed_up()[UNDER_LOAD_AFTER:] == [second]


def test_a_cookie_is_sent_from_where_the_message_was_sent_to(post: Post) -> None:
    checker, _ = twins()
    post.path.publish_gate(young(checker))
    post.load()
    post.send(message())
    _, origin = post.stranger.recvfrom(100)
    assert origin[:2] == post.ours.getsockname()[:2]


def test_of_a_full_batch_some_get_a_cookie_and_all_are_counted() -> None:
    checker, _ = twins()
    post = Post("ipv4", start=False)
    post.path.publish_gate(young(checker))
    asked = [message(n) for n in range(UNDER_LOAD_AFTER + 2 * BATCH)]
    post.send(*asked)
    post.lanes.start()
    replies = [CookieReply.parse(post.stranger.recv(100)) for _ in range(2 * REPLIES_A_BATCH)]
    post.settled(udp_received=len(asked), cookie_replies=2 * REPLIES_A_BATCH)
    assert post.dropped() == {DropReason.UNDER_LOAD: 2 * BATCH}
    assert len(post.handed_up()) == UNDER_LOAD_AFTER
    assert post.lanes.counters()["cookie_replies"] == 2 * REPLIES_A_BATCH
    assert len({reply.nonce for reply in replies}) == len(replies)
    firsts = [
        UNDER_LOAD_AFTER + n
        for n in (*range(REPLIES_A_BATCH), *range(BATCH, BATCH + REPLIES_A_BATCH))
    ]
    assert [reply.receiver_index for reply in replies] == firsts
    for reply in replies:
        datagram = asked[reply.receiver_index]
        again = with_macs(datagram[:-32] + bytes(32), reply)
        assert checker.check_mac2(again, post.source, START)
    post.close()


@pytest.mark.parametrize("until", [0.0, 1.0])
def test_without_a_young_secret_the_loop_has_to_make_one(post: Post, until: float) -> None:
    checker, _ = twins()
    post.path.publish_gate(replace(checker.gate, secret_until=until))
    post.load()
    post.send(message(7))
    post.settled(udp_received=UNDER_LOAD_AFTER + 1)
    assert post.dropped() == {}
    assert post.handed_up()[UNDER_LOAD_AFTER:] == [message(7)]


def test_load_ends_a_second_after_the_queue_did(post: Post) -> None:
    checker, _ = twins()
    post.path.publish_gate(young(checker))
    post.load()
    assert len(post.lanes.drain(1000)) == UNDER_LOAD_AFTER
    end = time.monotonic() + PATIENCE
    while not select.select([post.lanes.upcall_fd], [], [], 0)[0]:
        assert time.monotonic() < end
        post.send(message(7))
        time.sleep(0.05)
    assert post.handed_up()[0] == message(7)
    assert set(post.dropped()) <= {DropReason.UNDER_LOAD}


def test_no_more_wait_than_the_loop_can_hear(post: Post) -> None:
    for _ in range(HANDSHAKE_QUEUE + 10):
        post.send(message())
    post.settled(udp_received=HANDSHAKE_QUEUE + 10)
    assert post.dropped() == {DropReason.QUEUE_FULL: 10}
    assert len(post.handed_up()) == HANDSHAKE_QUEUE


def test_cookie_replies_of_nobody_leave_room_and_make_no_load(post: Post) -> None:
    checker, _ = twins()
    post.path.publish_gate(young(checker))
    post.send(*(bytes((3,)) + bytes(63) for _ in range(2 * UNDER_LOAD_AFTER)))
    post.settled(udp_received=2 * UNDER_LOAD_AFTER)
    post.send(message(7))
    post.settled(udp_received=2 * UNDER_LOAD_AFTER + 1)
    assert post.dropped() == {DropReason.QUEUE_FULL: 2 * UNDER_LOAD_AFTER - COOKIE_REPLIES}
    assert post.handed_up()[COOKIE_REPLIES:] == [message(7)]
