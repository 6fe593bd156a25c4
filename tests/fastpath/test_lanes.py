"""Lanes end to end, without root: a socket pair stands for the TUN, loopback for the network.

Every datagram a lane sends is opened by the Python reference, and every one it receives was sealed
by it. What lanes refuse, hand up or remember is read from their counters, upcalls and slots.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import pytest

from kubespan import fastpath
from kubespan.fastpath import LaneOptions, UpcallKind
from kubespan.model.address import Arrival, Endpoint, Prefix, Source
from kubespan.model.constants import HANDSHAKE_QUEUE
from kubespan.model.drop import DropReason
from kubespan.wireguard.keypair import PureKeypair
from tests.fastpath.inner_packet import Inner, stream
from tests.wireguard.loops import ENDPOINTS, INDEX, OTHERS, ROUND_TRIPS, message

OURS, THEIRS = bytes(range(32)), bytes(range(32, 64))
OUR_INDEX, THEIR_INDEX = 0x01020304, 0x0A0B0C0D
LOOPBACK = ip_address("127.0.0.1")
PATIENCE = 5.0
IP_PKTINFO, IP_RECVTOS = 8, 13
SOL_UDP, UDP_GRO = 17, 104
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(
    source: str, destination: str, payload: bytes = b"", tos: int = 0, protocol: int = 253
) -> bytes:
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, tos, length, 1, 0, 64, protocol, 0)
    head += ip_address(source).packed + ip_address(destination).packed
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def ipv6(source: str, destination: str, payload: bytes = b"") -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), 253, 64)
    return head + ip_address(source).packed + ip_address(destination).packed + payload


def tcp_frame(sequence: int, size: int, segments: int) -> tuple[bytes, bytes]:
    """A large TCP packet of so many segments as the system hands it down, and its header."""
    tcp = struct.pack("!HHIIBBHHH", 1, 2, sequence, 5, 0x50, 0x10, 512, 0, 0)
    packet = ipv4("10.0.0.1", "10.0.0.2", tcp + bytes(size * segments), protocol=6)
    return packet, struct.pack("=BBHHHH", 1, 1, 40, size, 20, 16)


class Bench:
    """One interface with one peer: we hold the other end of everything."""

    def __init__(
        self,
        *,
        single: bool,
        vnet_header: bool,
        age: float,
        initiator: bool,
        start: bool = True,
        tcp_offload: bool = False,
        ipv6: socket.socket | None = None,
    ) -> None:
        self.vnet_header = vnet_header
        self.tun, lane_tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lane_tun.setblocking(False)
        self.lane_tun = lane_tun
        self.ours = self.bound()
        self.peer = self.bound()
        self.ours.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.ours.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        self.path: Any = fastpath.create_path()
        self.slot: Any = self.path.create_slot()
        self.other: Any = self.path.create_slot()
        self.keypair: Any = self.path.create_keypair(
            send_key=OURS,
            receive_key=THEIRS,
            local_index=OUR_INDEX,
            remote_index=THEIR_INDEX,
            is_initiator=initiator,
            created_at=boot() - age,
        )
        self.twin = PureKeypair(
            send_key=THEIRS,
            receive_key=OURS,
            local_index=THEIR_INDEX,
            remote_index=OUR_INDEX,
            is_initiator=not initiator,
            created_at=boot(),
        )
        routes = [("10.0.0.0/8", self.slot), ("fd00::/8", self.slot), ("10.9.0.0/16", self.other)]
        self.path.publish_routes([(Prefix.parse(text), slot) for text, slot in routes])
        self.slot.endpoint = self.address(self.peer)
        self.lanes = fastpath.create_lanes(
            self.path,
            LaneOptions(
                lane_tun.fileno(),
                (self.ours.fileno(),),
                (ipv6.fileno(),) if ipv6 else (),
                vnet_header=vnet_header,
                tcp_offload=tcp_offload,
                threads=1 if single else 2,
            ),
        )
        if start:
            self.lanes.start()

    @staticmethod
    def bound() -> socket.socket:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((str(LOOPBACK), 0))
        one.settimeout(PATIENCE)
        return one

    @staticmethod
    def address(one: socket.socket) -> Endpoint:
        return Endpoint(LOOPBACK, one.getsockname()[1])

    def establish(self, place: str = "current") -> None:
        self.slot.install(
            *[self.keypair if place == p else None for p in ("previous", "current", "next")]
        )

    def from_system(self, packet: bytes, header: bytes = bytes(10)) -> None:
        self.tun.send((header if self.vnet_header else b"") + packet)

    def from_peer(self, plaintext: bytes, sender: socket.socket | None = None) -> bytes:
        datagram = self.twin.seal(plaintext)
        (sender or self.peer).sendto(datagram, self.ours.getsockname())
        return datagram

    def at_peer(self) -> bytes:
        return self.peer.recv(65535)

    def opened_at_peer(self) -> bytes:
        opened = self.twin.open(self.at_peer())
        assert isinstance(opened, bytes)
        return opened

    def at_system(self) -> bytes:
        self.tun.settimeout(PATIENCE)
        return self.tun.recv(65600)[10 if self.vnet_header else 0 :]

    def upcall(self) -> Any:
        assert select.select([self.lanes.upcall_fd], [], [], PATIENCE)[0]
        (upcall, *more) = self.lanes.drain(10)
        assert not more
        return upcall

    def dropped(self, reason: DropReason, count: int = 1) -> None:
        end = time.monotonic() + PATIENCE
        while self.lanes.drops()[reason] < count and time.monotonic() < end:
            time.sleep(0.005)
        assert {r: n for r, n in self.lanes.drops().items() if n} == {reason: count}

    def close(self) -> None:
        self.lanes.stop()
        self.lanes.close()
        for one in (self.tun, self.lane_tun, self.ours, self.peer):
            one.close()


@pytest.fixture(params=["two threads", "one thread"])
def threads(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "one thread")


@pytest.fixture
def bench(threads: bool, request: pytest.FixtureRequest) -> Iterator[Bench]:
    options = {"single": threads, "vnet_header": True, "age": 1.0, "initiator": True}
    one = Bench(**options | getattr(request, "param", {}))
    yield one
    one.close()


@pytest.fixture
def queued(threads: bool) -> Iterator[Bench]:
    """An established session and much room at both ends; the lanes do not run yet."""
    one = Bench(
        single=threads, vnet_header=True, age=1.0, initiator=True, start=False, tcp_offload=True
    )
    one.establish()
    for near in (one.tun, one.lane_tun):
        near.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20)
    for near in (one.peer, one.ours):
        near.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    yield one
    one.close()


def old(seconds: float, *, initiator: bool = True) -> dict[str, Any]:
    return {"age": seconds, "initiator": initiator}


both_headers = pytest.mark.parametrize(
    "bench", [{"vnet_header": True}, {"vnet_header": False}], indirect=True
)


# ---- out


@both_headers
@pytest.mark.parametrize("size", [0, 1, 11, 12, 1380, 1400, 8000, 60_000])
def test_a_packet_goes_out_padded_and_sealed(bench: Bench, size: int) -> None:
    bench.establish()
    packet = ipv4("10.0.0.1", "10.0.0.2", b"x" * size)
    bench.path.mtu = 65535
    bench.from_system(packet)
    opened = bench.opened_at_peer()
    assert opened.rstrip(b"\0") == packet.rstrip(b"\0")
    assert len(opened) == -(-len(packet) // 16) * 16
    assert bench.slot.first_data_sent_at == bench.slot.last_sent_at > 0
    bench.lanes.stop()
    assert bench.slot.tx_bytes == len(opened) + 32


def test_a_full_packet_is_not_grown_past_the_mtu(bench: Bench) -> None:
    bench.establish()
    bench.path.mtu = 1300
    for length, expected in ((1300, 1300), (1297, 1297), (1280, 1280), (1279, 1280)):
        bench.from_system(ipv4("10.0.0.1", "10.0.0.2", b"x" * (length - 20)))
        assert len(bench.opened_at_peer()) == expected


def test_order_and_counters_are_kept(bench: Bench) -> None:
    bench.establish()
    packets = [ipv4("10.0.0.1", "10.0.0.2", bytes([n]) * (n % 7 * 100 + 12)) for n in range(90)]
    for packet in packets:
        bench.from_system(packet)
    for counter, packet in enumerate(packets):
        datagram = bench.at_peer()
        assert struct.unpack("<IIQ", datagram[:16]) == (4, THEIR_INDEX, counter)
        opened = bench.twin.open(datagram)
        assert isinstance(opened, bytes)
        assert opened[: len(packet)] == packet


def test_a_large_tcp_frame_becomes_segments(bench: Bench) -> None:
    bench.establish()
    tcp = struct.pack("!HHIIBBHHH", 1, 2, 1000, 5, 0x50, 0x18, 512, 0, 0)
    head = ipv4("10.0.0.1", "10.0.0.2", tcp + b"d" * 10_000)
    head = head[:9] + b"\x06" + head[10:]
    bench.from_system(head, struct.pack("=BBHHHH", 1, 1, 40, 1380, 20, 16))
    segments = [bench.opened_at_peer() for _ in range(8)]
    assert [struct.unpack("!I", s[24:28])[0] for s in segments] == [
        1000 + 1380 * n for n in range(8)
    ]
    assert [s[33] for s in segments] == [0x10] * 7 + [0x18]
    bench.lanes.stop()
    assert bench.lanes.counters()["udp_messages"] == 1


@pytest.mark.parametrize("segments", [30, 44])
def test_a_frame_is_not_divided_among_super_packets(segments: int) -> None:
    """Three of them wait: two are too long together for a super-packet, which never mixes them."""
    bench = Bench(single=True, vnet_header=True, age=1.0, initiator=True, start=False)
    bench.establish()
    bench.tun.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    bench.peer.setsockopt(SOL_UDP, UDP_GRO, 1)
    bench.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for number in range(3):
        bench.from_system(*tcp_frame(number, 1368, segments))
    bench.lanes.start()
    size = 16 + 1408 + 16
    assert [len(bench.at_peer()) for _ in range(3)] == [segments * size] * 3
    bench.close()


def test_frames_of_many_tiny_segments_do_not_overrun_a_batch(queued: Bench) -> None:
    """A frame of the smallest segments after several of them: every packet leaves, in order."""
    counts, sequence = [250, 250, 250, 1364], 0
    for count in counts:
        queued.from_system(*tcp_frame(sequence, 48, count))
        sequence += 48 * count
    queued.lanes.start()
    for number in range(sum(counts)):
        opened = queued.opened_at_peer()
        assert struct.unpack("!I", opened[24:28])[0] == 48 * number


ECHO = ipv4("10.0.0.1", "10.0.0.2", b"echo", protocol=1)


def test_who_is_alone_goes_out_before_bulk_that_waits(queued: Bench) -> None:
    """The first comes to light in its turn; then all is looked through, and two frames passed."""
    for number in range(5):
        queued.from_system(*tcp_frame(number * 13680, 1368, 10))
        if number in (0, 3):
            queued.from_system(ECHO)
    queued.lanes.start()
    sent = [queued.opened_at_peer() for _ in range(52)]
    assert [number for number, packet in enumerate(sent) if packet[9] == 1] == [10, 21]
    bulk = [packet for packet in sent if packet[9] == 6]
    assert [struct.unpack("!I", p[24:28])[0] for p in bulk] == [1368 * n for n in range(50)]


def test_nobody_goes_out_before_a_stranger(queued: Bench) -> None:
    """Which flow a fragment is of cannot be told: it might be the one of whoever comes next."""
    fragment = Inner(protocol=17, fragment=0x2000).build()
    frames = [tcp_frame(0, 1368, 10), (ECHO,), tcp_frame(13680, 1368, 10), (fragment,), (ECHO,)]
    for frame in frames:
        queued.from_system(*frame)
    queued.lanes.start()
    sent = [queued.opened_at_peer()[9] for _ in range(23)]
    assert sent == [6] * 10 + [1] + [6] * 10 + [17, 1]


@pytest.mark.parametrize("ecn", [0, 1, 2, 3])
def test_the_congestion_mark_is_copied_out(bench: Bench, ecn: int) -> None:
    bench.peer.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
    bench.establish()
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2", tos=0xA0 | ecn))
    _, control, _, _ = bench.peer.recvmsg(2000, 100)
    assert [data[0] for _, kind, data in control if kind == socket.IP_TOS] == [ecn]


def test_without_a_session_a_packet_goes_up(bench: Bench) -> None:
    packet = ipv4("10.0.0.1", "10.0.0.2", b"stage me")
    bench.from_system(packet)
    upcall = bench.upcall()
    assert (upcall.kind, upcall.payload) == (UpcallKind.OUTBOUND, packet)


@pytest.mark.parametrize("bench", [old(180.5)], indirect=True)
def test_an_expired_session_seals_nothing(bench: Bench) -> None:
    bench.establish()
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.upcall().kind == UpcallKind.OUTBOUND


def test_a_used_up_counter_seals_nothing(bench: Bench) -> None:
    bench.establish()
    bench.keypair.send_counter = 2**64 - 2**13 - 1
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.upcall().kind == UpcallKind.OUTBOUND


def test_nothing_is_sent_under_next(bench: Bench) -> None:
    bench.establish("next")
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.upcall().kind == UpcallKind.OUTBOUND


def test_what_follows_the_first_use_of_next_is_sent_under_it(bench: Bench) -> None:
    """The peer began anew and has forgotten what we call the current session."""
    forgotten = bench.path.create_keypair(
        send_key=bytes(32),
        receive_key=bytes(32),
        local_index=OUR_INDEX + 1,
        remote_index=THEIR_INDEX + 1,
        is_initiator=True,
        created_at=boot(),
    )
    bench.slot.install(None, forgotten, bench.keypair)
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert struct.unpack("<I", bench.at_peer()[4:8]) == (THEIR_INDEX + 1,)
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1"))
    assert bench.at_system()
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2", b"answer"))
    assert bench.opened_at_peer()[20:26] == b"answer"


def test_under_next_alone_nothing_is_sent_before_the_loop_says_so(bench: Bench) -> None:
    bench.establish("next")
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1"))
    assert bench.at_system()
    assert bench.upcall().kind == UpcallKind.CONFIRMED
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.upcall().kind == UpcallKind.OUTBOUND


@pytest.mark.parametrize(("version", "packet"), ROUND_TRIPS)
def test_our_own_message_is_not_sent_round_again(bench: Bench, version: int, packet: bytes) -> None:
    assert THEIR_INDEX == INDEX
    bench.establish()
    bench.slot.endpoint = ENDPOINTS[version]
    bench.from_system(packet)
    bench.dropped(DropReason.ROUTING_LOOP)


@pytest.mark.parametrize("packet", [packet for version, packet in OTHERS if version == 6])
def test_what_only_looks_like_it_is_sent(bench: Bench, packet: bytes) -> None:
    bench.establish()
    bench.slot.endpoint = ENDPOINTS[6]
    bench.from_system(packet)
    bench.dropped(DropReason.SEND_FAILED)  # for want of an IPv6 socket


@pytest.mark.parametrize("index", [THEIR_INDEX, THEIR_INDEX + 1])
def test_another_tunnel_may_pass_through_this_one(bench: Bench, index: int) -> None:
    """To the same endpoint, but in another session; or in this one, but to another port."""
    bench.establish()
    bench.path.publish_routes([(Prefix.parse("127.0.0.1/32"), bench.slot)])
    port = bench.address(bench.peer).port + (index == THEIR_INDEX)
    packet = ipv4("10.0.0.1", "127.0.0.1", message(index=index, port=port), protocol=17)
    bench.from_system(packet)
    assert bench.opened_at_peer()[: len(packet)] == packet


@pytest.mark.parametrize("destination", ["11.0.0.1", "192.0.2.1"])
def test_without_a_peer_a_packet_is_counted_and_told(bench: Bench, destination: str) -> None:
    packet = ipv4("10.0.0.1", destination)
    bench.from_system(packet)
    upcall = bench.upcall()
    assert (upcall.kind, upcall.payload) == (UpcallKind.NO_PEER, packet)
    bench.dropped(DropReason.NO_PEER)


@pytest.mark.parametrize("frame", [b"\x45", b"\x75" + bytes(40), b"\x60" + bytes(20), bytes(100)])
def test_what_is_no_packet_is_counted(bench: Bench, frame: bytes) -> None:
    bench.from_system(frame)
    bench.dropped(DropReason.BAD_OUTBOUND)


@pytest.mark.parametrize("bench", [old(121), old(121, initiator=False)], indirect=True)
def test_only_an_initiator_renews_an_old_key_by_sending(bench: Bench) -> None:
    bench.establish()
    for _ in range(3):
        bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
        bench.at_peer()
    if bench.keypair.is_initiator:
        upcall = bench.upcall()
        assert (upcall.kind, upcall.value) == (UpcallKind.REKEY_DUE, OUR_INDEX)
    bench.lanes.stop()
    assert bench.lanes.drain(10) == []


# ---- in


@both_headers
@pytest.mark.parametrize(
    "packet",
    [
        ipv4("10.0.0.2", "10.0.0.1"),
        ipv4("10.0.0.2", "10.0.0.1", b"y" * 1400),
        ipv4("10.255.0.2", "10.0.0.1", b"y" * 20_000),
        ipv6("fd00::2", "fd00::1"),
        ipv6("fd00::2", "fd00::1", b"z" * 1380),
    ],
    ids=lambda packet: f"{packet[0] >> 4}-{len(packet)}",
)
def test_a_datagram_becomes_its_packet_without_padding(bench: Bench, packet: bytes) -> None:
    bench.establish()
    datagram = bench.from_peer(packet + bytes(-len(packet) % 16))
    assert bench.at_system() == packet
    assert bench.slot.rx_bytes == len(datagram)
    assert bench.slot.first_data_received_at == bench.slot.last_received_at > 0


def test_a_keepalive_moves_nothing_but_the_times(bench: Bench) -> None:
    bench.establish()
    bench.from_peer(b"")
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1", b"after"))
    assert bench.at_system()[20:] == b"after"
    assert bench.slot.rx_bytes == 32 + 32 + 25


def test_who_is_alone_comes_in_before_bulk_that_waits(queued: Bench) -> None:
    streams = [stream(Inner(flow=port), 10, 1000) for port in (1, 2, 3)]
    echoes = [ipv4("10.0.0.1", "10.0.0.2", bytes([number]), protocol=1) for number in range(5)]
    bulk = [packet for some in zip(*streams, strict=True) for packet in some]
    for packet in (*bulk, *echoes):
        queued.from_peer(packet)
    queued.lanes.start()
    came = [queued.at_system() for _ in range(8)]
    assert [packet[20] for packet in came[:5]] == [0, 1, 2, 3, 4]
    assert [packet[21] for packet in came[5:]] == [1, 2, 3]
    queued.lanes.stop()
    assert queued.lanes.counters()["tun_written_packets"] == 35


@pytest.mark.parametrize("place", ["previous", "current", "next"])
def test_all_three_sessions_open(bench: Bench, place: str) -> None:
    bench.establish(place)
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1"))
    assert bench.at_system()
    if place == "next":
        upcall = bench.upcall()
        assert (upcall.kind, upcall.value) == (UpcallKind.CONFIRMED, OUR_INDEX)
        bench.from_peer(b"")
    bench.lanes.stop()
    assert bench.lanes.drain(10) == []


def test_a_replay_is_refused(bench: Bench) -> None:
    bench.establish()
    datagram = bench.from_peer(ipv4("10.0.0.2", "10.0.0.1"))
    bench.peer.sendto(datagram, bench.ours.getsockname())
    bench.dropped(DropReason.REPLAYED)


def test_a_damaged_datagram_is_refused_and_does_not_roam(bench: Bench) -> None:
    bench.establish()
    stranger = bench.bound()
    datagram = bench.twin.seal(ipv4("10.0.0.2", "10.0.0.1"))
    for bit in range(8 * 16, 8 * len(datagram), 37):
        damaged = bytearray(datagram)
        damaged[bit // 8] ^= 1 << bit % 8
        stranger.sendto(damaged, bench.ours.getsockname())
    bench.dropped(DropReason.BAD_TAG, len(range(8 * 16, 8 * len(datagram), 37)))
    assert bench.slot.endpoint == bench.address(bench.peer)
    assert bench.slot.rx_bytes == 0
    stranger.close()


def test_an_authenticated_datagram_moves_endpoint_and_source(bench: Bench) -> None:
    bench.establish()
    roamer = bench.bound()
    bench.from_peer(b"", roamer)
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1"), roamer)
    assert bench.at_system()
    ifindex = socket.if_nametoindex("lo")
    assert bench.slot.endpoint == bench.address(roamer)
    assert bench.slot.source == Source(LOOPBACK, ifindex)
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.twin.open(roamer.recv(2000)) == ipv4("10.0.0.1", "10.0.0.2") + bytes(12)
    roamer.close()


def test_a_source_that_is_gone_is_forgotten_and_nothing_is_lost(bench: Bench) -> None:
    bench.establish()
    bench.slot.source = Source(ip_address("192.0.2.77"), 1)
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.opened_at_peer()
    assert bench.slot.endpoint == bench.address(bench.peer)
    bench.lanes.stop()
    assert bench.slot.source is None


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (ipv4("10.9.0.2", "10.0.0.1"), DropReason.WRONG_SOURCE),
        (ipv4("11.0.0.2", "10.0.0.1"), DropReason.WRONG_SOURCE),
        (ipv6("fe80::2", "fd00::1"), DropReason.WRONG_SOURCE),
        (b"\x45" + bytes(15), DropReason.BAD_INNER),
        (b"\x15" + bytes(63), DropReason.BAD_INNER),
        (ipv4("10.0.0.2", "10.0.0.1")[:2] + b"\x00\x13" + bytes(28), DropReason.BAD_INNER),
        (ipv4("10.0.0.2", "10.0.0.1")[:2] + b"\xff\xff" + bytes(28), DropReason.BAD_INNER),
        (b"\x60\0\0\0\xff\xd8" + bytes(42), DropReason.BAD_INNER),
    ],
)
def test_what_is_inside_is_judged(bench: Bench, inner: bytes, reason: DropReason) -> None:
    bench.establish()
    roamer = bench.bound()
    bench.from_peer(inner, roamer)
    bench.dropped(reason)
    assert bench.slot.endpoint == bench.address(roamer)
    assert bench.slot.rx_bytes == 32 + len(inner)
    roamer.close()


@pytest.mark.parametrize("bench", [old(180.5)], indirect=True)
def test_an_expired_session_opens_nothing(bench: Bench) -> None:
    bench.establish()
    bench.from_peer(b"")
    bench.dropped(DropReason.KEY_EXPIRED)


@pytest.mark.parametrize("bench", [old(166), old(164), old(166, initiator=False)], indirect=True)
def test_only_an_initiator_renews_an_old_key_by_receiving(bench: Bench) -> None:
    bench.establish()
    due = bench.keypair.is_initiator and boot() - bench.keypair.created_at > 165
    for _ in range(3):
        bench.from_peer(ipv4("10.0.0.2", "10.0.0.1"))
        bench.at_system()
    if due:
        assert bench.upcall().kind == UpcallKind.REKEY_DUE
    bench.lanes.stop()
    assert bench.lanes.drain(10) == []


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\x04\0\0", DropReason.MALFORMED),
        (struct.pack("<IIQ", 4, OUR_INDEX, 0) + bytes(15), DropReason.MALFORMED),
        (struct.pack("<IIQ", 4, OUR_INDEX + 1, 0) + bytes(16), DropReason.UNKNOWN_INDEX),
        (struct.pack("<IIQ", 5, OUR_INDEX, 0) + bytes(16), DropReason.UNKNOWN_TYPE),
        (struct.pack("<IIQ", 0x104, OUR_INDEX, 0) + bytes(16), DropReason.UNKNOWN_TYPE),
        (struct.pack("<I", 1) + bytes(200), DropReason.MALFORMED),
    ],
)
def test_what_is_no_message_is_counted(bench: Bench, datagram: bytes, reason: DropReason) -> None:
    bench.establish()
    bench.peer.sendto(datagram, bench.ours.getsockname())
    bench.dropped(reason)


def test_an_empty_datagram_is_counted(bench: Bench) -> None:
    bench.peer.sendto(b"", bench.ours.getsockname())
    bench.dropped(DropReason.MALFORMED)


@pytest.mark.parametrize(("kind", "size"), [(1, 148), (2, 92), (3, 64)])
def test_a_handshake_message_goes_up_with_where_it_came_from(
    bench: Bench, kind: int, size: int
) -> None:
    message = bytes([kind]) + bytes(size - 1)
    bench.peer.sendto(message, bench.ours.getsockname())
    upcall = bench.upcall()
    assert (upcall.kind, upcall.payload, upcall.queued) == (UpcallKind.HANDSHAKE, message, 0)
    source = Source(LOOPBACK, socket.if_nametoindex("lo"))
    assert upcall.arrival == Arrival(bench.address(bench.peer), source)


def test_waiting_handshakes_are_told_and_a_flood_is_bounded(bench: Bench) -> None:
    bench.peer.setblocking(True)
    for _ in range(12_000):
        bench.peer.sendto(b"\x01" + bytes(147), bench.ours.getsockname())
    time.sleep(0.1)
    bench.lanes.stop()
    upcalls = bench.lanes.drain(20_000)
    assert [upcall.queued for upcall in upcalls] == list(range(len(upcalls)))[::-1]
    assert len(upcalls) == HANDSHAKE_QUEUE
    assert set(+bench.lanes.drops()) <= {DropReason.QUEUE_FULL}


@pytest.mark.parametrize(("outer", "inner", "after"), [(3, 2, 3), (3, 1, 3), (3, 0, 0), (2, 2, 2)])
def test_a_congestion_mark_on_the_way_is_passed_on(
    bench: Bench, outer: int, inner: int, after: int
) -> None:
    bench.establish()
    bench.peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, outer)
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1", tos=0xA0 | inner) + bytes(12))
    assert bench.at_system() == ipv4("10.0.0.2", "10.0.0.1", tos=0xA0 | after)


# ---- threads


def test_stopping_is_quick_and_leaves_the_descriptors_alone(bench: Bench) -> None:
    bench.lanes.stop()
    assert os.fstat(bench.lane_tun.fileno())
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    assert bench.lanes.drain(1) == []


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4])
def test_what_stands_in_line_at_the_end_still_goes(queued: Bench, milliseconds: int) -> None:
    """Whatever was taken in comes out: the rest is still where it came from."""
    for number in range(100):
        queued.from_system(*tcp_frame(number * 41040, 1368, 30))
        queued.from_system(ECHO)
        for packet in (*stream(Inner(sequence=number * 4000), 4, 1000), ECHO):
            queued.from_peer(packet)
    queued.lanes.start()
    time.sleep(milliseconds / 1000)
    queued.lanes.stop()
    left_out, left_in = all_of(queued.lane_tun), all_of(queued.ours)
    unsent = sum(30 if len(frame) > 99 else 1 for frame in left_out)
    assert len(all_of(queued.peer)) == 3100 - unsent
    packets = sum(max(1, len(frame) // 1000) for frame in all_of(queued.tun))
    assert packets == 500 - len(left_in)


def all_of(one: socket.socket) -> list[bytes]:
    """Everything that waits there."""
    one.setblocking(False)
    found = []
    with suppress(BlockingIOError):
        while True:
            found.append(one.recv(1 << 17))
    return found


def test_keys_change_under_traffic_without_a_loss(bench: Bench) -> None:
    bench.establish()
    for round_ in range(200):
        fresh = bench.path.create_keypair(
            send_key=OURS,
            receive_key=THEIRS,
            local_index=OUR_INDEX + 1 + round_,
            remote_index=THEIR_INDEX,
            is_initiator=True,
            created_at=boot(),
        )
        bench.slot.install(bench.slot.current, fresh, None)
        bench.from_system(ipv4("10.0.0.1", "10.0.0.2", round_.to_bytes(2, "big")))
        datagram = bench.at_peer()
        assert struct.unpack("<Q", datagram[8:16]) == (0,)
    assert bench.path.table.reclaim() <= 1


# ---- counters


def test_counters_say_how_much_went_together(bench: Bench) -> None:
    """Segments a send, segments a receive, packets a TUN write, and how each thread was loaded."""
    bench.establish()
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2", b"out"))
    bench.opened_at_peer()
    for _ in range(2):
        bench.from_peer(ipv4("10.0.0.2", "10.0.0.1", b"in") + bytes(10))
        bench.at_system()
    bench.lanes.stop()
    counters = bench.lanes.counters()
    assert [counters[name] for name in ("udp_sends", "udp_messages", "udp_sent")] == [1, 1, 1]
    assert [counters[name] for name in ("udp_receives", "udp_received")] == [2, 2]
    assert [counters[name] for name in ("tun_writes", "tun_written_packets")] == [2, 2]
    assert [counters[name] for name in ("sealed_batches", "opened_batches")] == [1, 2]
    assert counters["opened_messages"] == 2


def test_what_no_key_opens_does_not_count_as_opened(bench: Bench) -> None:
    """Or a flood of strangers would look like a fast stream."""
    bench.establish()
    for foreign in (b"strange", struct.pack("<IIQ", 4, OUR_INDEX + 1, 0) + bytes(16)):
        bench.peer.sendto(foreign, bench.ours.getsockname())
    bench.from_peer(ipv4("10.0.0.2", "10.0.0.1", b"in"))
    bench.at_system()
    bench.lanes.stop()
    counters = bench.lanes.counters()
    names = ("udp_received", "opened_messages", "opened_batches")
    assert [counters[name] for name in names] == [3, 1, 1]


def test_the_load_of_each_thread_is_told_by_what_it_carries(bench: Bench, threads: bool) -> None:
    bench.from_system(ipv4("10.0.0.1", "10.0.0.2"))
    bench.upcall()
    bench.lanes.stop()
    counters = bench.lanes.counters()
    load = {name: counters[name] for name in counters if name.startswith("lane_")}
    names = ("both",) if threads else ("outbound", "inbound")
    assert sorted(load) == sorted(
        f"lane_{n}_{what}_ns" for n in names for what in ("busy", "alive")
    )
    assert 0 < load[f"lane_{names[0]}_busy_ns"] < load[f"lane_{names[0]}_alive_ns"]
    # Nothing came in, so who listens for that has slept.
    assert all(load[f"lane_{name}_busy_ns"] == 0 for name in names[1:])
