"""The whole state: every bullet of the service's behaviour as a row or a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.discovery.server.entry import CHARACTER_COST, ENDPOINT_COST, ENTRY_COST
from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.registry import Capacity, Collected, Counts, Registry
from kubespan.discovery.server.subscription import Subscription

C = "cluster"
TTL = 1800.0
MANY = tuple(number.to_bytes(4, "big") for number in range(70))


def record(affiliate_id: str, data: bytes = b"", *endpoints: bytes) -> AffiliateRecord:
    return AffiliateRecord(affiliate_id, data, endpoints)


def change(affiliate_id: str, data: bytes = b"", *endpoints: bytes) -> Notification:
    return Notification((record(affiliate_id, data, *endpoints),))


def told(subscription: Subscription) -> list[Notification]:
    return list(iter(subscription.take, None))


@contextmanager
def refused(message: str, code: RefusalCode = RefusalCode.RESOURCE_EXHAUSTED) -> Iterator[None]:
    with pytest.raises(Refusal, match=message) as caught:
        yield
    assert caught.value.code is code


class Notes:
    """A journal that shows what was noted, and admits nothing when told so."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Saved] = {}
        self.removed: list[tuple[str, str]] = []
        self.is_full = False

    def admit(self) -> None:
        if self.is_full:
            raise Refusal(RefusalCode.UNAVAILABLE, "not now")

    def put(self, saved: Saved) -> None:
        self.kept[saved.cluster_id, saved.affiliate_id] = saved

    def remove(self, cluster_id: str, affiliate_id: str) -> None:
        self.kept.pop((cluster_id, affiliate_id), None)
        self.removed.append((cluster_id, affiliate_id))


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


def test_endpoints_that_do_not_fit(registry: Registry, watcher: Subscription) -> None:
    registry.update(C, "a", b"d", MANY[:63], TTL, 0.0)
    told(watcher)
    with refused("the affiliate has 64 endpoints"):
        registry.update(C, "a", b"x", (b"64th", b"65th", MANY[0]), TTL, 5.0)
    assert told(watcher) == [change("a", b"x", *MANY[:63], b"64th")]
    with refused("the affiliate has 64 endpoints"):
        registry.update(C, "a", b"", (b"65th",), TTL, 6.0)
    assert told(watcher) == []
    assert registry.counts == Counts(1, 1, 64, 1)


def test_endpoints_that_do_not_fit_keep_nothing_alive(registry: Registry) -> None:
    registry.update(C, "a", b"d", MANY[:64], 10.0, 0.0)
    with refused("64 endpoints"):
        registry.update(C, "a", b"", (*MANY[:64], b"65th"), TTL, 5.0)
    assert registry.collect(10.5) == Collected(clusters=1, affiliates=1)


def test_more_endpoints_than_fit_at_first_mention(registry: Registry) -> None:
    with refused("64 endpoints"):
        registry.update(C, "a", b"", MANY, TTL, 5.0)
    assert registry.list(C, 5.0) == (record("a", b"", *MANY[:64]),)
    assert registry.collect(5.5).affiliates == 1


def test_affiliates_that_do_not_fit(registry: Registry) -> None:
    for number in range(1024):
        registry.update(C, f"a{number}", b"", (), TTL, 0.0)
    with refused("the cluster has 1024 affiliates"):
        registry.update(C, "one more", b"d", (), TTL, 0.0)
    registry.update(C, "a1023", b"d", (), TTL, 0.0)
    registry.update("another", "one more", b"d", (), TTL, 0.0)
    assert registry.counts == Counts(2, 1025, 0, 0)
    registry.delete(C, "a0", 0.0)
    registry.update(C, "one more", b"d", (), TTL, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "a", b"", (), TTL), "cluster id"),
        ((C, "", b"", (), TTL), "affiliate id"),
        ((C, "a", bytes(2049), (), TTL), "data"),
        ((C, "a", b"", (bytes(33),), TTL), "endpoint"),
        ((C, "a", b"", (), TTL + 1), "ttl"),
    ],
)
def test_what_is_not_valid_changes_nothing(
    registry: Registry, arguments: tuple[str, str, bytes, tuple[bytes, ...], float], message: str
) -> None:
    with refused(message, RefusalCode.INVALID_ARGUMENT):
        registry.update(*arguments, 0.0)
    assert registry.counts == Counts(0, 0, 0, 0)


def test_ids_are_checked_by_every_call(registry: Registry) -> None:
    for call in (registry.list, registry.watch):
        with refused("the cluster id is empty", RefusalCode.INVALID_ARGUMENT):
            call("", 0.0)
    with refused("the cluster id is empty", RefusalCode.INVALID_ARGUMENT):
        registry.delete("", "", 0.0)
    with refused("the affiliate id is empty", RefusalCode.INVALID_ARGUMENT):
        registry.delete(C, "", 0.0)
    assert registry.counts == Counts(0, 0, 0, 0)


# --------------------------------------------------------------------- delete, list, watch


def test_delete(registry: Registry, watcher: Subscription) -> None:
    registry.update(C, "a", b"d", (b"e",), TTL, 0.0)
    told(watcher)
    registry.delete(C, "a", 0.0)
    registry.delete(C, "a", 0.0)
    registry.delete("unknown", "a", 0.0)
    assert told(watcher) == [Notification.removal("a")]
    assert registry.list(C, 0.0) == ()
    assert registry.counts == Counts(2, 0, 0, 1)


def test_deleted_and_back_without_a_past(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), TTL, 0.0)
    registry.delete(C, "a", 0.0)
    registry.update(C, "a", b"", (b"f",), TTL, 0.0)
    assert registry.list(C, 0.0) == (record("a", b"", b"f"),)


def test_a_cluster_begins_with_its_first_mention(registry: Registry) -> None:
    registry.list("listed", 0.0)
    registry.delete("deleted from", "a", 0.0)
    registry.watch("watched", 0.0).close()
    assert registry.counts == Counts(3, 0, 0, 0)
    assert registry.collect(0.0) == Collected(clusters=3)
    assert registry.counts == Counts(0, 0, 0, 0)


def test_clusters_do_not_see_each_other(registry: Registry, watcher: Subscription) -> None:
    registry.update("another", "a", b"d", (), TTL, 0.0)
    assert registry.list(C, 0.0) == ()
    assert told(watcher) == []


def test_snapshot_then_changes(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), TTL, 0.0)
    watcher = registry.watch(C, 0.0)
    registry.update(C, "b", b"d", (), TTL, 0.0)
    assert told(watcher) == [change("a", b"d", b"e"), change("b", b"d")]
    assert set(registry.list(C, 0.0)) == {record("a", b"d", b"e"), record("b", b"d")}


def test_snapshots_of_one_moment_share_their_records(registry: Registry) -> None:
    registry.update(C, "a", b"d", (), TTL, 0.0)
    first, second = registry.watch(C, 0.0).take(), registry.watch(C, 0.0).take()
    assert first is not None
    assert second is not None
    assert first.affiliates is second.affiliates is registry.list(C, 0.0)


def test_a_slow_watcher_is_cancelled_and_does_not_count(
    registry: Registry, watcher: Subscription
) -> None:
    other = registry.watch(C, 0.0)
    for number in range(33):
        registry.update(C, "a", bytes([number]), (), TTL, 0.0)
        other.take()
    assert watcher.is_cancelled
    assert not other.is_cancelled
    assert registry.counts.subscriptions == 1
    watcher.close()
    other.close()
    assert registry.counts.subscriptions == 0


def test_who_left_is_told_nothing(registry: Registry, watcher: Subscription) -> None:
    watcher.close()
    registry.update(C, "a", b"d", (), TTL, 0.0)
    assert told(watcher) == []


def test_clean_stop_tells_what_waits_and_ends(registry: Registry, watcher: Subscription) -> None:
    registry.update(C, "a", b"d", (), TTL, 0.0)
    registry.close_subscriptions()
    late = registry.watch(C, 0.0)
    registry.update(C, "b", b"d", (), TTL, 0.0)
    assert registry.counts.subscriptions == 0
    for subscription in (watcher, late):
        assert subscription.is_ended
        assert not subscription.is_cancelled
        assert told(subscription) == [change("a", b"d")]
        subscription.close()
    assert registry.counts.subscriptions == 0


# ------------------------------------------------------------------------------ collection


def test_expired_is_there_until_collected_and_can_be_revived(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), 10.0, 0.0)
    assert registry.list(C, 1e6) == (record("a", b"d", b"e"),)
    registry.update(C, "a", b"", (), 10.0, 1e6)
    assert registry.collect(1e6) == Collected(endpoints=1)
    assert registry.list(C, 1e6) == (record("a", b"d"),)


@pytest.mark.parametrize(("now", "gone"), [(9.0, 0), (10.0, 0), (10.5, 1)])
def test_affiliates_expire_after_their_time(
    registry: Registry, watcher: Subscription, now: float, gone: int
) -> None:
    registry.update(C, "a", b"d", (), 10.0, 0.0)
    registry.update(C, "b", b"d", (), 20.0, 0.0)
    told(watcher)
    assert registry.collect(now) == Collected(affiliates=gone)
    assert told(watcher) == [Notification.removal("a")] * gone
    assert registry.counts.affiliates == 2 - gone


@pytest.mark.parametrize("ttl", [0.0, -5.0])
def test_a_ttl_of_nothing(registry: Registry, ttl: float) -> None:
    registry.update(C, "a", b"d", (), ttl, 0.0)
    assert registry.list(C, 0.0) == (record("a", b"d"),)
    assert registry.collect(1.0).affiliates == 1


def test_an_endpoint_that_expires_is_an_update(registry: Registry, watcher: Subscription) -> None:
    registry.update(C, "a", b"d", (b"old", b"older"), 10.0, 0.0)
    registry.update(C, "a", b"d", (b"new",), 20.0, 0.0)
    told(watcher)
    assert registry.collect(15.0) == Collected(endpoints=2)
    assert told(watcher) == [change("a", b"d", b"new")]
    assert registry.counts == Counts(1, 1, 1, 1)


def test_to_expire_at_this_moment_is_not_to_have_expired(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), 10.0, 0.0)
    registry.update(C, "a", b"", (b"f",), 20.0, 0.0)
    assert registry.collect(20.0) == Collected(endpoints=1)
    assert registry.list(C, 20.0) == (record("a", b"d", b"f"),)


def test_data_may_shorten_a_life_whatever_its_endpoints(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), TTL, 0.0)
    registry.update(C, "a", b"d", (), 5.0, 0.0)
    assert registry.collect(5.5) == Collected(clusters=1, affiliates=1)
    assert registry.counts == Counts(0, 0, 0, 0)


def test_others_keep_an_affiliate_alive(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), 10.0, 0.0)
    registry.update(C, "a", b"", (b"e",), 10.0, 8.0)
    assert registry.collect(15.0) == Collected()
    assert registry.list(C, 15.0) == (record("a", b"d", b"e"),)


def test_what_lives_on_is_looked_at_again(registry: Registry) -> None:
    registry.update(C, "a", b"d", (b"e",), 10.0, 0.0)
    registry.update(C, "a", b"d", (b"f",), 20.0, 0.0)
    assert [registry.collect(at).endpoints for at in (10.5, 15.0, 20.0)] == [1, 0, 0]
    assert registry.collect(20.5) == Collected(clusters=1, affiliates=1)


def test_a_cluster_with_a_watcher_stays(registry: Registry, watcher: Subscription) -> None:
    assert registry.collect(0.0) == Collected()
    watcher.close()
    assert registry.collect(0.0) == Collected(clusters=1)


def test_collecting_a_little_at_a_time(registry: Registry, watcher: Subscription) -> None:
    for number in range(70):
        registry.update(C, f"a{number}", b"", (), 10.0, 0.0)
        watcher.take()
    found: list[Collected] = []
    while not found or not found[-1].is_complete:
        found.append(registry.collect(20.0, most=32))
        assert len(told(watcher)) == found[-1].affiliates
    assert [each.affiliates for each in found] == [32, 32, 6]
    assert [each.clusters for each in found] == [0, 0, 0]
    assert not watcher.is_cancelled
    assert registry.counts.affiliates == 0


def test_looking_through_a_cluster_is_a_step_too(registry: Registry) -> None:
    for cluster in range(3):
        registry.update(f"{cluster}", "a", b"d", (), 10.0, 0.0)
        registry.update(f"{cluster}", "a", b"d", (), 20.0, 5.0)
    found = [registry.collect(15.0, most=2) for _ in range(3)]
    assert [each.is_complete for each in found] == [False, True, True]
    assert registry.collect(15.0, most=1) == Collected()  # nothing is looked at twice


# -------------------------------------------------------------------------------- capacity


def test_clusters_that_do_not_fit() -> None:
    registry = Registry(capacity=Capacity(clusters=1))
    registry.update(C, "a", b"d", (), TTL, 0.0)
    for refuse in (
        lambda: registry.update("another", "a", b"d", (), TTL, 0.0),
        lambda: registry.watch("another", 0.0),
    ):
        with refused("as many clusters as it takes"):
            refuse()
    assert registry.list("another", 0.0) == ()
    registry.delete("another", "a", 0.0)
    registry.update(C, "b", b"d", (), TTL, 0.0)
    assert registry.counts == Counts(1, 2, 0, 0)


def test_memory_that_does_not_last() -> None:
    full = ENTRY_COST + CHARACTER_COST + 4 + ENDPOINT_COST + 1
    registry = Registry(capacity=Capacity(memory=full))
    registry.update(C, "a", b"data", (b"e",), 10.0, 0.0)
    assert registry.memory == full
    for name, data, endpoints in (("b", b"", ()), ("a", b"data+", ()), ("a", b"", (b"f",))):
        with refused("no memory left"):
            registry.update(C, name, data, endpoints, TTL, 0.0)
    assert registry.list(C, 0.0) == (record("a", b"data", b"e"),)
    registry.update(C, "a", b"same", (b"e",), 20.0, 5.0)  # who is on it stays on it
    assert registry.collect(20.0) == Collected()
    registry.update(C, "a", b"d", (), 100.0, 20.0)
    assert registry.memory == full - 3
    assert registry.collect(25.5) == Collected(endpoints=1)
    registry.delete(C, "a", 25.5)
    assert registry.memory == 0


def test_watchers_that_do_not_fit() -> None:
    registry = Registry(capacity=Capacity(subscriptions=3, cluster_subscriptions=2))
    first = registry.watch(C, 0.0)
    registry.watch(C, 0.0)
    with refused("the cluster has as many watchers"):
        registry.watch(C, 0.0)
    registry.watch("another", 0.0)
    with refused("the server has as many watchers"):
        registry.watch("third", 0.0)
    first.close()
    registry.watch(C, 0.0)


# --------------------------------------------------------------------------------- journal


def test_the_journal_hears_of_every_change() -> None:
    notes = Notes()
    registry = Registry(notes)
    registry.update(C, "a", b"d", (b"e",), 10.0, 0.0)
    registry.update(C, "a", b"", (b"f",), 20.0, 0.0)
    assert notes.kept == {(C, "a"): Saved(C, "a", b"d", 20.0, ((b"e", 10.0), (b"f", 20.0)))}
    registry.collect(15.0)
    assert notes.kept[C, "a"].endpoints == ((b"f", 20.0),)
    registry.update(C, "b", b"d", (), TTL, 15.0)
    registry.delete(C, "b", 15.0)
    registry.delete(C, "never", 15.0)
    registry.collect(25.0)
    assert notes.removed == [(C, "b"), (C, "a")]


def test_what_is_stored_in_spite_of_a_refusal_is_noted() -> None:
    notes = Notes()
    with refused("64 endpoints"):
        Registry(notes).update(C, "a", b"d", MANY, 10.0, 0.0)
    assert len(notes.kept[C, "a"].endpoints) == 64


def test_what_the_journal_does_not_admit_does_not_happen() -> None:
    notes = Notes()
    registry = Registry(notes)
    registry.update(C, "a", b"d", (), 10.0, 0.0)
    watcher = registry.watch(C, 0.0)
    told(watcher)
    notes.is_full = True
    with refused("not now", RefusalCode.UNAVAILABLE):
        registry.update(C, "a", b"x", (), 10.0, 0.0)
    with refused("not now", RefusalCode.UNAVAILABLE):
        registry.delete(C, "a", 0.0)
    assert registry.list(C, 0.0) == (record("a", b"d"),)
    assert told(watcher) == []
    assert registry.collect(11.0).affiliates == 1  # time asks nobody


def test_restored_as_it_was_noted() -> None:
    notes = Notes()
    before = Registry(notes)
    before.update(C, "a", b"d", (b"e", b"f"), 100.0, 0.0)
    before.update(C, "b", b"", (), 50.0, 0.0)
    before.update("another", "a", b"", (), 50.0, 0.0)
    after = Registry()
    assert after.restore(notes.kept.values(), 20.0) == 3
    assert after.list(C, 20.0) == before.list(C, 20.0)
    assert (after.counts, after.memory) == (before.counts, before.memory)
    assert after.collect(60.0) == Collected(clusters=1, affiliates=2)
    assert after.collect(100.5) == Collected(affiliates=1, clusters=1)


def test_what_has_expired_does_not_come_back() -> None:
    notes = Notes()
    gone = Saved(C, "gone", b"d", 9.0, ((b"e", 99.0),))
    partly = Saved(C, "partly", b"d", 10.0, ((b"e", 9.0), (b"f", 10.0)))
    registry = Registry(notes)
    assert registry.restore((gone, partly), 10.0) == 1
    assert registry.list(C, 10.0) == (record("partly", b"d", b"f"),)
    assert notes.removed == [(C, "gone")]
    assert notes.kept == {(C, "partly"): Saved(C, "partly", b"d", 10.0, ((b"f", 10.0),))}


def test_nothing_comes_back_for_longer_than_the_longest_ttl() -> None:
    registry = Registry()
    registry.restore([Saved(C, "a", b"d", 1e9, ((b"e", 1e9),))], 10.0)
    assert registry.collect(10.0 + TTL) == Collected()
    assert registry.collect(10.5 + TTL).affiliates == 1


@pytest.mark.parametrize(
    ("capacity", "restored"),
    [
        (Capacity(), 1026),
        (Capacity(clusters=1), 1024),
        (Capacity(memory=ENTRY_COST * 3), 2),
    ],
)
def test_only_what_fits_comes_back(capacity: Capacity, restored: int) -> None:
    notes = Notes()
    many = [Saved(C, f"a{number}", b"", 10.0, ()) for number in range(1025)]
    others = [Saved(name, "a", b"", 10.0, ()) for name in ("x", "y")]
    registry = Registry(notes, capacity)
    assert registry.restore([*many, *others], 0.0) == restored
    assert registry.counts.affiliates == restored
    assert len(notes.removed) == 1027 - restored
