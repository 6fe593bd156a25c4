"""Who sends nothing, and the keepalives that break the silence."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kubespan.model.constants import KEEPALIVE_TIMEOUT
from kubespan.wireguard.effects import Event
from tests.simulated.conftest import CreatePath
from tests.simulated.pair import (
    INITIATION,
    LATENCY,
    ROUND_TRIP,
    TRANSPORT,
    Pair,
    add_node,
    introduce,
    private_key,
)

HOUR = 3600.0


def test_configured_peers_that_have_nothing_to_say_say_nothing(pair: Pair) -> None:
    pair.run(HOUR)
    assert pair.net.tap == []


def test_an_idle_session_sends_nothing(connected: Pair) -> None:
    connected.run(HOUR)
    assert connected.net.tap == []


def test_a_thousand_idle_peers_are_not_looked_at(pair: Pair) -> None:
    interface = pair.alice.interface
    for number in range(1000, 2000):
        peer = interface.add_peer(private_key(number).public_key, pair.net.now)
        assert peer is not None
        interface.commit_peer(peer, keepalive_turned_on=False, now=pair.net.now)
    interface.next_timeout(pair.net.now)
    assert interface.next_timeout(pair.net.now) is None


def test_one_packet_brings_exactly_one_keepalive(connected: Pair) -> None:
    connected.alice_sends()
    arrived_at = connected.net.elapsed + LATENCY
    connected.run(HOUR)
    assert connected.keepalives(connected.bob) == [pytest.approx(arrived_at + KEEPALIVE_TIMEOUT)]
    assert connected.keepalives(connected.alice) == []
    assert len(connected.net.tap) == 2
    assert connected.bob.count(Event.KEEPALIVE_SENT) == 1


def test_more_packets_meanwhile_bring_one_more(connected: Pair) -> None:
    arrived_at = connected.net.elapsed + LATENCY
    for _ in range(5):
        connected.alice_sends()
        connected.run(1.0)
    connected.run(HOUR)
    first = arrived_at + KEEPALIVE_TIMEOUT
    assert connected.keepalives(connected.bob) == [
        pytest.approx(first),
        pytest.approx(first + KEEPALIVE_TIMEOUT),
    ]


def test_steady_data_one_way_brings_steady_keepalives(connected: Pair) -> None:
    started_at = connected.net.elapsed
    for _ in range(100):
        connected.alice_sends()
        connected.run(1.0)
    keepalives = connected.keepalives(connected.bob)
    assert keepalives == pytest.approx(
        [started_at + LATENCY + KEEPALIVE_TIMEOUT * n for n in range(1, 10)]
    )
    assert connected.sent(connected.alice, INITIATION) == []


def test_an_answer_takes_the_place_of_the_keepalive(connected: Pair) -> None:
    connected.ping()
    connected.run(KEEPALIVE_TIMEOUT - ROUND_TRIP)
    assert connected.keepalives(connected.bob) == []
    connected.run(HOUR)
    # Now it is Alice who received the last packet.
    assert len(connected.keepalives(connected.alice)) == 1
    assert connected.keepalives(connected.bob) == []


def test_a_keepalive_is_not_answered_by_a_keepalive(connected: Pair) -> None:
    connected.alice_keeps_alive()
    connected.run(HOUR)
    assert len(connected.net.tap) == 1


def test_a_session_begun_without_data_is_confirmed_by_a_keepalive(pair: Pair) -> None:
    pair.alice_keeps_alive()
    pair.run(HOUR)
    assert pair.keepalives(pair.alice) == [pytest.approx(ROUND_TRIP)]
    assert pair.sent(pair.bob, TRANSPORT) == []


def test_a_session_begun_with_data_needs_no_keepalive(pair: Pair) -> None:
    pair.alice_sends()
    pair.run(1.0)
    assert pair.keepalives(pair.alice) == []
    assert len(pair.bob.delivered) == 1


@pytest.mark.parametrize("interval", [1, 25])
def test_a_persistent_keepalive_is_sent_for_every_interval_of_silence(
    create_path: CreatePath, interval: int
) -> None:
    pair = Pair(keepalive=interval, create_path=create_path)
    pair.run(100.0)
    keepalives = pair.keepalives(pair.alice)
    gaps = [later - earlier for earlier, later in pairwise(keepalives)]
    assert keepalives[0] == pytest.approx(ROUND_TRIP)
    assert gaps == pytest.approx([interval] * len(gaps))
    assert len(gaps) == 99 // interval
    assert pair.keepalives(pair.bob) == []


def test_traffic_puts_a_persistent_keepalive_off(create_path: CreatePath) -> None:
    pair = Pair(keepalive=5, create_path=create_path)
    pair.run(1.0)
    for _ in range(20):
        pair.ping()
        pair.run(4.0)
    assert len(pair.keepalives(pair.alice)) == 1  # that which began the session
    # What is received puts it off as well as what is sent.
    pair.forget()
    for _ in range(5):
        pair.bob_sends()
        pair.run(4.0)
    # There are only those that answer data.
    first, second = pair.keepalives(pair.alice)
    assert second - first == pytest.approx(KEEPALIVE_TIMEOUT)


def test_turning_the_keepalive_on_while_up_sends_one_at_once(connected: Pair) -> None:
    introduce(connected.net, connected.alice, connected.bob, keepalive=25)
    assert connected.keepalives(connected.alice) == [connected.net.elapsed]
    # Changing it, or setting it again, does not.
    introduce(connected.net, connected.alice, connected.bob, keepalive=25)
    introduce(connected.net, connected.alice, connected.bob, keepalive=26)
    assert len(connected.net.tap) == 1
    introduce(connected.net, connected.alice, connected.bob, keepalive=0)
    connected.run(HOUR)
    assert len(connected.net.tap) == 1


def test_turning_the_keepalive_on_without_a_session_handshakes_at_once(pair: Pair) -> None:
    introduce(pair.net, pair.alice, pair.bob, keepalive=25)
    assert pair.sent(pair.alice, INITIATION) == [0.0]
    pair.run(1.0)
    assert len(pair.keepalives(pair.alice)) == 1


def test_nothing_is_sent_before_the_interface_is_up(create_path: CreatePath) -> None:
    pair = Pair(is_up=False, keepalive=1, create_path=create_path)
    pair.alice_sends()
    pair.run(100.0)
    assert pair.net.tap == []
    assert pair.bob_at_alice.slot.tx_bytes == 0


def test_coming_up_wakes_peers_with_a_persistent_keepalive(create_path: CreatePath) -> None:
    pair = Pair(is_up=False, keepalive=25, create_path=create_path)
    for node in (pair.bob, pair.alice):
        pair.net.perform(node, node.interface.set_up(pair.net.now))
    assert pair.sent(pair.alice, INITIATION) == [0.0]
    pair.run(1.0)
    assert len(pair.keepalives(pair.alice)) == 1
    assert pair.sent(pair.bob, INITIATION) == []


def test_nothing_is_sent_before_there_is_a_key(create_path: CreatePath) -> None:
    pair = Pair(create_path=create_path)
    net, alice = pair.net, pair.alice
    net.perform(alice, alice.interface.set_private_key(None, net.now))
    introduce(net, alice, pair.bob, keepalive=1)
    packet = pair.alice_sends()
    pair.run(100.0)
    assert net.tap == []
    # The first key wakes the interface, and what waits is sent.
    net.perform(alice, alice.interface.set_private_key(private_key(1), net.now))
    assert pair.sent(alice, INITIATION) == [net.elapsed]
    pair.run(1.0)
    assert pair.bob.delivered == [packet]


def test_a_new_node_without_a_key_takes_no_handshake(create_path: CreatePath) -> None:
    pair = Pair(create_path=create_path)
    net, bob = pair.net, pair.bob
    net.perform(bob, bob.interface.set_private_key(None, net.now))
    pair.alice_sends()
    pair.run(1.0)
    assert pair.sent(bob, 2) == []
    assert bob.drops.total() == 1


def test_going_down_ends_everything(connected: Pair) -> None:
    net, alice = connected.net, connected.alice
    introduce(net, alice, connected.bob, keepalive=1)
    connected.alice_sends()
    connected.forget()
    net.perform(alice, alice.interface.set_down(net.now))
    connected.alice_sends()
    connected.bob_sends()
    connected.run(12.0)
    assert connected.sent(alice, TRANSPORT) == []
    assert connected.sent(alice, INITIATION) == []
    assert alice.delivered == []
    slot = connected.bob_at_alice.slot
    assert (slot.previous, slot.current, slot.next) == (None, None, None)
    # Up again, the handshake is immediate.
    connected.forget()
    net.perform(alice, alice.interface.set_up(net.now))
    assert connected.sent(alice, INITIATION) == [net.elapsed]


def test_up_and_down_at_the_same_moment_is_harmless(pair: Pair) -> None:
    net, alice = pair.net, pair.alice
    pair.alice_sends()
    for _ in range(3):
        net.perform(alice, alice.interface.set_down(net.now))
        net.perform(alice, alice.interface.set_up(net.now))
        net.perform(alice, alice.interface.set_up(net.now))
    packet = pair.alice_sends()
    pair.run(1.0)
    # Its initiation carries the same time as the one before, which Bob may refuse until the retry.
    pair.run(6.0)
    assert pair.bob.delivered == [packet]


def test_a_stranger_hears_nothing(pair: Pair) -> None:
    carol = add_node(pair.net, 3)
    introduce(pair.net, carol, pair.bob, "0.0.0.0/0")
    carol_sends = carol.interface.send_packet(bytes.fromhex("45") + bytes(19), pair.net.now)
    pair.net.perform(carol, carol_sends)
    pair.run(HOUR)
    assert {t.sender for t in pair.net.tap} == {carol.endpoint}
