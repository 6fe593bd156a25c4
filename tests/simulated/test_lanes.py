"""What the core does when lanes move the packets: they open and seal, it hears only what is new.

A lane is played by hand: it uses the installed session, notes it in the slot, and tells the core no
more than a lane does.
"""

from __future__ import annotations

import pytest

from kubespan.model.address import Arrival
from kubespan.wireguard.effects import Event
from kubespan.wireguard.peer import Peer
from tests.simulated.pair import ALICE, BOB, INITIATION, ROUND_TRIP, TRANSPORT, Pair
from tests.wireguard.packets import ipv4


def lane_sends(pair: Pair, peer: Peer, packet: bytes) -> bytes:
    """Seal a packet as a lane would; return the datagram."""
    assert peer.slot.current is not None
    datagram = peer.slot.current.seal(packet)
    peer.slot.note_sent(pair.net.now.boot, len(datagram), data=bool(packet))
    return datagram


def lane_receives(pair: Pair, peer: Peer, datagram: bytes) -> None:
    """Open a datagram as a lane would."""
    slot = peer.slot
    (session,) = [
        k
        for k in (slot.previous, slot.current, slot.next)
        if k is not None and k.local_index == int.from_bytes(datagram[4:8], "little")
    ]
    opened = session.open(datagram)
    assert isinstance(opened, bytes)
    slot.note_received(pair.net.now.boot, 32 + len(opened), data=bool(opened))
    assert slot.endpoint is not None
    slot.roam(Arrival(slot.endpoint, None))


def test_data_received_unseen_is_answered_by_a_keepalive(connected: Pair) -> None:
    datagram = lane_sends(connected, connected.bob_at_alice, ipv4(ALICE, BOB))
    connected.run(3.3)
    received_at = connected.net.elapsed
    lane_receives(connected, connected.alice_at_bob, datagram)
    connected.run(20.0)
    assert connected.keepalives(connected.bob) == [pytest.approx(received_at + 10.0)]


def test_data_sent_unseen_is_missed_after_fifteen_seconds(connected: Pair) -> None:
    connected.run(7.7)
    sent_at = connected.net.elapsed
    lane_sends(connected, connected.bob_at_alice, ipv4(ALICE, BOB))
    connected.run(20.0)
    (initiation_at, *_) = connected.sent(connected.alice, INITIATION)
    assert 0 <= initiation_at - sent_at - 15.0 <= 0.34


def test_a_wish_for_a_new_session_begins_a_handshake(connected: Pair) -> None:
    net, alice = connected.net, connected.alice
    session = connected.bob_at_alice.slot.current
    assert session is not None
    connected.run(10.0)
    for _ in range(2):
        net.perform(alice, alice.interface.handle_rekey_due(session.local_index, net.now))
    assert len(connected.sent(alice, INITIATION)) == 1
    connected.run(6.0)
    # The session that it was about is not the current one any more.
    net.perform(alice, alice.interface.handle_rekey_due(session.local_index, net.now))
    net.perform(alice, alice.interface.handle_rekey_due(0, net.now))
    assert len(connected.sent(alice, INITIATION)) == 1


def test_a_confirmation_rotates_sessions_and_sends_what_waits(pair: Pair) -> None:
    net, bob = pair.net, pair.bob
    pair.alice_keeps_alive()
    pair.run(ROUND_TRIP * 0.75)
    slot = pair.alice_at_bob.slot
    session = slot.next
    assert session is not None
    packet = pair.bob_sends()
    assert pair.sent(bob, TRANSPORT) == []
    pair.forget()
    for _ in range(2):
        net.perform(bob, bob.interface.handle_confirmed(session.local_index, net.now))
    net.perform(bob, bob.interface.handle_confirmed(0, net.now))
    assert (slot.current, slot.next) == (session, None)
    assert bob.count(Event.HANDSHAKE_COMPLETED) == 1
    pair.run(1.0)
    assert pair.alice.delivered == [packet]


def test_what_waits_is_sealed_before_lanes_can_use_the_session(pair: Pair) -> None:
    for _ in range(3):
        pair.alice_sends()
    pair.run(ROUND_TRIP)
    counters = [t.datagram[8] for t in pair.net.tap if t.datagram[0] == TRANSPORT]
    assert counters == [0, 1, 2]
    datagram = lane_sends(pair, pair.bob_at_alice, ipv4(ALICE, BOB))
    assert datagram[8] == 3
