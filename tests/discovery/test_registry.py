"""The whole state: every bullet of the service's behaviour as a row or a test."""

from __future__ import annotations

import pytest

from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.refusal import Refusal, RefusalCode
from kubespan.discovery.registry import Registry
from kubespan.discovery.subscription import Subscription

C = "cluster"
TTL = 1800.0
MANY = tuple(number.to_bytes(4, "big") for number in range(70))


def record(affiliate_id: str, data: bytes = b"", *endpoints: bytes) -> AffiliateRecord:
    return AffiliateRecord(affiliate_id, data, endpoints)


def change(affiliate_id: str, data: bytes = b"", *endpoints: bytes) -> Notification:
    return Notification((record(affiliate_id, data, *endpoints),))


def told(subscription: Subscription) -> list[Notification]:
    return list(iter(subscription.take, None))


def refused(code: RefusalCode, message: str) -> pytest.RaisesExc[Refusal]:
    def is_it(refusal: Refusal) -> bool:
        return refusal.code is code and message in refusal.message

    return pytest.RaisesExc(Refusal, check=is_it)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def watcher(registry: Registry) -> Subscription:
    """Someone who has seen that there was nothing."""
    subscription = registry.watch(C, 0.0)
    assert subscription.take() == Notification(())
    return subscription


def test_first_mention_makes_an_affiliate_and_tells(
    registry: Registry, watcher: Subscription
) -> None:
    registry.update(C, "a", b"", (), TTL, 0.0)
    assert registry.list(C, 0.0) == (record("a"),)
    assert told(watcher) == [change("a")]


def test_endpoints_may_come_before_their_owner(registry: Registry, watcher: Subscription) -> None:
    registry.update(C, "a", b"", (b"e",), TTL, 0.0)
    registry.update(C, "a", b"d", (b"e", b"f"), TTL, 1.0)
    assert told(watcher) == [change("a", b"", b"e"), change("a", b"d", b"e", b"f")]


def test_only_news_is_told(registry: Registry, watcher: Subscription) -> None:
    registry.update(C, "a", b"d", (b"e",), TTL, 0.0)
    registry.update(C, "a", b"", (b"e",), TTL, 1.0)
    registry.update(C, "a", b"", (), TTL, 2.0)
    assert told(watcher) == [change("a", b"d", b"e")]
    registry.update(C, "a", b"d", (b"e",), TTL, 3.0)
    assert told(watcher) == [change("a", b"d", b"e")]
