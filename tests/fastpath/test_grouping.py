"""Many peers in any order, both ways: each one's together, none out of order, all of them there."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from kubespan import fastpath
from kubespan.fastpath import LaneOptions
from kubespan.model.address import Arrival, Endpoint, Prefix, Source
from kubespan.model.drop import DropReason
from kubespan.wireguard.keypair import PureKeypair
from tests.fastpath.test_lanes import ipv4

LOOPBACK = ip_address("127.0.0.1")
PATIENCE = 5.0
BATCH_FRAMES = 256
BUFFER_SIZE = 4 << 20


class Party:
    """Three peers with sessions, and lanes that are started when their frames are waiting."""

    def __init__(self, *, segment: bool = True) -> None:
        self.tun, self.lane_tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.tun.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_SIZE)
        self.lane_tun.setblocking(False)
        self.ours = bound()
        self.peers = [bound() for _ in range(3)]
        self.path: Any = fastpath.create_path()
        self.slots: list[Any] = [self.path.create_slot() for _ in self.peers]
        self.twins = [self.establish(number) for number in range(3)]
        self.path.publish_routes(
            (Prefix.parse(f"10.{n}.0.0/16"), slot) for n, slot in enumerate(self.slots)
        )
        self.lanes = fastpath.create_lanes(
            self.path,
            LaneOptions(self.lane_tun.fileno(), (self.ours.fileno(),), segment=segment),
        )

    def establish(self, number: int) -> PureKeypair:
        ends = (bytes([number]) * 32, bytes([number + 100]) * 32)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        values: dict[str, Any] = {"is_initiator": True, "created_at": now}
        ours, theirs = number + 1, 7
        keypair = self.path.create_keypair(
            send_key=ends[0],
            receive_key=ends[1],
            local_index=ours,
            remote_index=theirs,
            **values,
        )
        self.slots[number].endpoint = Endpoint(LOOPBACK, self.peers[number].getsockname()[1])
        self.slots[number].install(None, keypair, None)
        return PureKeypair(
            send_key=ends[1],
            receive_key=ends[0],
            local_index=theirs,
            remote_index=ours,
            **values,
        )

    def send(self, frames: list[tuple[int, bytes]]) -> None:
        for number, payload in frames:
            self.tun.send(packet(number, payload))
        self.lanes.start()

    def arrived(self, number: int, count: int) -> list[bytes]:
        """What a peer opens, in the order in which it came, without the padding."""
        packets = []
        for counter in range(count):
            datagram = self.peers[number].recv(65535)
            assert int.from_bytes(datagram[8:16], "little") == counter
            opened = self.twins[number].open(datagram)
            assert isinstance(opened, bytes)
            packets.append(opened[: int.from_bytes(opened[2:4], "big")])
        return packets

    def receive(self, arrivals: list[tuple[int, bytes]]) -> None:
        """Every peer's packets are waiting, in this order, before the lanes start."""
        for number, payload in arrivals:
            self.peers[number].sendto(
                self.twins[number].seal(incoming(number, payload)), self.ours.getsockname()
            )
        self.lanes.start()

    def delivered(self, count: int) -> list[bytes]:
        self.tun.settimeout(PATIENCE)
        return [self.tun.recv(65535) for _ in range(count)]

    def counted(self) -> dict[str, int]:
        self.lanes.stop()
        return dict(self.lanes.counters())

    def close(self) -> None:
        self.lanes.stop()
        self.lanes.close()
        for one in (self.tun, self.lane_tun, self.ours, *self.peers):
            one.close()


def bound() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((str(LOOPBACK), 0))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_SIZE)
    one.settimeout(PATIENCE)
    return one


def incoming(number: int, payload: bytes) -> bytes:
    return ipv4(f"10.{number}.0.1", "10.200.0.1", payload)


def packet(number: int, payload: bytes) -> bytes:
    return ipv4("10.200.0.1", f"10.{number}.0.1", payload)


@pytest.fixture
def party() -> Iterator[Party]:
    one = Party()
    yield one
    one.close()


def expected(frames: list[tuple[int, bytes]], number: int) -> list[bytes]:
    return [packet(n, payload) for n, payload in frames if n == number]


def check(party: Party, frames: list[tuple[int, bytes]]) -> None:
    for number in range(3):
        wanted = expected(frames, number)
        assert party.arrived(number, len(wanted)) == wanted


def test_in_turns_becomes_one_super_packet_for_each_peer(party: Party) -> None:
    frames = [(n % 3, n.to_bytes(4, "big") * 10) for n in range(30)]
    party.send(frames)
    check(party, frames)
    counted = party.counted()
    assert [counted[name] for name in ("udp_sends", "udp_messages", "udp_sent")] == [1, 3, 30]
    assert counted["sealed_batches"] == 3
    assert [slot.tx_bytes for slot in party.slots] == [10 * (64 + 32)] * 3


@pytest.mark.parametrize("seed", range(8))
def test_any_order_and_any_sizes(party: Party, seed: int) -> None:
    """More of them than one batch has."""
    chance = random.Random(seed)
    peers = chance.choice(([0, 1], [0, 1, 2], [0, 0, 0, 1, 2]))
    sizes = chance.choice(([20], [20, 36], [20, 500, 1300, 4000], list(range(0, 200, 7))))
    frames = [
        (chance.choice(peers), chance.randbytes(chance.choice(sizes)))
        for _ in range(chance.choice((2, 40, BATCH_FRAMES, BATCH_FRAMES + 40)))
    ]
    party.send(frames)
    check(party, frames)
    assert not +party.lanes.drops()


def test_a_source_that_is_refused_does_not_keep_what_was_gathered(party: Party) -> None:
    """Every part of a super-packet is sent again, each datagram once, without the source."""
    for slot in party.slots:
        foreign = Source(ip_address("203.0.113.9"), 0)
        slot.roam(Arrival(slot.endpoint, foreign))
    frames = [(n % 3, n.to_bytes(4, "big") * 10) for n in range(30)]
    party.send(frames)
    check(party, frames)
    party.lanes.stop()
    assert [slot.source for slot in party.slots] == [None] * 3
    assert party.lanes.drops()[DropReason.SEND_FAILED] == 0


def test_without_segmentation_each_goes_by_itself() -> None:
    party = Party(segment=False)
    frames = [(n % 3, n.to_bytes(4, "big") * 10) for n in range(30)]
    party.send(frames)
    check(party, frames)
    assert party.counted()["udp_messages"] == 30
    party.close()


def test_what_comes_in_turns_is_opened_by_key_and_delivered_in_order(party: Party) -> None:
    arrivals = [(n % 3, n.to_bytes(4, "big") * 9) for n in range(30)]
    party.receive(arrivals)
    assert party.delivered(30) == [incoming(*arrival) for arrival in arrivals]
    counted = party.counted()
    assert [counted[name] for name in ("opened_batches", "opened_messages")] == [3, 30]
    assert not +party.lanes.drops()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_forged_or_replayed_among_others_is_dropped_alone(party: Party, seed: int) -> None:
    """More than one batch, of any sizes, with wrong tags and repetitions anywhere."""
    chance = random.Random(seed)
    wanted, refused = [], {DropReason.BAD_TAG: 0, DropReason.REPLAYED: 0}
    address = party.ours.getsockname()
    for n in range(120):
        number = chance.randrange(3)
        plaintext = incoming(number, n.to_bytes(4, "big") * chance.choice((1, 9, 150, 300)))
        datagram = party.twins[number].seal(plaintext)
        fate = chance.choice(("good", "good", "good", *refused))
        if fate == DropReason.BAD_TAG:
            spoiled = bytearray(datagram)
            spoiled[chance.randrange(16, len(spoiled))] ^= 1 << chance.randrange(8)
            party.peers[number].sendto(spoiled, address)
        else:
            wanted.append(plaintext)
            for _ in range(2 if fate == DropReason.REPLAYED else 1):
                party.peers[number].sendto(datagram, address)
        if isinstance(fate, DropReason):
            refused[fate] += 1
    party.lanes.start()
    assert party.delivered(len(wanted)) == wanted
    party.lanes.stop()
    assert {r: n for r, n in party.lanes.drops().items() if n} == refused
