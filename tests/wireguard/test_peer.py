"""One peer by itself: what each input asks for, effect by effect. Whole lives are simulated."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

import pytest

from kubespan.model.address import Arrival, Endpoint
from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.instant import Instant
from kubespan.model.keys import PresharedKey, PrivateKey
from kubespan.noise.handshake import HandshakeState, LocalStatic, open_initiation
from kubespan.noise.messages import CookieReply, Initiation, Response
from kubespan.wireguard.effects import Dropped, Effect, Event, PeerEvent, SendDatagram
from kubespan.wireguard.peer import Peer
from kubespan.wireguard.purepath import PurePath
from kubespan.wireguard.surroundings import Result, Role, Surroundings
from tests.wireguard.packets import ipv4

HERE = Arrival(Endpoint.parse("192.0.2.1:1"), None)
THERE = Arrival(Endpoint.parse("192.0.2.2:2"), None)
PACKET = ipv4("10.0.0.1", "10.0.0.2")


def at(seconds: float) -> Instant:
    return Instant(1000.0 + seconds, round((1e9 + seconds) * 1e9))


def datagrams(effects: Sequence[Effect]) -> list[bytes]:
    return [effect.datagram for effect in effects if isinstance(effect, SendDatagram)]


def events(effects: Sequence[Effect]) -> list[Event]:
    return [effect.event for effect in effects if isinstance(effect, PeerEvent)]


class Ends:
    """Two peers that are each other's, started; the first knows where the second is."""

    def __init__(self) -> None:
        self.locals = [LocalStatic(PrivateKey(bytes([number] * 32))) for number in (1, 2)]
        self.surroundings: list[Surroundings[Peer]] = [
            Surroundings(PurePath(), Random(number).randbytes, local=local)
            for number, local in enumerate(self.locals)
        ]
        self.one = Peer(self.locals[1].public_key, self.surroundings[0])
        self.other = Peer(self.locals[0].public_key, self.surroundings[1])
        self.one.set_endpoint(THERE.endpoint)
        for peer in (self.one, self.other):
            peer.start(at(0))

    def initiation(self, now: Instant) -> list[Effect]:
        (datagram,) = datagrams(self.one.send_initiation(now))
        message = Initiation.parse(datagram)
        opened = open_initiation(self.locals[1], message)
        return self.other.receive_initiation(opened, message, HERE, now)

    def handshake(self, now: Instant) -> list[Effect]:
        (datagram,) = datagrams(self.initiation(now))
        return self.one.receive_response(Response.parse(datagram), THERE, now)


def test_a_packet_without_a_session_asks_for_one_and_waits() -> None:
    ends = Ends()
    effects = ends.one.send_packet(PACKET, at(0))
    (datagram,) = datagrams(effects)
    assert len(datagram) == 148
    assert events(effects) == [Event.HANDSHAKE_INITIATION_SENT]
    assert ends.one.send_packet(PACKET, at(1)) == []
    assert ends.one.slot.tx_bytes == 148


def test_an_initiation_is_answered_with_a_session_that_waits_to_be_used() -> None:
    ends = Ends()
    effects = ends.initiation(at(0))
    assert events(effects) == [Event.ROAMED, Event.HANDSHAKE_RESPONSE_SENT]
    slot = ends.other.slot
    assert slot.current is None
    assert slot.next is not None
    assert (slot.endpoint, slot.rx_bytes, slot.tx_bytes) == (HERE.endpoint, 148, 92)
    # An answer is a handshake message too: no initiation for a while.
    assert ends.other.send_initiation(at(4.9)) == []
    assert ends.other.send_initiation(at(5.0)) != []


def test_a_response_completes_and_confirms() -> None:
    ends = Ends()
    effects = ends.handshake(at(0))
    assert events(effects) == [Event.HANDSHAKE_COMPLETED, Event.KEEPALIVE_SENT]
    (keepalive,) = datagrams(effects)
    session = ends.other.slot.next
    assert session is not None
    assert session.open(keepalive) == b""
    assert ends.one.slot.current is not None
    assert ends.one.last_handshake_wall_ns == at(0).wall_ns


def test_what_waits_confirms_in_place_of_a_keepalive() -> None:
    ends = Ends()
    ends.one._outbox.stage(PACKET)
    effects = ends.handshake(at(0))
    assert events(effects) == [Event.HANDSHAKE_COMPLETED]
    assert [len(datagram) for datagram in datagrams(effects)] == [64]


def test_our_own_message_is_not_sent_round_again() -> None:
    ends = Ends()
    ends.handshake(at(0))
    ends.one.set_endpoint(Endpoint.parse("10.0.0.2:2"))
    (datagram,) = datagrams(ends.one.send_packet(PACKET, at(1)))
    udp = struct.pack("!HHHH", 1, 2, 8 + len(datagram), 0)
    effects = ends.one.send_packet(ipv4("10.0.0.1", "10.0.0.2", udp + datagram), at(1))
    assert effects == [Dropped(DropReason.ROUTING_LOOP)]


def test_confirming_rotates_once() -> None:
    ends = Ends()
    ends.handshake(at(0))
    session = ends.other.slot.next
    assert session is not None
    assert events(ends.other.confirm(session, at(1))) == [Event.HANDSHAKE_COMPLETED]
    assert ends.other.slot.current is session
    assert ends.other.confirm(session, at(2)) == []
    assert ends.other.last_handshake_wall_ns == at(1).wall_ns


def test_a_refused_response_changes_nothing() -> None:
    ends = Ends()
    (datagram,) = datagrams(ends.initiation(at(0)))
    bad = Response.parse(datagram[:44] + bytes(16) + datagram[60:])
    slot = ends.one.slot
    before = (slot.endpoint, slot.rx_bytes, slot.last_received_at, ends.one.handshake.state)
    with pytest.raises(ProtocolError):
        ends.one.receive_response(bad, HERE, at(1))
    assert (slot.endpoint, slot.rx_bytes, slot.last_received_at, ends.one.handshake.state) == before
    tally = ends.surroundings[0].handshakes
    assert tally == {(Role.INITIATOR, Result.SENT): 1, (Role.INITIATOR, Result.REFUSED): 1}
    # The genuine one is still taken.
    effects = ends.one.receive_response(Response.parse(datagram), THERE, at(2))
    assert Event.HANDSHAKE_COMPLETED in events(effects)


def test_a_refused_initiation_changes_nothing() -> None:
    ends = Ends()
    (datagram,) = datagrams(ends.one.send_initiation(at(0)))
    message = Initiation.parse(datagram)
    opened = open_initiation(ends.locals[1], message)
    ends.other.receive_initiation(opened, message, HERE, at(0))
    session = ends.other.slot.next
    with pytest.raises(ProtocolError):
        ends.other.receive_initiation(opened, message, THERE, at(1))
    assert ends.other.slot.next is session
    assert ends.other.slot.endpoint == HERE.endpoint
    assert ends.other.slot.rx_bytes == 148


def test_a_bad_cookie_reply_is_refused() -> None:
    ends = Ends()
    ends.one.send_initiation(at(0))
    with pytest.raises(ProtocolError):
        ends.one.receive_cookie_reply(CookieReply(0, bytes(24), bytes(32)), at(0))


def test_a_suspected_clock_is_told_once_until_all_is_well() -> None:
    ends = Ends()
    assert events(ends.other.suspect_clock()) == [Event.CLOCK_WENT_BACK]
    assert ends.other.suspect_clock() == []
    ends.initiation(at(0))
    assert events(ends.other.suspect_clock()) == [Event.CLOCK_WENT_BACK]


def test_an_index_is_given_back_when_its_handshake_is_over() -> None:
    ends = Ends()
    indices = ends.surroundings[0].indices
    for number in range(3):
        ends.one.send_initiation(at(number * 6))
        assert len(indices._handshakes) == 1
    ends.one.stop()
    assert indices._handshakes == {}
    assert ends.one.handshake.state is HandshakeState.ZEROED


def test_our_own_initiation_keeps_its_index_until_it_is_not_needed_any_more() -> None:
    ends = Ends()
    ends.other.set_endpoint(HERE.endpoint)
    ends.other.send_initiation(at(0))
    indices = ends.surroundings[1].indices
    ends.initiation(at(1))
    assert (len(indices._handshakes), len(indices._keypairs)) == (1, 1)
    session = ends.other.slot.next
    assert session is not None
    ends.other.confirm(session, at(2))
    assert (len(indices._handshakes), len(indices._keypairs)) == (0, 1)


def test_both_answer_where_both_began() -> None:
    ends = Ends()
    ends.other.set_endpoint(HERE.endpoint)
    (from_other,) = datagrams(ends.other.send_initiation(at(0)))
    (to_one,) = datagrams(ends.initiation(at(0)))
    message = Initiation.parse(from_other)
    opened = open_initiation(ends.locals[0], message)
    (to_other,) = datagrams(ends.one.receive_initiation(opened, message, THERE, at(0)))
    assert Event.HANDSHAKE_COMPLETED in events(
        ends.one.receive_response(Response.parse(to_one), THERE, at(0))
    )
    assert Event.HANDSHAKE_COMPLETED in events(
        ends.other.receive_response(Response.parse(to_other), HERE, at(0))
    )


def test_stopping_drops_what_waits_and_retiring_forgets_the_keys() -> None:
    ends = Ends()
    ends.one.preshared_key = PresharedKey(bytes([7] * 32))
    ends.one.send_packet(PACKET, at(0))
    assert ends.one.stop() == [Dropped(DropReason.INTERFACE_DOWN)]
    assert ends.one.send_packet(PACKET, at(1)) == []
    assert not ends.one.handshake.is_dead
    ends.one.retire()
    assert ends.one.handshake.is_dead
    assert ends.one.preshared_key.is_zero


def test_a_preshared_key_is_a_copy() -> None:
    ends = Ends()
    given = PresharedKey(bytes([7] * 32))
    ends.one.preshared_key = given
    ends.one.preshared_key = PresharedKey()
    assert not given.is_zero


def test_starting_twice_changes_nothing() -> None:
    ends = Ends()
    assert ends.one.send_initiation(at(0)) != []
    ends.one.start(at(1))
    assert ends.one.send_initiation(at(2)) == []


def test_one_timer_may_put_off_another_that_is_due_with_it() -> None:
    ends = Ends()
    ends.one.send_packet(PACKET, at(0))
    ends.one._attempts = 19
    ends.one.slot.note_received(1000.0, 0, data=True)
    # Giving up cancels the keepalive, which had been due for as long.
    effects = ends.one.handle_timeout(at(100))
    assert events(effects) == [Event.HANDSHAKE_GAVE_UP]
    assert ends.one.handle_timeout(at(200)) == []


def test_a_retry_waits_when_the_peer_was_answered_meanwhile() -> None:
    ends = Ends()
    ends.other.set_endpoint(HERE.endpoint)
    ends.other.send_initiation(at(0))
    ends.initiation(at(3))
    # The answer may be void, as both began at once: the retry is put off, not given up.
    assert ends.other.handle_timeout(at(5.5)) == []
    assert events(ends.other.handle_timeout(at(8.5))) == [Event.HANDSHAKE_INITIATION_SENT]


def places(effects: Sequence[Effect]) -> list[Endpoint]:
    return [effect.endpoint for effect in effects if isinstance(effect, SendDatagram)]


def test_candidates_are_tried_while_there_is_no_session() -> None:
    ends = Ends()
    candidates = tuple(Endpoint.parse(f"198.51.100.{number}:9") for number in range(10))
    ends.one.candidates = candidates
    effects = ends.one.send_packet(PACKET, at(0))
    assert places(effects) == [THERE.endpoint, *candidates[:8]]
    assert len(set(datagrams(effects))) == 1
    assert events(effects) == [Event.HANDSHAKE_INITIATION_SENT]
    assert ends.one.slot.tx_bytes == 9 * 148
    # A retry goes on where the last one ended.
    retry = ends.one.handle_timeout(at(5.5))
    assert places(retry) == [THERE.endpoint, *candidates[8:], *candidates[:6]]


def test_candidates_are_left_alone_while_there_is_a_session() -> None:
    ends = Ends()
    ends.handshake(at(0))
    ends.one.candidates = (Endpoint.parse("198.51.100.1:9"),)
    assert places(ends.one.send_initiation(at(121))) == [THERE.endpoint]
    # Nobody answers, so the peer may be elsewhere by now.
    assert len(places(ends.one.handle_timeout(at(126.5)))) == 2


def test_a_peer_that_falls_silent_is_looked_for_at_candidates() -> None:
    ends = Ends()
    ends.handshake(at(0))
    ends.one.candidates = (Endpoint.parse("198.51.100.1:9"),)
    assert ends.one.unanswered_since is None
    assert ends.one.last_handshake_at == at(0).boot
    ends.one.send_packet(PACKET, at(1))
    assert ends.one.unanswered_since == at(1).boot
    assert len(places(ends.one.handle_timeout(at(16.5)))) == 2
    # The timer starts afresh, what it is about does not.
    ends.one.send_packet(PACKET, at(17))
    assert ends.one.unanswered_since == at(1).boot
    ends.one.slot.note_received(at(18).boot, 32, data=False)
    assert ends.one.unanswered_since is None


def test_candidates_take_turns_whatever_becomes_of_the_count() -> None:
    ends = Ends()
    candidates = tuple(Endpoint.parse(f"198.51.100.{number}:9") for number in range(20))
    ends.one.candidates = candidates
    for number in range(3):
        # As when it is moved to another endpoint: the count begins anew, the turn does not.
        sent = places(ends.one.send_initiation(at(6 * number)))
        assert set(sent[1:]) == {candidates[(8 * number + n) % 20] for n in range(8)}


def test_a_handshake_may_be_begun_later() -> None:
    ends = Ends()
    ends.one.begin_later(2.0, at(0))
    assert ends.one.handle_timeout(at(1.9)) == []
    (told,) = [e for e in ends.one.handle_timeout(at(2)) if isinstance(e, PeerEvent)]
    assert (told.event, told.detail) == (Event.HANDSHAKE_INITIATION_SENT, "attempt 1")


def test_data_does_not_wait_for_a_handshake_that_is_planned() -> None:
    ends = Ends()
    ends.one.begin_later(2.0, at(0))
    assert events(ends.one.send_packet(PACKET, at(1))) == [Event.HANDSHAKE_INITIATION_SENT]
    # Nor is one begun that the peer made unnecessary.
    ends.other.begin_later(2.0, at(0))
    ends.handshake(at(6))
    session = ends.other.slot.next
    assert session is not None
    ends.other.confirm(session, at(6))
    assert ends.other.handle_timeout(at(7)) == []


def test_a_peer_that_may_have_moved_is_sought_at_candidates_too() -> None:
    ends = Ends()
    ends.handshake(at(0))
    ends.one.candidates = (Endpoint.parse("198.51.100.1:9"),)
    ends.one.seek(at(20))
    assert len(places(ends.one.handle_timeout(at(20)))) == 2
    # What is under way already will look there by itself.
    ends.one.seek(at(21))
    assert ends.one.handle_timeout(at(24)) == []


def test_nobody_is_sought_within_five_seconds_of_a_handshake() -> None:
    ends = Ends()
    ends.handshake(at(0))
    ends.one.seek(at(1))
    assert ends.one.handle_timeout(at(4.9)) == []
    assert events(ends.one.handle_timeout(at(5))) == [Event.HANDSHAKE_INITIATION_SENT]


def test_what_waits_for_an_answer_can_be_sent_elsewhere() -> None:
    ends = Ends()
    assert ends.one.repeat_initiation(at(0)) == []
    (first,) = datagrams(ends.one.send_initiation(at(0)))
    elsewhere = Endpoint.parse("198.51.100.1:9")
    ends.one.set_endpoint(elsewhere)
    again = ends.one.repeat_initiation(at(1))
    assert (datagrams(again), places(again)) == ([first], [elsewhere])
    message = Initiation.parse(first)
    opened = open_initiation(ends.locals[1], message)
    (answer,) = datagrams(ends.other.receive_initiation(opened, message, HERE, at(1)))
    ends.one.receive_response(Response.parse(answer), THERE, at(1))
    assert ends.one.repeat_initiation(at(2)) == []
