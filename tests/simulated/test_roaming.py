"""Endpoints follow what is authentic, and nothing else."""

from __future__ import annotations

import pytest

from kubespan.model.address import Endpoint, Source
from kubespan.model.drop import DropReason
from kubespan.wireguard.effects import Event
from tests.simulated.pair import (
    ALICE,
    BOB,
    INITIATION,
    RESPONSE,
    TRANSPORT,
    Pair,
    add_node,
    introduce,
)
from tests.wireguard.packets import ipv4

ELSEWHERE = Endpoint.parse("198.51.100.1:1111")
IPV6 = Endpoint.parse("[2001:db8::1]:51820")


def test_a_responder_learns_where_the_initiator_is(pair: Pair) -> None:
    pair.alice_sends()
    pair.run(1.0)
    assert pair.alice_at_bob.slot.endpoint == pair.alice.endpoint
    assert pair.bob.count(Event.ROAMED) == 1
    assert pair.alice.count(Event.ROAMED) == 0


@pytest.mark.parametrize("to", [ELSEWHERE, IPV6])
def test_answers_follow_a_peer_that_moved(connected: Pair, to: Endpoint) -> None:
    connected.move(connected.alice, str(to))
    connected.alice_sends()
    connected.run(0.1)
    assert connected.alice_at_bob.slot.endpoint == to
    packet = connected.bob_sends()
    connected.run(0.1)
    assert connected.alice.delivered == [packet]
    assert connected.sent(connected.alice, INITIATION) == []


def test_a_keepalive_is_enough_to_move(connected: Pair) -> None:
    connected.move(connected.alice, str(ELSEWHERE))
    connected.alice_keeps_alive()
    connected.run(0.1)
    assert connected.alice_at_bob.slot.endpoint == ELSEWHERE


def test_a_response_moves_the_responder(pair: Pair) -> None:
    pair.net.translate = lambda e: ELSEWHERE if e == pair.bob.endpoint else e
    pair.alice_sends()
    pair.run(1.0)
    assert pair.bob_at_alice.slot.endpoint == ELSEWHERE


def test_what_is_not_authentic_moves_nobody(connected: Pair) -> None:
    connected.alice_sends()
    genuine = connected.net.tap[-1].datagram
    connected.run(0.1)
    home = connected.alice.endpoint
    tampered = genuine[:20] + bytes((genuine[20] ^ 1,)) + genuine[21:]
    for datagram in (genuine, tampered, genuine[:-1], genuine[:16], b"", bytes(148)):
        connected.net.inject(datagram, ELSEWHERE, connected.bob)
    assert connected.alice_at_bob.slot.endpoint == home
    assert connected.bob.drops == {
        DropReason.REPLAYED: 1,
        DropReason.BAD_TAG: 2,
        DropReason.MALFORMED: 2,
        DropReason.UNKNOWN_TYPE: 1,
    }


def test_a_replayed_handshake_moves_nobody(pair: Pair) -> None:
    pair.alice_sends()
    pair.run(1.0)
    handshake = [t.datagram for t in pair.net.tap if t.datagram[0] in (INITIATION, RESPONSE)]
    for datagram in handshake:
        for node in (pair.alice, pair.bob):
            pair.net.inject(datagram, ELSEWHERE, node)
    assert pair.alice_at_bob.slot.endpoint == pair.alice.endpoint
    assert pair.bob_at_alice.slot.endpoint == pair.bob.endpoint
    assert len(pair.sent(pair.bob, RESPONSE)) == 1


def test_an_answer_leaves_from_the_address_that_was_written_to(connected: Pair) -> None:
    connected.alice_sends()
    connected.run(0.1)
    assert connected.alice_at_bob.slot.source == Source(connected.bob.endpoint.address, 1)
    # Being told where the peer is ends that.
    connected.bob.interface.set_endpoint(connected.alice_at_bob, ELSEWHERE)
    assert connected.alice_at_bob.slot.source is None


def test_silence_ends_the_choice_of_a_source(connected: Pair) -> None:
    slot = connected.bob_at_alice.slot
    assert slot.source is not None
    connected.unplug()
    connected.alice_sends()
    connected.run(14.0)
    assert slot.source is not None
    connected.run(2.0)
    assert slot.source is None


def test_a_retry_ends_the_choice_of_a_source(connected: Pair) -> None:
    slot = connected.bob_at_alice.slot
    connected.run_until(121.0)
    connected.unplug()
    connected.alice_sends()
    assert slot.source is not None
    connected.run(6.0)
    assert slot.source is None


def test_an_inner_packet_that_is_refused_still_moves_its_sender(connected: Pair) -> None:
    connected.move(connected.alice, str(ELSEWHERE))
    connected.alice_sends(ipv4("10.9.9.9", BOB))
    connected.run(0.1)
    assert connected.bob.delivered == []
    assert connected.bob.drops == {DropReason.WRONG_SOURCE: 1}
    assert connected.alice_at_bob.slot.endpoint == ELSEWHERE


def test_a_longer_prefix_of_another_peer_blocks_delivery(connected: Pair) -> None:
    net, bob = connected.net, connected.bob
    carol = add_node(net, 3)
    introduce(net, bob, connected.alice, "10.0.0.0/24", is_known=False)
    delivered = connected.alice_sends()
    connected.run(0.1)
    introduce(net, bob, carol, f"{ALICE}/32", is_known=False)
    connected.alice_sends()
    connected.run(0.1)
    assert bob.delivered == [delivered]
    assert bob.drops == {DropReason.WRONG_SOURCE: 1}


def test_reconfiguring_keeps_the_session(connected: Pair) -> None:
    net, alice, peer = connected.net, connected.alice, connected.bob_at_alice
    session = peer.slot.current
    alice.interface.clear_allowed_ips(peer)
    introduce(net, alice, connected.bob, "10.0.0.0/24", f"{BOB}/32", keepalive=25)
    packet = connected.alice_sends()
    connected.run(0.1)
    assert connected.bob.delivered == [packet]
    assert peer.slot.current is session
    assert connected.sent(alice, INITIATION) == []
    assert len(connected.sent(alice, TRANSPORT)) == 2


def test_the_candidate_that_answers_becomes_the_endpoint(pair: Pair) -> None:
    """One initiation goes everywhere; the peer hears it where it is, and the rest is roaming."""
    peer = pair.bob_at_alice
    peer.set_endpoint(ELSEWHERE)
    peer.candidates = (IPV6, pair.bob.endpoint, Endpoint.parse("198.51.100.2:2222"))
    packet = pair.alice_sends()
    pair.run(1.0)
    assert peer.slot.endpoint == pair.bob.endpoint
    assert pair.bob.delivered == [packet]
    assert len(pair.sent(pair.alice, INITIATION)) == 4


def test_whoever_moved_can_tell_without_having_anything_to_say(connected: Pair) -> None:
    connected.move(connected.alice, str(ELSEWHERE))
    connected.net.perform(connected.alice, connected.alice.interface.hail(connected.net.now))
    connected.run(0.1)
    assert connected.alice_at_bob.slot.endpoint == ELSEWHERE
    connected.alice.interface.set_down(connected.net.now)
    assert connected.alice.interface.hail(connected.net.now) == []
