"""Packets on their way through: counters to the byte, congestion marks, sizes and errors."""

from __future__ import annotations

import pytest

from kubespan.model.address import Arrival
from kubespan.model.drop import DropReason
from tests.simulated.conftest import CreatePath
from tests.simulated.pair import ALICE, BOB, TRANSPORT, Pair, introduce
from tests.wireguard.packets import PING_SIZE, echo, ipv4, ipv6

PINGS = 10


def test_counters_are_exact_after_ten_pings(pair: Pair) -> None:
    for _ in range(PINGS):
        pair.ping()
    assert len(echo(ALICE, BOB)) == PING_SIZE
    alice, bob = pair.bob_at_alice.slot, pair.alice_at_bob.slot
    # Each ping of 84 bytes is padded to 96 and sealed to 128; a handshake is 148 and 92.
    assert (alice.tx_bytes, alice.rx_bytes) == (148 + PINGS * 128, 92 + PINGS * 128) == (1428, 1372)
    assert (bob.tx_bytes, bob.rx_bytes) == (1372, 1428)
    pair.run(100.0)
    # The last reply is answered by one keepalive.
    assert (alice.tx_bytes, alice.rx_bytes) == (1460, 1372)
    assert (bob.tx_bytes, bob.rx_bytes) == (1372, 1460)


def test_a_flood_of_pings_counts_the_same(pair: Pair) -> None:
    pings = [pair.alice_sends(echo(ALICE, BOB, number)) for number in range(PINGS)]
    pair.run(0.1)
    assert pair.bob.delivered == pings
    for number in range(PINGS):
        pair.bob_sends(echo(BOB, ALICE, number, is_reply=True))
    pair.run(0.1)
    alice = pair.bob_at_alice.slot
    assert (alice.tx_bytes, alice.rx_bytes) == (1428, 1372)


def test_counters_count_what_is_refused_inside(connected: Pair) -> None:
    before = connected.alice_at_bob.slot.rx_bytes
    connected.alice_sends(ipv4("10.9.9.9", BOB, bytes(12)))
    connected.run(0.1)
    assert connected.bob.drops == {DropReason.WRONG_SOURCE: 1}
    assert connected.alice_at_bob.slot.rx_bytes == before + 32 + 32


def test_counters_do_not_count_what_is_not_authentic(connected: Pair) -> None:
    slot = connected.alice_at_bob.slot
    connected.alice_sends()
    datagram = connected.net.tap[-1].datagram
    connected.run(0.1)
    before = (slot.rx_bytes, slot.tx_bytes, slot.last_received_at)
    for bad in (datagram, datagram[:-1] + b"\0", bytes(148), bytes(5)):
        connected.net.inject(bad, connected.alice.endpoint, connected.bob)
    assert (slot.rx_bytes, slot.tx_bytes, slot.last_received_at) == before


@pytest.mark.parametrize("mark", [0, 1, 2, 3])
def test_the_inner_congestion_bits_are_shown_outside(connected: Pair, mark: int) -> None:
    connected.alice_sends(ipv4(ALICE, BOB, tos=0xB8 | mark))
    assert connected.net.tap[-1].traffic_class == mark


@pytest.mark.parametrize(("inside", "expected"), [(0, 0), (1, 3), (2, 3), (3, 3)])
def test_congestion_outside_is_shown_inside(connected: Pair, inside: int, expected: int) -> None:
    net, bob = connected.net, connected.bob
    connected.unplug()
    connected.alice_sends(ipv4(ALICE, BOB, tos=inside))
    effects = bob.interface.receive_datagram(
        connected.net.tap[-1].datagram, arrival_of(connected), net.now, congestion=True
    )
    net.perform(bob, effects)
    assert bob.delivered == [ipv4(ALICE, BOB, tos=expected)]


def arrival_of(pair: Pair) -> Arrival:
    return Arrival(pair.alice.endpoint, None)


def test_a_keepalive_is_not_padded_and_not_marked(connected: Pair) -> None:
    connected.alice_keeps_alive()
    assert (len(connected.net.tap[-1].datagram), connected.net.tap[-1].traffic_class) == (32, 0)


@pytest.mark.parametrize("size", [20, 84, 1279, 1280, 1408, 1409, 1420, 1421, 9000, 65535])
def test_packets_of_every_size_pass_whole(connected: Pair, size: int) -> None:
    packet = connected.alice_sends(ipv4(ALICE, BOB, bytes(size - 20)))
    sealed = len(connected.net.tap[-1].datagram)
    assert 0 <= sealed - 32 - size < 16
    assert size > 1420 or sealed <= 1452
    connected.run(0.1)
    assert connected.bob.delivered == [packet]


def test_ipv6_passes(connected: Pair) -> None:
    net = connected.net
    introduce(net, connected.alice, connected.bob, "fd00::2/128")
    introduce(net, connected.bob, connected.alice, "fd00::1/128", is_known=False)
    packet = connected.alice_sends(ipv6("fd00::1", "fd00::2", b"data"))
    connected.run(0.1)
    assert connected.bob.delivered == [packet]


@pytest.mark.parametrize("plaintext", [b"\x45", bytes(64), ipv4(ALICE, BOB)[:19]])
def test_nonsense_inside_is_refused(connected: Pair, plaintext: bytes) -> None:
    session = connected.bob_at_alice.slot.current
    assert session is not None
    datagram = session.seal(plaintext)
    connected.net.inject(datagram, connected.alice.endpoint, connected.bob)
    assert connected.bob.drops == {DropReason.BAD_INNER: 1}


def test_a_frame_that_is_no_packet_is_dropped(connected: Pair) -> None:
    connected.alice_sends(b"\0" * 40)
    assert connected.alice.drops == {DropReason.BAD_OUTBOUND: 1}
    assert connected.net.tap == []


def test_a_destination_without_a_peer_is_unreachable(create_path: CreatePath) -> None:
    pair = Pair(create_path=create_path)
    packet = pair.alice_sends(ipv4(ALICE, "192.168.1.1", b"data"))
    assert pair.alice.drops == {DropReason.NO_PEER: 1}
    (error,) = pair.alice.delivered
    assert (error[9], error[20:22], error[28:]) == (1, bytes((3, 1)), packet)
    assert pair.net.tap == []


def test_a_peer_without_an_endpoint_is_unreachable(pair: Pair) -> None:
    pair.bob_sends()
    assert pair.bob.drops == {DropReason.NO_ENDPOINT: 1}
    assert len(pair.bob.delivered) == 1


def test_errors_are_not_sent_too_often(pair: Pair) -> None:
    for _ in range(100):
        pair.alice_sends(ipv4(ALICE, "192.168.1.1", b"data"))
    assert pair.alice.drops == {DropReason.NO_PEER: 100}
    assert len(pair.alice.delivered) == 5
    pair.run(1.0)
    pair.alice_sends(ipv4(ALICE, "192.168.1.1", b"data"))
    assert len(pair.alice.delivered) == 6


def test_a_packet_is_sealed_once_whatever_the_route(connected: Pair) -> None:
    connected.alice_sends()
    connected.alice_sends()
    counters = [t.datagram[8:16] for t in connected.net.tap if t.datagram[0] == TRANSPORT]
    assert [int.from_bytes(counter, "little") for counter in counters] == [1, 2]
