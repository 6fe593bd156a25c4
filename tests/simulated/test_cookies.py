"""Under load: cookies for both kinds of message, rates for each source, and nothing else moved."""

from __future__ import annotations

from kubespan.model.address import Endpoint
from kubespan.model.constants import COOKIE_VALIDITY, UNDER_LOAD_AFTER
from kubespan.model.drop import DropReason
from kubespan.testing.simnet import Node
from kubespan.wireguard.effects import Event
from tests.simulated.pair import (
    COOKIE_REPLY,
    INITIATION,
    RESPONSE,
    Pair,
    add_node,
    introduce,
)
from tests.wireguard.packets import ipv4

NO_MAC2 = bytes(16)
STRANGER = Endpoint.parse("203.0.113.9:9")


def put_under_load(pair: Pair, node: Node) -> None:
    """Have a node receive junk with a long queue behind it, which counts for one second."""
    junk = (1).to_bytes(4, "little") + bytes(144)
    pair.net.inject(junk, STRANGER, node, queued=UNDER_LOAD_AFTER)
    assert node.drops.pop(DropReason.BAD_MAC1) == 1


def mac2_of(pair: Pair, kind: int) -> list[bytes]:
    """Return the mac2 of all messages of a type so far."""
    return [t.datagram[-16:] for t in pair.net.tap if t.datagram[0] == kind]


def test_a_loaded_responder_wants_a_cookie(pair: Pair) -> None:
    put_under_load(pair, pair.bob)
    packet = pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.drops == {DropReason.UNDER_LOAD: 1}
    assert pair.alice.count(Event.COOKIE_RECEIVED) == 1
    (reply,) = [t for t in pair.net.tap if t.datagram[0] == COOKIE_REPLY]
    assert (len(reply.datagram), reply.traffic_class) == (64, 0)
    # The retry shows it, under load or not.
    pair.run(5.0 - 1.0)
    put_under_load(pair, pair.bob)
    pair.run(1.0)
    assert pair.bob.delivered == [packet]
    without, with_cookie = mac2_of(pair, INITIATION)
    assert without == NO_MAC2 != with_cookie


def test_a_loaded_initiator_wants_a_cookie_for_the_response(pair: Pair) -> None:
    packet = pair.alice_sends()
    put_under_load(pair, pair.alice)
    pair.run(1.0)
    assert pair.alice.drops == {DropReason.UNDER_LOAD: 1}
    assert pair.bob.count(Event.COOKIE_RECEIVED) == 1
    assert pair.sent(pair.alice, COOKIE_REPLY) != []
    # Alice tries again, and Bob's next response shows the cookie.
    pair.run(4.0)
    put_under_load(pair, pair.alice)
    pair.run(1.0)
    without, with_cookie = mac2_of(pair, RESPONSE)
    assert without == NO_MAC2 != with_cookie
    assert pair.bob.delivered == [packet]


def test_load_lasts_a_second(pair: Pair) -> None:
    put_under_load(pair, pair.bob)
    pair.run(1.0)
    packet = pair.alice_sends()
    pair.run(0.5)
    assert pair.bob.delivered == [packet]
    assert pair.sent(pair.bob, COOKIE_REPLY) == []


def test_a_cookie_is_used_for_115_seconds(pair: Pair) -> None:
    put_under_load(pair, pair.bob)
    pair.alice_sends()
    pair.run(1.0)
    pair.unplug()
    for _ in range(30):
        pair.alice_sends()
        pair.run(5.0)
    given_at = 0.02
    for transmission in pair.net.tap:
        if transmission.datagram[0] == INITIATION and transmission.at > given_at:
            is_fresh = transmission.at < given_at + COOKIE_VALIDITY
            assert (transmission.datagram[-16:] != NO_MAC2) is is_fresh
    assert pair.net.elapsed > given_at + COOKIE_VALIDITY


def test_a_cookie_is_worth_nothing_from_another_port(pair: Pair) -> None:
    put_under_load(pair, pair.bob)
    pair.alice_sends()
    pair.run(4.9)
    pair.move(pair.alice, "192.0.2.1:4444")
    put_under_load(pair, pair.bob)
    pair.run(1.0)
    assert pair.bob.drops == {DropReason.UNDER_LOAD: 2}
    assert len(mac2_of(pair, INITIATION)) == 2


def test_a_cookie_reply_moves_nothing_but_the_cookie(connected: Pair) -> None:
    connected.run_until(121.0)
    put_under_load(connected, connected.bob)
    connected.alice_sends()
    slot = connected.bob_at_alice.slot
    before = (slot.endpoint, slot.current, slot.last_received_at, slot.rx_bytes)
    connected.move(connected.bob, "192.0.2.77:7777")
    connected.net.weather.latency = 0.01
    initiation = connected.net.tap[-1].datagram
    connected.net.inject(initiation, connected.alice.endpoint, connected.bob)
    connected.run(1.0)
    assert connected.alice.count(Event.COOKIE_RECEIVED) == 1
    assert (slot.endpoint, slot.current, slot.last_received_at, slot.rx_bytes) == before
    # The retry comes when it would have come without.
    connected.run(5.0)
    assert len(connected.sent(connected.alice, INITIATION)) == 2


def test_a_second_reply_to_the_same_message_is_ignored(pair: Pair) -> None:
    put_under_load(pair, pair.bob)
    pair.net.weather.duplication = 1.0
    pair.alice_sends()
    pair.run(1.0)
    assert pair.alice.count(Event.COOKIE_RECEIVED) == 1
    assert pair.alice.drops[DropReason.UNEXPECTED] == 3


def test_a_forged_reply_is_refused(pair: Pair) -> None:
    pair.alice_sends()
    index = pair.net.tap[-1].datagram[4:8]
    forged = (3).to_bytes(4, "little") + index + bytes(56)
    pair.net.inject(forged, pair.bob.endpoint, pair.alice)
    unknown = (3).to_bytes(4, "little") + bytes(60)
    pair.net.inject(unknown, pair.bob.endpoint, pair.alice)
    assert pair.alice.drops == {DropReason.BAD_AEAD: 1, DropReason.UNKNOWN_INDEX: 1}


def test_a_flood_with_a_valid_cookie_is_limited_and_disturbs_nobody_else(pair: Pair) -> None:
    carol = add_node(pair.net, 3)
    introduce(pair.net, carol, pair.bob, "10.0.0.0/24")
    introduce(pair.net, pair.bob, carol, "10.0.0.3/32", is_known=False)
    # Both get a cookie.
    put_under_load(pair, pair.bob)
    pair.alice_sends()
    from_carol = ipv4("10.0.0.3", "10.0.0.2", b"carol")
    pair.net.send(carol, from_carol)
    pair.run(4.5)
    pair.net.tap.clear()
    # Alice's retry, which shows her cookie, is kept from Bob and sent a hundred times instead.
    pair.unplug()
    pair.run(1.0)
    (flood,) = [t.datagram for t in pair.net.tap if t.sender == pair.alice.endpoint]
    assert flood[-16:] != NO_MAC2
    pair.bob.drops.clear()
    for _ in range(100):
        pair.net.inject(flood, pair.alice.endpoint, pair.bob, queued=UNDER_LOAD_AFTER)
    assert pair.bob.drops == {DropReason.REPLAYED: 4, DropReason.RATE_LIMITED: 95}
    # Carol, from another address, is let in at once.
    (retry,) = [t.datagram for t in pair.net.tap if t.sender == carol.endpoint]
    pair.replug()
    pair.net.inject(retry, carol.endpoint, pair.bob, queued=UNDER_LOAD_AFTER)
    pair.run(0.5)
    assert from_carol in pair.bob.delivered


def test_a_flood_of_junk_disturbs_nobody(pair: Pair) -> None:
    junk = (1).to_bytes(4, "little") + bytes(144)
    for _ in range(1000):
        pair.net.inject(junk, STRANGER, pair.bob)
    packet = pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == [packet]
    assert pair.bob.drops == {DropReason.BAD_MAC1: 1000}
