"""The ages of a session: who renews it and when, when it is refused, when it is forgotten."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kubespan.model.constants import REKEY_TIMEOUT_JITTER
from kubespan.model.drop import DropReason
from kubespan.wireguard.effects import Event
from tests.simulated.pair import INITIATION, LATENCY, RESPONSE, TRANSPORT, Pair

BOB_DERIVED_AT = LATENCY
ALICE_DERIVED_AT = 2 * LATENCY


def keypairs(pair: Pair) -> list[object]:
    slots = (pair.bob_at_alice.slot, pair.alice_at_bob.slot)
    return [k for slot in slots for k in (slot.previous, slot.current, slot.next)]


def test_the_initiator_rekeys_at_120_seconds_because_it_sends(connected: Pair) -> None:
    for second in range(1, 130):
        connected.run_until(second + 0.5)
        connected.ping()
    (initiation_at,) = connected.sent(connected.alice, INITIATION)
    assert 120 < initiation_at - ALICE_DERIVED_AT < 121.5
    assert connected.sent(connected.bob, INITIATION) == []
    assert len(connected.bob.delivered) == len(connected.alice.delivered) == 129


def test_the_initiator_does_not_rekey_before_120_seconds(connected: Pair) -> None:
    connected.run_until(ALICE_DERIVED_AT + 119.9)
    connected.alice_sends()
    connected.run_until(ALICE_DERIVED_AT + 120.1)
    assert connected.sent(connected.alice, INITIATION) == []
    connected.alice_sends()
    assert len(connected.sent(connected.alice, INITIATION)) == 1


def test_a_keepalive_rekeys_too(connected: Pair) -> None:
    connected.run_until(130.0)
    connected.alice_keeps_alive()
    assert connected.sent(connected.alice, INITIATION) == [130.0]


def test_the_responder_never_rekeys_for_age(connected: Pair) -> None:
    for second in range(1, 165):
        connected.run_until(second)
        connected.bob_sends()
    assert connected.sent(connected.bob, INITIATION) == []


def test_an_initiator_that_only_receives_rekeys_at_165_seconds_once(connected: Pair) -> None:
    connected.run_until(ALICE_DERIVED_AT + 164.9)
    bob_speaks(connected)
    assert connected.sent(connected.alice, INITIATION) == []
    connected.run_until(ALICE_DERIVED_AT + 171.0)
    bob_speaks(connected)
    assert len(connected.sent(connected.alice, INITIATION)) == 1
    # No answer comes, and another packet under the same session does not ask again: only the
    # retry does, by its own timer.
    connected.run(5.0)
    bob_speaks(connected)
    assert len(connected.sent(connected.alice, INITIATION)) == 1
    connected.run(0.4)
    assert len(connected.sent(connected.alice, INITIATION)) == 2


def test_each_session_may_ask_once(connected: Pair) -> None:
    for _ in range(3):
        connected.run(166.0)
        bob_speaks(connected)
        assert len(connected.sent(connected.alice, INITIATION)) == 1
        # That one is lost like everything; the retry makes the next session.
        connected.replug()
        connected.run(5.5)
        connected.forget()


def bob_speaks(pair: Pair) -> None:
    """Have a packet of Bob's arrive at once, and everything else get lost."""
    pair.unplug()
    pair.bob_sends()
    pair.net.inject(pair.net.tap[-1].datagram, pair.bob.endpoint, pair.alice)


def test_both_refuse_a_session_after_180_seconds(connected: Pair) -> None:
    connected.unplug()
    connected.run_until(BOB_DERIVED_AT + 179.9)
    connected.bob_sends()
    assert len(connected.sent(connected.bob, TRANSPORT)) == 1
    connected.run_until(BOB_DERIVED_AT + 180.001)
    connected.bob_sends()
    # Bob asks for a new session instead of sending under the old one.
    assert len(connected.sent(connected.bob, TRANSPORT)) == 1
    assert len(connected.sent(connected.bob, INITIATION)) == 1


@pytest.mark.parametrize(("age", "is_accepted"), [(179.9, True), (180.1, False)])
def test_what_arrives_after_180_seconds_is_refused(
    connected: Pair, age: float, is_accepted: bool
) -> None:
    connected.unplug()
    connected.alice_sends()
    datagram = connected.net.tap[-1].datagram
    connected.run_until(BOB_DERIVED_AT + age)
    connected.forget()
    connected.net.inject(datagram, connected.alice.endpoint, connected.bob)
    assert len(connected.bob.delivered) == is_accepted
    assert connected.bob.drops == ({} if is_accepted else {DropReason.KEY_EXPIRED: 1})


def test_keys_are_gone_after_540_seconds(connected: Pair) -> None:
    connected.run_until(539.9)
    assert len([k for k in keypairs(connected) if k is not None]) == 2
    connected.run_until(541.0)
    assert keypairs(connected) == [None] * 6
    assert connected.alice.count(Event.KEYS_ZEROED) == 1
    assert connected.bob.count(Event.KEYS_ZEROED) == 1
    assert connected.net.tap == []


def test_a_new_session_puts_the_540_seconds_off(connected: Pair) -> None:
    connected.run_until(300.0)
    connected.ping()
    connected.run_until(700.0)
    assert len([k for k in keypairs(connected) if k is not None]) >= 2
    connected.run_until(900.0)
    assert keypairs(connected) == [None] * 6


def test_an_unreachable_peer_is_forgotten_540_seconds_after_giving_up(pair: Pair) -> None:
    pair.unplug()
    pair.alice_sends()
    pair.run(120.0)
    ((given_up_at, _),) = [e for e in pair.alice.events if e[1].event is Event.HANDSHAKE_GAVE_UP]
    pair.run(1000.0)
    ((zeroed_at, _),) = [e for e in pair.alice.events if e[1].event is Event.KEYS_ZEROED]
    assert zeroed_at - given_up_at == pytest.approx(540.0)


def test_no_packet_is_lost_over_many_rekeys(connected: Pair) -> None:
    for second in range(600):
        connected.run_until(second + 1)
        connected.ping()
    assert len(connected.bob.delivered) == len(connected.alice.delivered) == 600
    assert len(connected.sent(connected.alice, INITIATION)) == 4
    assert len(connected.sent(connected.bob, RESPONSE)) == 4
    assert connected.alice.drops.total() == connected.bob.drops.total() == 0


def test_a_responder_sends_under_the_old_session_until_the_new_one_is_used(
    connected: Pair,
) -> None:
    slot = connected.alice_at_bob.slot
    old = slot.current
    connected.run_until(121.0)
    connected.alice_sends()
    connected.run(1.5 * LATENCY)
    new = slot.next
    assert new is not None
    assert slot.current is old
    packet = connected.bob_sends()
    connected.run(1.0)
    assert connected.alice.delivered == [packet]
    assert (slot.previous, slot.current, slot.next) == (old, new, None)


def test_a_responder_that_is_never_confirmed_keeps_the_old_session(connected: Pair) -> None:
    connected.run_until(121.0)
    connected.alice_sends()
    connected.run(0.5 * LATENCY)
    connected.unplug()
    connected.run(1.0)
    slot = connected.alice_at_bob.slot
    old, unused = slot.current, slot.next
    assert unused is not None
    connected.replug()
    connected.bob_sends()
    connected.run(LATENCY)
    assert slot.current is old
    assert len(connected.alice.delivered) == 1


def test_retries_are_spread_by_chance(pair: Pair) -> None:
    pair.unplug()
    pair.alice_sends()
    pair.run(60.0)
    times = pair.sent(pair.alice, INITIATION)
    delays = [later - earlier - 5 for earlier, later in pairwise(times)]
    assert max(delays) - min(delays) > REKEY_TIMEOUT_JITTER / 4
