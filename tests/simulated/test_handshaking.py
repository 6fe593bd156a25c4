"""When handshakes are begun, repeated, given up, and completed in unfriendly order."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kubespan.model.constants import (
    MAX_STAGED_PACKETS,
    REKEY_TIMEOUT,
    REKEY_TIMEOUT_JITTER,
)
from kubespan.model.drop import DropReason
from kubespan.noise.handshake import Handshake
from kubespan.wireguard.effects import Event
from kubespan.wireguard.surroundings import Result, Role
from tests.simulated.conftest import CreatePath
from tests.simulated.pair import (
    INITIATION,
    LATENCY,
    RESPONSE,
    ROUND_TRIP,
    TRANSPORT,
    Pair,
    introduce,
)

NO_ANSWER_AFTER = 15.0
SPREAD = REKEY_TIMEOUT_JITTER + 2 * LATENCY


def gaps_between(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_a_packet_brings_a_handshake_and_follows_it(pair: Pair) -> None:
    packets = [pair.alice_sends() for _ in range(3)]
    pair.run(1.0)
    assert pair.bob.delivered == packets
    assert pair.sent(pair.alice, INITIATION) == [0.0]
    assert pair.sent(pair.bob, RESPONSE) == [pytest.approx(LATENCY)]
    assert pair.sent(pair.alice, TRANSPORT) == [pytest.approx(ROUND_TRIP)] * 3
    for peer, role in ((pair.bob_at_alice, Role.INITIATOR), (pair.alice_at_bob, Role.RESPONDER)):
        assert peer.last_handshake_wall_ns > 0
        tally = (pair.alice if role is Role.INITIATOR else pair.bob).interface.handshakes
        assert tally == {(role, Result.SENT): 1, (role, Result.COMPLETED): 1}


def test_handshake_messages_have_a_traffic_class_and_data_has_not(pair: Pair) -> None:
    pair.ping()
    assert {(t.datagram[0], t.traffic_class) for t in pair.net.tap} == {
        *((INITIATION, 0x88), (RESPONSE, 0x88), (TRANSPORT, 0)),
    }


def test_an_unreachable_peer_gets_twenty_initiations_then_silence(pair: Pair) -> None:
    pair.unplug()
    pair.alice_sends()
    pair.run(1000.0)
    times = pair.sent(pair.alice, INITIATION)
    assert len(times) == 20
    gaps = gaps_between(times)
    assert all(REKEY_TIMEOUT <= gap <= REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER for gap in gaps)
    assert len(set(gaps)) > 1
    assert pair.alice.count(Event.HANDSHAKE_GAVE_UP) == 1
    assert pair.alice.drops == {DropReason.STAGED_OVERFLOW: 1}
    # Only new data begins anew.
    pair.replug()
    pair.run(1000.0)
    assert len(pair.sent(pair.alice, INITIATION)) == 20
    packet = pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == [packet]


def test_new_data_while_retrying_starts_the_count_again(pair: Pair) -> None:
    pair.unplug()
    for _ in range(40):
        pair.alice_sends()
        pair.run(5.0)
    pair.forget()
    pair.run(1000.0)
    assert 19 <= len(pair.sent(pair.alice, INITIATION)) <= 20


def test_a_persistent_keepalive_never_gives_up(create_path: CreatePath) -> None:
    pair = Pair(keepalive=25, create_path=create_path)
    pair.unplug()
    pair.run(1000.0)
    pair.replug()
    pair.run(30.0)
    assert pair.sent(pair.bob, RESPONSE) != []


def test_no_initiation_within_five_seconds_of_another(pair: Pair) -> None:
    pair.unplug()
    for _ in range(100):
        pair.alice_sends()
        pair.run(0.125)
    assert min(gaps_between(pair.sent(pair.alice, INITIATION))) >= REKEY_TIMEOUT


def test_staged_packets_are_few_and_the_oldest_goes_first(pair: Pair) -> None:
    pair.unplug()
    packets = [pair.alice_sends() for _ in range(MAX_STAGED_PACKETS + 10)]
    assert pair.alice.drops == {DropReason.STAGED_OVERFLOW: 10}
    pair.replug()
    pair.run(6.0)
    assert pair.bob.delivered == packets[10:]


def test_a_sender_without_an_answer_handshakes_at_fifteen_seconds(connected: Pair) -> None:
    connected.unplug()
    connected.alice_sends()
    sent_at = connected.net.elapsed
    connected.run(NO_ANSWER_AFTER + REKEY_TIMEOUT_JITTER)
    (initiation_at,) = connected.sent(connected.alice, INITIATION)
    assert 0 <= initiation_at - sent_at - NO_ANSWER_AFTER <= REKEY_TIMEOUT_JITTER


def test_the_fifteen_seconds_run_from_the_first_unanswered_packet(connected: Pair) -> None:
    connected.ping()
    connected.unplug()
    sent_at = connected.net.elapsed
    for _ in range(20):
        connected.alice_sends()
        connected.run(1.0)
    (initiation_at, *_) = connected.sent(connected.alice, INITIATION)
    assert 0 <= initiation_at - sent_at - NO_ANSWER_AFTER <= REKEY_TIMEOUT_JITTER


def test_any_answer_stops_the_fifteen_seconds(connected: Pair) -> None:
    connected.alice_sends()
    connected.run(1000.0)
    # The keepalive after ten seconds was answer enough.
    assert connected.sent(connected.alice, INITIATION) == []


def test_data_into_the_void_keeps_the_retries_going(connected: Pair) -> None:
    # Under a session that is still young, 20 initiations alone would end at 115 s.
    connected.unplug()
    for _ in range(170):
        connected.alice_sends()
        connected.run(1.0)
    assert connected.alice.count(Event.HANDSHAKE_GAVE_UP) == 0
    assert connected.net.elapsed - connected.sent(connected.alice, INITIATION)[-1] < 6.0


def test_a_lost_initiation_is_repeated(pair: Pair) -> None:
    pair.unplug()
    packet = pair.alice_sends()
    pair.run(1.0)
    pair.replug()
    pair.run(5.0)
    assert pair.bob.delivered == [packet]
    assert len(pair.sent(pair.alice, INITIATION)) == 2


def test_a_lost_response_is_repeated(pair: Pair) -> None:
    packet = pair.alice_sends()
    pair.run(LATENCY / 2)
    pair.net.weather.loss = 1.0
    pair.run(1.0)
    pair.replug()
    pair.run(5.0)
    assert len(pair.sent(pair.bob, RESPONSE)) == 2
    assert pair.bob.delivered == [packet]


def test_a_late_response_within_five_seconds_is_accepted(pair: Pair) -> None:
    packet = pair.alice_sends()
    pair.net.weather.latency = 4.9 - LATENCY
    pair.run(10.0)
    assert pair.bob.delivered == [packet]
    assert len(pair.sent(pair.alice, INITIATION)) == 1


def test_a_response_to_an_initiation_that_was_repeated_is_too_late(pair: Pair) -> None:
    pair.net.weather.latency = 3.0
    pair.alice_sends()
    pair.run(6.5)
    assert pair.alice.drops == {DropReason.UNKNOWN_INDEX: 1}


@pytest.mark.parametrize("delay", [0.0, LATENCY / 2, LATENCY, 1.5 * LATENCY])
def test_simultaneous_initiations_end_in_a_session(create_path: CreatePath, delay: float) -> None:
    pair = Pair(alice_is_known=True, create_path=create_path)
    from_alice = pair.alice_sends()
    pair.run(delay)
    from_bob = pair.bob_sends()
    pair.run(1.0)
    assert pair.bob.delivered == [from_alice]
    assert pair.alice.delivered == [from_bob]
    # And a later packet needs no further handshake.
    pair.forget()
    later = pair.alice_sends()
    pair.run(1.0)
    assert pair.bob.delivered == [later]
    assert pair.sent(pair.alice, INITIATION) == []


def test_a_peer_that_gives_up_its_own_initiation_is_answered_by_ours(
    create_path: CreatePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel does when initiations cross; with ours it used to take another five seconds."""
    pair = Pair(alice_is_known=True, create_path=create_path)
    bobs = pair.alice_at_bob.handshake
    set_aside = Handshake._set_aside
    monkeypatch.setattr(
        Handshake, "_set_aside", lambda self: None if self is bobs else set_aside(self)
    )
    from_alice, from_bob = pair.alice_sends(), pair.bob_sends()
    pair.run(0.5)
    assert (pair.bob.delivered, pair.alice.delivered) == ([from_alice], [from_bob])
    assert pair.bob.count(Event.HANDSHAKE_COMPLETED) == 1


def test_a_duplicate_of_every_datagram_changes_nothing(create_path: CreatePath) -> None:
    pair = Pair(create_path=create_path)
    pair.net.weather.duplication = 1.0
    packets = [pair.alice_sends() for _ in range(10)]
    pair.run(1.0)
    assert pair.bob.delivered == packets
    assert pair.bob.drops == {DropReason.REPLAYED: 11}
    # The second response finds an index that names a session, not a handshake.
    assert pair.alice.drops == {DropReason.UNKNOWN_INDEX: 1}
    # That is no sign of a wrong clock.
    assert pair.bob.count(Event.CLOCK_WENT_BACK) == 0


def test_reordering_loses_nothing(connected: Pair) -> None:
    connected.net.weather.jitter = 0.5
    packets = [connected.alice_sends() for _ in range(200)]
    connected.run(2.0)
    assert connected.bob.delivered != packets
    assert sorted(connected.bob.delivered) == sorted(packets)


def test_a_handshake_without_an_endpoint_goes_nowhere(pair: Pair) -> None:
    pair.bob_sends()
    assert pair.bob.drops == {DropReason.NO_ENDPOINT: 1}
    introduce(pair.net, pair.bob, pair.alice, is_known=False, keepalive=1)
    pair.run(3.0)
    assert pair.net.tap == []
    assert pair.alice_at_bob.slot.tx_bytes == 0
    # Told where Alice is, Bob calls at once what it tried in vain.
    introduce(pair.net, pair.bob, pair.alice, keepalive=1)
    assert pair.sent(pair.bob, INITIATION) == [3.0]


def test_a_clock_that_went_back_is_told_once_and_heals(pair: Pair) -> None:
    pair.connect()
    captured = []
    for _ in range(3):
        pair.net.perform(pair.alice, pair.alice.interface.set_down(pair.net.now))
        pair.net.perform(pair.alice, pair.alice.interface.set_up(pair.net.now))
        pair.alice_sends()
        captured.append(pair.net.tap[-1].datagram)
        pair.run(1.0)
    pair.forget()
    for datagram in captured:
        pair.net.inject(datagram, pair.alice.endpoint, pair.bob)
    assert pair.bob.drops == {DropReason.OLD_TIMESTAMP: 2, DropReason.REPLAYED: 1}
    assert pair.bob.count(Event.CLOCK_WENT_BACK) == 1
    assert pair.sent(pair.bob, RESPONSE) == []


def test_initiations_closer_than_twenty_milliseconds_are_refused(pair: Pair) -> None:
    # A peer whose clock runs, but which starts again and again.
    pair.net.weather.latency = 0.001
    for step in (0.018, 0.018, 0.03):
        pair.net.perform(pair.alice, pair.alice.interface.set_down(pair.net.now))
        pair.net.perform(pair.alice, pair.alice.interface.set_up(pair.net.now))
        pair.alice_sends()
        pair.run(step)
    assert pair.bob.drops == {DropReason.HANDSHAKE_FLOOD: 1}
    assert len(pair.sent(pair.bob, RESPONSE)) == 2
