"""The conversation with one service, input by input, in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from kubespan.discovery.client.effects import (
    AskList,
    Call,
    Change,
    Connect,
    Disconnect,
    Effect,
    Failure,
    FailureReason,
    Left,
    OpenWatch,
    Publish,
    SayHello,
    SeenAt,
    SendDelete,
    SendUpdate,
    Tell,
)
from kubespan.discovery.client.inquiry import LIST_INTERVAL
from kubespan.discovery.client.membership import (
    LEAVE_TIMEOUT,
    MAX_REDIRECTS,
    SNAPSHOT_TIMEOUT,
    Membership,
    Phase,
)
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.address import IPAddress
from tests.discovery.records import affiliate, open_record, record

OWN = AffiliateRecord("me", b"mine", (b"e",))
DOWN = Failure(FailureReason.UNREACHABLE)
LATE = Failure(FailureReason.TIMED_OUT)
OVER = Failure(FailureReason.ENDED)
FULL = Failure(FailureReason.EXHAUSTED)
PUBLIC = ip_address("8.8.8.8").packed


def is_useful(address: IPAddress) -> bool:
    return address.is_global


def create() -> Membership:
    """A membership whose chances are all even."""
    return Membership("default", "host:443", "me", open_record, lambda: 0.5, is_useful)


def quiet(effects: Iterable[Effect]) -> list[Effect]:
    """Leave out what is only told to the operator."""
    return [effect for effect in effects if not isinstance(effect, Tell)]


def told(effects: Iterable[Effect]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, Tell)]


def watching(*records: AffiliateRecord, own: bool = True) -> Membership:
    """One that has heard a snapshot at 0, and whose own record is acknowledged."""
    membership = create()
    if own:
        membership.set_record(OWN.data, OWN.endpoints, 0.0)
    membership.start()
    membership.receive_hello(1, "", b"", 0.0)
    membership.receive_watch(1, records, False, 0.0)
    if own:
        membership.receive_acknowledgement(1, "me", 0.0)
    return membership


# -------------------------------------------------------------------------------- getting there


def test_hello_then_watch_and_registration() -> None:
    membership = create()
    assert membership.set_record(OWN.data, OWN.endpoints, 0.0) == []
    assert membership.start() == [Connect(1, "host:443"), SayHello(1)]
    assert membership.start() == []
    assert membership.next_timeout is None
    assert membership.receive_hello(1, "", PUBLIC, 0.1) == [
        SeenAt(ip_address("8.8.8.8")),
        OpenWatch(1),
        SendUpdate(1, OWN),
    ]
    effects = membership.receive_watch(1, [record("a"), record("me")], False, 0.2)
    assert quiet(effects) == [Publish((Change("a", affiliate("a")),), is_whole=True)]
    assert told(effects) == ["discovery service default: connected to host:443, 1 members"]
    assert told(membership.receive_acknowledgement(1, "me", 0.3)) == [
        "discovery service default: this host is registered"
    ]
    assert membership.members == {"a": affiliate("a")}
    assert membership.heard_at == 0.2
    assert membership.next_timeout == 855.3


def test_onlooker_registers_nothing() -> None:
    membership = watching(record("a"), own=False)
    assert membership.next_timeout is None
    assert membership.leave(1.0) == [Disconnect(1), Left()]


def test_same_address_is_told_once_and_each_family_has_one() -> None:
    membership = create()
    membership.start()
    membership.receive_hello(1, "", PUBLIC, 0.0)
    membership.handle_failure(1, Call.WATCH, DOWN, 0.0)
    membership.handle_timeout(1.0)
    assert membership.receive_hello(2, "", PUBLIC, 1.0) == [OpenWatch(2)]
    membership.handle_failure(2, Call.WATCH, DOWN, 1.0)
    membership.handle_timeout(3.0)
    ipv6 = ip_address("2a00:1450::1")
    assert membership.receive_hello(3, "", ipv6.packed, 3.0)[0] == SeenAt(ipv6)
    assert membership.addresses == {4: ip_address("8.8.8.8"), 6: ipv6}


def test_address_of_no_use_is_not_told() -> None:
    membership = create()
    membership.start()
    assert membership.receive_hello(1, "", ip_address("10.0.0.1").packed, 0.0) == [OpenWatch(1)]
    assert membership.addresses == {}


def test_failed_hello_is_tried_again_with_growing_pauses() -> None:
    membership = create()
    membership.start()
    pauses = []
    now = 0.0
    for channel in range(1, 30):
        effects = membership.handle_failure(channel, Call.HELLO, DOWN, now)
        assert quiet(effects) == [Disconnect(channel)]
        assert membership.phase is Phase.WAITING
        assert membership.next_timeout is not None
        pauses.append(membership.next_timeout - now)
        now = membership.next_timeout
        assert membership.handle_timeout(now - 0.01) == []
        assert membership.handle_timeout(now) == [
            Connect(channel + 1, "host:443"),
            SayHello(channel + 1),
        ]
    assert pauses[:3] == pytest.approx([0.5, 0.75, 1.125])
    assert pauses[-1] == pytest.approx(60.0)


def test_watch_without_a_word_is_given_up() -> None:
    membership = create()
    membership.start()
    membership.receive_hello(1, "", b"", 0.0)
    assert membership.next_timeout == SNAPSHOT_TIMEOUT
    assert quiet(membership.handle_timeout(SNAPSHOT_TIMEOUT)) == [Disconnect(1)]


# ------------------------------------------------------------------------------------- redirects


def test_redirect_is_followed() -> None:
    membership = create()
    membership.start()
    assert membership.receive_hello(1, "other", b"", 0.0) == [
        Disconnect(1),
        Connect(2, "other:443"),
        SayHello(2),
    ]
    membership.receive_hello(2, "", b"", 0.1)
    membership.receive_watch(2, [], False, 0.2)
    membership.handle_failure(2, Call.WATCH, DOWN, 10.0)
    assert membership.handle_timeout(10.5)[0] == Connect(3, "other:443")
    membership.handle_failure(3, Call.HELLO, DOWN, 10.5)
    assert membership.handle_timeout(12.0)[0] == Connect(4, "host:443")


def test_redirect_to_where_we_are_is_none() -> None:
    membership = create()
    membership.start()
    assert membership.receive_hello(1, "host:443", b"", 0.0) == [OpenWatch(1)]


def test_redirect_to_nowhere_is_refused() -> None:
    membership = create()
    membership.start()
    effects = membership.receive_hello(1, "unix:/run/other.sock", b"", 0.0)
    assert quiet(effects) == [OpenWatch(1)]
    assert len(told(effects)) == 1


def test_two_services_that_redirect_to_each_other_do_not_spin() -> None:
    membership = create()
    membership.start()
    for channel in range(1, MAX_REDIRECTS + 1):
        endpoint = "b:1" if channel % 2 else "host:443"
        assert len(membership.receive_hello(channel, endpoint, b"", 0.0)) == 3
    effects = membership.receive_hello(MAX_REDIRECTS + 1, "c:1", b"", 0.0)
    assert quiet(effects) == [Disconnect(MAX_REDIRECTS + 1)]
    assert membership.next_timeout == 0.5
    assert membership.handle_timeout(0.5)[0] == Connect(MAX_REDIRECTS + 2, "host:443")


# ------------------------------------------------------------------------------ the end of a watch


@pytest.mark.parametrize("reason", FailureReason)
def test_end_of_the_watch_begins_anew_and_keeps_everybody(reason: FailureReason) -> None:
    membership = watching(record("a"))
    effects = membership.handle_failure(1, Call.WATCH, Failure(reason, "why"), 100.0)
    assert quiet(effects) == [Disconnect(1)]
    assert "why" in told(effects)[0]
    assert membership.members == {"a": affiliate("a")}
    assert membership.next_timeout == 100.5
    assert quiet(membership.handle_timeout(100.5)) == [Connect(2, "host:443"), SayHello(2)]
    assert membership.receive_hello(2, "", b"", 101.0) == [OpenWatch(2), SendUpdate(2, OWN)]


def test_watch_that_ends_at_once_again_and_again_gets_longer_pauses() -> None:
    membership = watching(own=False)
    pauses = []
    now = 0.0
    for channel in range(1, 6):
        membership.handle_failure(channel, Call.WATCH, OVER, now)
        assert membership.next_timeout is not None
        pauses.append(membership.next_timeout - now)
        now = membership.next_timeout
        membership.handle_timeout(now)
        membership.receive_hello(channel + 1, "", b"", now)
        membership.receive_watch(channel + 1, [], False, now)
    assert pauses == pytest.approx([0.5, 0.75, 1.125, 1.6875, 2.53125])
    membership.handle_failure(6, Call.WATCH, OVER, now + 2.0)
    assert membership.next_timeout == now + 2.5


@pytest.mark.parametrize(("failure", "is_often"), [(DOWN, True), (LATE, False)])
def test_service_that_may_just_restart_is_tried_often(failure: Failure, is_often: bool) -> None:
    membership = watching()
    membership.handle_failure(1, Call.WATCH, failure, 100.0)
    pauses = []
    channel, now = 1, 100.0
    while now < 160.0:
        assert membership.next_timeout is not None
        pauses.append(membership.next_timeout - now)
        now = membership.next_timeout
        channel += 1
        membership.handle_timeout(now)
        membership.handle_failure(channel, Call.HELLO, failure, now)
    assert (max(pauses) <= 2.5) == is_often
    assert membership.next_timeout is not None
    assert membership.next_timeout - now > 2.5


def test_what_belongs_to_an_earlier_channel_is_ignored() -> None:
    membership = watching(record("a"))
    membership.handle_failure(1, Call.WATCH, DOWN, 100.0)
    late = [
        membership.receive_hello(1, "", PUBLIC, 100.1),
        membership.receive_watch(1, [record("b")], False, 100.1),
        membership.receive_acknowledgement(1, "me", 100.1),
        membership.receive_list(1, [], 100.1),
        membership.receive_withdrawal(1),
        membership.handle_failure(1, Call.WATCH, DOWN, 100.1),
    ]
    assert late == [[]] * 6
    assert membership.members == {"a": affiliate("a")}
    membership.handle_timeout(101.0)
    assert membership.receive_watch(2, [record("b")], False, 101.0) == []
    assert membership.receive_hello(1, "", b"", 101.0) == []


def test_host_that_lost_an_address_begins_anew_at_once() -> None:
    membership = create()
    assert membership.redial(0.0) == []
    membership = watching(record("a"))
    assert membership.redial(5.0) == [Disconnect(1), Connect(2, "host:443"), SayHello(2)]
    assert membership.receive_hello(2, "", b"", 5.1) == [OpenWatch(2), SendUpdate(2, OWN)]
    assert membership.members == {"a": affiliate("a")}
    assert membership.redial(5.2) == [Disconnect(2), Connect(3, "host:443"), SayHello(3)]
    membership.leave(6.0)
    assert membership.redial(6.1) == []


def test_late_greeting_is_ignored() -> None:
    assert watching().receive_hello(1, "elsewhere:1", b"", 1.0) == []


# ------------------------------------------------------------------------------------ the refresh


def test_failed_refresh_is_tried_again_while_the_watch_goes_on() -> None:
    membership = watching(record("a"))
    assert membership.handle_timeout(855.0) == [SendUpdate(1, OWN)]
    effects = membership.handle_failure(1, Call.UPDATE, LATE, 885.0, "me")
    assert quiet(effects) == []
    assert len(told(effects)) == 1
    assert membership.phase is Phase.WATCHING
    assert membership.next_timeout == 885.5
    assert membership.handle_timeout(885.5) == [SendUpdate(1, OWN)]


def test_service_that_never_takes_a_refresh_is_left() -> None:
    membership = watching()
    now = 855.0
    for _ in range(2):
        assert membership.handle_timeout(now) == [SendUpdate(1, OWN)]
        membership.handle_failure(1, Call.UPDATE, LATE, now, "me")
        assert membership.next_timeout is not None
        now = membership.next_timeout
    membership.handle_timeout(now)
    assert quiet(membership.handle_failure(1, Call.UPDATE, LATE, now, "me")) == [Disconnect(1)]


def test_limit_is_not_a_reason_to_hurry_or_to_leave() -> None:
    membership = watching()
    now = 855.0
    for pause in (60.0, 120.0, 240.0, 480.0):
        assert membership.handle_timeout(now) == [SendUpdate(1, OWN)]
        assert quiet(membership.handle_failure(1, Call.UPDATE, FULL, now, "me")) == []
        assert membership.next_timeout == now + pause
        now += pause


def test_another_record_is_sent_and_the_same_is_not() -> None:
    membership = watching()
    assert membership.set_record(OWN.data, OWN.endpoints, 1.0) == []
    other = AffiliateRecord("me", b"other", ())
    assert membership.set_record(other.data, [], 2.0) == [SendUpdate(1, other)]
    assert membership.set_record(OWN.data, OWN.endpoints, 2.1) == []
    assert quiet(membership.receive_acknowledgement(1, "me", 2.2)) == [SendUpdate(1, OWN)]


# ------------------------------------------------------------------------------ endpoints of others


def test_observed_endpoints_are_told_of_those_who_are_there() -> None:
    membership = watching(record("a"), record("b"))
    endpoints = {"a": (b"x",), "b": (b"y",), "stranger": (b"z",), "me": (b"w",), "none": ()}
    assert membership.set_harvest(endpoints, 1.0) == [
        SendUpdate(1, AffiliateRecord("a", b"", (b"x",)))
    ]
    assert membership.receive_acknowledgement(1, "a", 1.1) == []
    assert membership.next_timeout == 2.0
    assert membership.handle_timeout(2.0) == [SendUpdate(1, AffiliateRecord("b", b"", (b"y",)))]
    effects = membership.handle_failure(1, Call.UPDATE, FULL, 2.1, "b")
    assert quiet(effects) == []
    assert len(told(effects)) == 1
    assert membership.phase is Phase.WATCHING
    assert membership.handle_timeout(3.0) == []
    assert membership.next_timeout == 63.0


# ---------------------------------------------------------------------------------- who is there


def test_changes_are_published_as_they_come() -> None:
    membership = watching(record("a"))
    effects = membership.receive_watch(1, [record("b"), record("c", "!bad_tag")], False, 1.0)
    assert quiet(effects) == [Publish((Change("b", affiliate("b")),))]
    assert told(effects) == ["discovery service default: refused from records: 1 bad_tag"]
    assert membership.refusals == {"bad_tag": 1}
    assert membership.receive_watch(1, [record("a")], False, 2.0) == []


def test_deletion_is_confirmed_first() -> None:
    membership = watching(record("a"), record("b"))
    assert membership.receive_watch(1, [record("a", "")], True, 1.0) == [AskList(1)]
    assert membership.receive_list(1, [record("b")], 1.1) == [Publish((Change("a", None),))]
    assert membership.receive_list(1, [], 1.2) == []
    assert set(membership.members) == {"b"}


def test_our_own_deletion_is_answered_with_our_record() -> None:
    membership = watching(record("a"))
    assert membership.receive_watch(1, [record("me", "")], True, 10.0) == [SendUpdate(1, OWN)]
    onlooker = watching(own=False)
    assert onlooker.receive_watch(1, [record("me", "")], True, 10.0) == []


def test_many_deletions_cost_few_lists() -> None:
    membership = watching(*(record(f"{number:02}") for number in range(50)))
    asked = []
    for number in range(50):
        asked += membership.receive_watch(1, [record(f"{number:02}")], True, 1.0 + number / 1_000)
    assert asked == [AskList(1)]
    (published,) = membership.receive_list(1, [], 1.1)
    assert published == Publish((Change("00", None),))
    assert membership.next_timeout == 1.0 + LIST_INTERVAL
    assert membership.handle_timeout(1.5) == [AskList(1)]
    membership.receive_list(1, [], 1.6)
    assert membership.members == {}


def test_list_that_fails_is_asked_for_again() -> None:
    membership = watching(record("a"))
    membership.receive_watch(1, [record("a")], True, 1.0)
    assert membership.handle_failure(1, Call.LIST, LATE, 31.0) == []
    assert membership.next_timeout == 31.5
    assert membership.handle_timeout(31.5) == [AskList(1)]
    membership.handle_failure(1, Call.LIST, LATE, 61.5)
    assert membership.next_timeout == 62.25
    assert membership.members == {"a": affiliate("a")}


def test_live_member_outlasts_the_service() -> None:
    membership = watching(record("a"))
    membership.set_live({"a"}, 0.5)
    membership.receive_watch(1, [record("a")], True, 1.0)
    assert membership.receive_list(1, [], 1.1) == []
    assert membership.set_live(frozenset(), 2.0) == [Publish((Change("a", None),))]


def test_members_of_an_earlier_run_wait_for_the_service() -> None:
    membership = create()
    known = {"a": affiliate("a"), "b": affiliate("b")}
    assert membership.remember(known) == [
        Publish((Change("a", known["a"]), Change("b", known["b"])))
    ]
    membership.start()
    membership.receive_hello(1, "", b"", 0.0)
    membership.receive_watch(1, [record("a")], False, 0.0)
    assert membership.next_timeout == 300.0
    assert membership.handle_timeout(300.0) == [Publish((Change("b", None),))]


def test_first_word_that_is_a_deletion_is_an_empty_snapshot() -> None:
    membership = create()
    membership.start()
    membership.receive_hello(1, "", b"", 0.0)
    effects = membership.receive_watch(1, [record("a")], True, 0.0)
    assert quiet(effects) == [Publish((), is_whole=True)]


# ------------------------------------------------------------------------------------- leaving


def test_leaving_withdraws_the_record() -> None:
    membership = watching(record("a"))
    assert membership.leave(1.0) == [SendDelete(1)]
    assert membership.leave(1.0) == []
    assert membership.receive_watch(1, [record("b")], False, 1.1) == []
    assert membership.handle_failure(1, Call.WATCH, DOWN, 1.1) == []
    assert membership.receive_withdrawal(1) == [Disconnect(1), Left()]
    assert membership.phase is Phase.LEFT
    assert membership.next_timeout is None
    assert membership.leave(2.0) == []
    assert membership.set_record(b"x", [], 2.0) == []


@pytest.mark.parametrize("succeeds", [True, False])
def test_update_on_its_way_is_waited_for(succeeds: bool) -> None:
    membership = watching()
    membership.set_record(b"other", [], 1.0)
    assert membership.leave(1.1) == []
    if succeeds:
        effects = membership.receive_acknowledgement(1, "me", 1.2)
    else:
        effects = membership.handle_failure(1, Call.UPDATE, LATE, 1.2, "me")
    assert effects == [SendDelete(1)]


def test_leaving_between_two_attempts_makes_one_more() -> None:
    membership = watching()
    membership.handle_failure(1, Call.WATCH, DOWN, 1.0)
    assert membership.leave(1.1) == [Connect(2, "host:443"), SendDelete(2)]
    effects = membership.handle_failure(2, Call.DELETE, DOWN, 1.2)
    assert quiet(effects) == [Disconnect(2), Left()]
    assert len(told(effects)) == 1


def test_leaving_takes_no_longer_than_it_may() -> None:
    membership = watching()
    membership.leave(1.0)
    assert membership.next_timeout == 1.0 + LEAVE_TIMEOUT
    assert quiet(membership.handle_timeout(1.0 + LEAVE_TIMEOUT)) == [Disconnect(1), Left()]


def test_leaving_before_beginning() -> None:
    assert create().leave(0.0) == [Left()]
