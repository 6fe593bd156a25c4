"""One watcher: snapshot first, changes in order, and over when a change is lost."""

from __future__ import annotations

import pytest

from kubespan.discovery.record import Notification
from kubespan.discovery.server.subscription import Subscription

SNAPSHOT = Notification(())
CHANGES = [Notification.removal(str(number)) for number in range(40)]


class Watcher:
    """A subscription with what became of its hooks."""

    def __init__(self) -> None:
        self.calls = 0
        self.left: list[Subscription] = []
        self.subscription = Subscription(SNAPSHOT, self.left.append)
        self.subscription.on_change = self._called

    def take_all(self) -> list[Notification]:
        return list(iter(self.subscription.take, None))

    def _called(self) -> None:
        self.calls += 1


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def test_snapshot_then_changes_in_order(watcher: Watcher) -> None:
    assert watcher.subscription.offer(CHANGES[0])
    assert watcher.subscription.offer(CHANGES[1])
    assert watcher.take_all() == [SNAPSHOT, *CHANGES[:2]]
    assert watcher.subscription.take() is None


def test_every_change_wakes(watcher: Watcher) -> None:
    for change in CHANGES[:3]:
        watcher.subscription.offer(change)
    assert watcher.calls == 3


def test_nobody_needs_to_wait() -> None:
    subscription = Subscription(SNAPSHOT, lambda _: None)
    assert subscription.offer(CHANGES[0])


@pytest.mark.parametrize("taken", [0, 1])
def test_thirty_two_changes_fit_whether_the_snapshot_waits_or_not(
    watcher: Watcher, taken: int
) -> None:
    for _ in range(taken):
        watcher.subscription.take()
    assert all(watcher.subscription.offer(change) for change in CHANGES[:32])
    assert not watcher.subscription.is_cancelled
    assert watcher.take_all()[-32:] == CHANGES[:32]


def test_one_more_cancels_and_throws_everything_away(watcher: Watcher) -> None:
    for change in CHANGES[:32]:
        watcher.subscription.offer(change)
    assert not watcher.subscription.offer(CHANGES[32])
    assert watcher.subscription.is_cancelled
    assert not watcher.subscription.is_ended
    assert watcher.calls == 33
    assert watcher.take_all() == []


def test_taking_makes_room(watcher: Watcher) -> None:
    for change in CHANGES:
        assert watcher.subscription.offer(change)
        watcher.subscription.take()
    assert not watcher.subscription.is_cancelled


def test_the_end_comes_after_what_waits(watcher: Watcher) -> None:
    watcher.subscription.offer(CHANGES[0])
    watcher.subscription.end()
    assert watcher.calls == 2
    assert watcher.subscription.is_ended
    assert not watcher.subscription.is_cancelled
    assert watcher.take_all() == [SNAPSHOT, CHANGES[0]]


def test_closing_leaves(watcher: Watcher) -> None:
    watcher.subscription.offer(CHANGES[0])
    watcher.subscription.close()
    watcher.subscription.close()
    assert watcher.take_all() == []
    assert watcher.left == [watcher.subscription] * 2
