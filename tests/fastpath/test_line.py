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

import pytest

from tests.fastpath.inner_packet import Inner, stream
from tests.fastpath.naive_offload import TCP, UDP
from tests.fastpath.offload_library import OffloadLibrary
from tests.fastpath.test_lanes import (
    ECHO,
    SO_RCVBUFFORCE,
    SO_SNDBUFFORCE,
    SOL_UDP,
    UDP_GRO,
    Bench,
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


@pytest.fixture(params=[True, False], ids=["one thread", "two threads"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    one = Bench(
        single=request.param,
        vnet_header=True,
        age=1.0,
        initiator=True,
        start=False,
        tcp_offload=True,
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
    """Seal them at one size, glued as a sender with UDP_SEGMENT does."""
    control = [(SOL_UDP, UDP_SEGMENT, struct.pack("H", INNER + 32))]
    at = 0
    while at < len(packets):
        train = packets[at : at + chance.randint(2, TRAIN)]
        sealed = [bench.twin.seal(packet.ljust(INNER, b"\0")) for packet in train]
        bench.peer.sendmsg([b"".join(sealed)], control, 0, bench.ours.getsockname())
        at += len(train)


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
    assert (came != packets) is True, "somebody has passed"
    sent = [bench.opened_at_peer() for _ in range(2100)]
    sequences = [struct.unpack("!I", p[24:28])[0] for p in sent if p[9] == TCP]
    assert sequences == [1368 * number for number in range(2000)]
