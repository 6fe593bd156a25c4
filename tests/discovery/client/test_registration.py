"""When our own record is sent: when it differs, in time, and promptly after a failure."""

from __future__ import annotations

import pytest

from kubespan.discovery.client.effects import FailureReason
from kubespan.discovery.client.registration import RENEW_INTERVAL, Registration, next_refresh
from kubespan.discovery.record import AffiliateRecord

ONE = AffiliateRecord("me", b"one", (b"e",))
TWO = AffiliateRecord("me", b"two", (b"e",))


def registered() -> Registration:
    """One whose record was acknowledged at 0, without any spread."""
    registration = Registration(lambda: 0.5)
    registration.set_record(ONE, 0.0)
    registration.begin(0.0)
    assert registration.take(0.0) == ONE
    registration.acknowledge(0.0)
    return registration


def test_nothing_to_send_without_a_record_or_a_service() -> None:
    registration = Registration(lambda: 0.5)
    registration.begin(0.0)
    assert registration.take(0.0) is None
    registration.end()
    registration.set_record(ONE, 1.0)
    assert registration.next_timeout is None
    assert not registration.is_possible


def test_refreshed_within_half_its_life() -> None:
    registration = registered()
    assert registration.is_possible
    assert registration.next_timeout == 855.0
    assert registration.take(854.0) is None
    assert registration.take(855.0) == ONE
    assert next_refresh(0.0, lambda: 0.0) == 900.0


def test_same_record_is_not_sent_again() -> None:
    registration = registered()
    registration.set_record(ONE, 1.0)
    assert registration.take(1.0) is None


def test_another_record_is_sent_at_once() -> None:
    registration = registered()
    registration.set_record(TWO, 1.0)
    assert registration.take(1.0) == TWO


def test_record_that_changes_on_the_way_is_sent_after_the_other() -> None:
    registration = registered()
    registration.set_record(TWO, 1.0)
    registration.take(1.0)
    registration.set_record(ONE, 2.0)
    assert registration.is_in_flight
    assert registration.take(2.0) is None
    registration.acknowledge(3.0)
    assert registration.take(3.0) == ONE


def test_failed_refresh_is_tried_again_promptly() -> None:
    registration = registered()
    for now, delay in ((900.0, 0.5), (901.0, 0.75)):
        registration.take(now)
        registration.fail(FailureReason.UNREACHABLE, now)
        assert registration.next_timeout == now + delay
    assert registration.failures == 2
    registration.take(902.0)
    registration.acknowledge(902.0)
    assert registration.failures == 0
    registration.take(1800.0)
    registration.fail(FailureReason.UNREACHABLE, 1800.0)
    assert registration.next_timeout == 1800.5


def test_limit_gets_long_pauses() -> None:
    registration = registered()
    delays = []
    for now in (1_000.0, 2_000.0, 3_000.0, 4_000.0, 5_000.0, 6_000.0):
        registration.take(now)
        registration.fail(FailureReason.EXHAUSTED, now)
        assert registration.next_timeout is not None
        delays.append(registration.next_timeout - now)
    assert delays == pytest.approx([60.0, 120.0, 240.0, 480.0, 900.0, 900.0])


def test_deleted_record_is_sent_again() -> None:
    registration = registered()
    registration.renew(100.0)
    assert registration.take(100.0) == ONE
    registration.renew(100.1)
    registration.acknowledge(100.2)
    assert registration.next_timeout == 100.0 + RENEW_INTERVAL
    registration.take(105.0)
    registration.acknowledge(105.0)
    assert registration.next_timeout == 105.0 + 855.0


def test_without_a_record_there_is_nothing_to_renew() -> None:
    registration = Registration(lambda: 0.5)
    registration.begin(0.0)
    registration.renew(1.0)
    assert registration.next_timeout is None


def test_new_conversation_sends_at_once() -> None:
    registration = registered()
    registration.set_record(TWO, 1.0)
    registration.take(1.0)
    registration.end()
    assert not registration.is_in_flight
    assert registration.next_timeout is None
    registration.begin(2.0)
    assert registration.take(2.0) == TWO
