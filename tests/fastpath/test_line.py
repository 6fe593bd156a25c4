"""Much at once through lanes that let lone packets pass: nothing is lost, changed or out of order.

Datagrams come in trains, as UDP_GRO hands them over, and all of them wait before the lanes run: so
the slots they are received in and the batches that stand in line are used again and again.
"""

from __future__ import annotations

import random
import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from kubespan.wireguard.keypair import PureKeypair
from tests.fastpath.inner_packet import Inner, stream
from tests.fastpath.naive_offload import TCP, UDP
from tests.fastpath.offload_library import OffloadLibrary
from tests.fastpath.test_lanes import (
    ECHO,
    OURS,
    SO_RCVBUFFORCE,
    SO_SNDBUFFORCE,
    SOL_UDP,
    THEIR_INDEX,
    THEIRS,
    UDP_GRO,
    Bench,
    boot,
    ipv4,
    tcp_frame,
)

UDP_SEGMENT = 103
INNER, TRAIN = 1408, 44
FLOWS = range(1, 6)
RUNS = 400


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> OffloadLibrary:
    return OffloadLibrary(tmp_path_factory.mktemp("offload"))


@pytest.fixture
def ipv6() -> Iterator[socket.socket | None]:
    """Our other socket, where there is IPv6."""
    try:
        one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        one.bind(("::1", 0))
    except OSError:
        yield None
        return
    with one:
        yield one


@pytest.fixture(params=[True, False], ids=["one thread", "two threads"])
def bench(request: pytest.FixtureRequest, ipv6: socket.socket | None) -> Iterator[Bench]:
    one = Bench(
        single=request.param,
        vnet_header=True,
        age=1.0,
        initiator=True,
        start=False,
        tcp_offload=True,
        ipv6=ipv6,
    )
    one.establish()
    one.path.mtu = 65535
    one.ours.setsockopt(SOL_UDP, UDP_GRO, 1)
    for near in (one.tun, one.lane_tun, one.peer, one.ours):
        near.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 128 << 20)
        near.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 128 << 20)
    yield one
    one.close()


def flow_of(packet: bytes) -> bytes:
    """Protocol and ports; of what has none, the protocol."""
    return packet[9:10] + (packet[20:24] if packet[9] in (TCP, UDP) else b"")


def traffic(chance: random.Random, *, strangers: bool) -> list[bytes]:
    """Runs of bulk, lone packets between them, and perhaps what is of no flow that can be told."""
    packets: list[bytes] = []
    sequence = dict.fromkeys(FLOWS, 1000)
    for number in range(RUNS):
        flow, count, size = chance.choice(FLOWS), chance.randint(1, 60), chance.choice([300, 1300])
        packets += stream(Inner(flow=flow, sequence=sequence[flow]), count, size)
        sequence[flow] += count * size
        tag = struct.pack("!I", number)
        packets.append(ipv4("10.0.0.1", "10.0.0.2", tag, protocol=1))
        packets.append(Inner(protocol=UDP, flow=99, payload=tag).build())
        if strangers and number % 5 == 0:
            packets.append(ipv4("10.0.0.1", "10.0.0.2", tag, protocol=47))
            packets.append(Inner(flow=1, sequence=number, fragment=0x2000).build())
    return packets


def send_trains(bench: Bench, packets: list[bytes], chance: random.Random) -> None:
    at = 0
    while at < len(packets):
        train = packets[at : at + chance.randint(2, TRAIN)]
        send_train(bench, train)
        at += len(train)


def send_train(bench: Bench, train: list[bytes], size: int = INNER) -> None:
    """Sealed at one size and glued, as a sender with UDP_SEGMENT does."""
    control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", size + 32))]
    sealed = [bench.twin.seal(packet.ljust(size, b"\0")) for packet in train]
    bench.peer.sendmsg([b"".join(sealed)], control, 0, bench.ours.getsockname())


def by_flow(packets: list[bytes]) -> dict[bytes, list[bytes]]:
    flows = defaultdict(list)
    for packet in packets:
        flows[flow_of(packet)].append(packet)
    return flows


@pytest.mark.parametrize("strangers", [False, True], ids=["", "strangers"])
def test_all_comes_in_and_every_flow_in_order(
    bench: Bench, library: OffloadLibrary, strangers: bool
) -> None:
    chance = random.Random(1)
    packets = traffic(chance, strangers=strangers)
    send_trains(bench, packets, chance)
    for number in range(100):
        bench.from_system(*tcp_frame(number * 27360, 1368, 20))
        bench.from_system(ECHO)
    bench.lanes.start()
    came: list[bytes] = []
    bench.tun.settimeout(5.0)
    while len(came) < len(packets):
        came += library.split(bench.tun.recv(1 << 17))
    assert by_flow(came) == by_flow(packets)
    assert came != packets, "somebody has passed"
    sent = [bench.opened_at_peer() for _ in range(2100)]
    sequences = [struct.unpack("!I", p[24:28])[0] for p in sent if p[9] == TCP]
    assert sequences == [1368 * number for number in range(2000)]


SLOTS = 128  # of messages received


def bulk(size: int, packets: int) -> list[bytes]:
    """One TCP flow, full of packets."""
    return stream(Inner(payload=bytes(size), sequence=0), packets, size)


def test_a_line_as_long_as_it_can_be_is_in_order(bench: Bench, library: OffloadLibrary) -> None:
    """As many messages as are received at once, each of them a batch of its own."""
    first, *rest = bulk(860, SLOTS * 64)
    packets = [first, ECHO, *rest]
    for at in range(0, len(packets), 64):
        send_train(bench, packets[at : at + 64], 912)
    bench.lanes.start()
    came: list[bytes] = []
    bench.tun.settimeout(5.0)
    while len(came) < len(packets):
        came += library.split(bench.tun.recv(1 << 17))
    sequences = [struct.unpack("!I", p[24:28])[0] for p in came if p[9] == TCP]
    assert sequences == [860 * number for number in range(SLOTS * 64)]


@pytest.mark.parametrize("is_sought", [True, False])
def test_what_came_later_is_looked_through_between_two_writes(
    bench: Bench, library: OffloadLibrary, is_sought: bool
) -> None:
    """Only while somebody is sought; else bulk is written as it is opened, and nobody passes it."""
    packets = bulk(1300, SLOTS * TRAIN)
    if is_sought:
        packets.insert(1, ECHO)
    late = ipv4("10.0.0.1", "10.0.0.2", b"late", protocol=1)
    for at in range(0, len(packets), TRAIN):
        send_train(bench, packets[at : at + TRAIN])
    send_train(bench, [late])
    bench.lanes.start()
    bench.tun.settimeout(5.0)
    writes = 0
    while late not in library.split(bench.tun.recv(1 << 17)):
        writes += 1
    assert writes < SLOTS // 2 if is_sought else writes >= SLOTS


def test_neither_socket_is_kept_waiting_by_the_other(
    bench: Bench, library: OffloadLibrary, ipv6: socket.socket | None
) -> None:
    """What one has received takes up the slots for as long as it stands in line."""
    if ipv6 is None:
        pytest.skip("no IPv6 here")
    bench.ours.setsockopt(SOL_UDP, UDP_GRO, 0)
    for number in range(60):
        for packet in (*stream(Inner(sequence=number * 30000), 30, 1000), ECHO):
            bench.from_peer(packet)
    late = ipv4("10.0.0.1", "10.0.0.2", b"late", protocol=1)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer6:
        peer6.sendto(bench.twin.seal(late), ipv6.getsockname())
    bench.lanes.start()
    bench.tun.settimeout(5.0)
    before = 0
    while late not in (packets := library.split(bench.tun.recv(1 << 17))):
        before += len(packets)
    assert before <= 3 * SLOTS


def second_session(bench: Bench) -> PureKeypair:
    """The other peer has one, too, with the same keys; the answer opens what we send under it."""
    session: Any = {"local_index": 101, "remote_index": 102, "created_at": boot()}
    keypair = bench.path.create_keypair(
        send_key=OURS, receive_key=THEIRS, is_initiator=True, **session
    )
    bench.other.endpoint = bench.address(bench.peer)
    bench.other.install(None, keypair, None)
    return PureKeypair(send_key=THEIRS, receive_key=OURS, is_initiator=False, **session)


def test_a_full_batch_has_room_for_who_passes_and_who_is_let_out(bench: Bench) -> None:
    """Many small packets at once, of two peers in turn, while much larger ones stand in line."""
    twins = {THEIR_INDEX: bench.twin, 102: second_session(bench)}
    bench.from_system(*tcp_frame(0, 1368, 40))
    bench.from_system(ECHO)
    for number in range(1, 40):
        bench.from_system(*tcp_frame(number * 54720, 1368, 40))
    for number in range(1200):
        to = ("10.0.0.2", "10.9.0.2")[number % 2]
        bench.from_system(ipv4("10.0.0.1", to, struct.pack("!I", number), protocol=1))
    bench.lanes.start()
    sent = [bench.at_peer() for _ in range(40 * 40 + 1 + 1200)]
    came = [bytes(twins[struct.unpack("<I", each[4:8])[0]].open(each)) for each in sent]
    sequences = [struct.unpack("!I", p[24:28])[0] for p in came if p[9] == TCP]
    assert sequences == [1368 * number for number in range(1600)]
    numbers = [struct.unpack("!I", p[20:24])[0] for p in came if p[9] == 1 and p[20:24] != b"echo"]
    assert [n for n in numbers if n % 2] == list(range(1, 1200, 2))
    assert [n for n in numbers if not n % 2] == list(range(0, 1200, 2))
