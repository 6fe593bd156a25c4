"""One cluster: what there is to see, and who is told."""

from __future__ import annotations

from kubespan.discovery.record import Notification
from kubespan.discovery.server.entry import Entry
from kubespan.discovery.server.roster import Roster
from kubespan.discovery.server.subscription import Subscription


def watch(roster: Roster) -> Subscription:
    subscription = Subscription(Notification(roster.records()), lambda _: None)
    roster.subscriptions[subscription] = None
    return subscription


def test_idle_without_affiliates_and_watchers() -> None:
    roster = Roster("c")
    assert roster.is_idle
    watcher = watch(roster)
    assert not roster.is_idle
    del roster.subscriptions[watcher]
    roster.entries["a"] = Entry("a", 0.0)
    assert not roster.is_idle


def test_records_are_made_once_a_change() -> None:
    roster = Roster("c")
    entry = roster.entries["a"] = Entry("a", 0.0)
    before = roster.records()
    assert roster.records() is before
    entry.merge(b"new", (), 1.0)
    roster.announce_change(entry)
    assert roster.records() == (entry.record,) != before
    del roster.entries["a"]
    roster.announce_removal("a")
    assert roster.records() == ()


def test_all_watchers_are_told_the_same_thing() -> None:
    roster = Roster("c")
    watchers = [watch(roster) for _ in range(3)]
    entry = roster.entries["a"] = Entry("a", 0.0)
    assert roster.announce_change(entry) == 0
    assert roster.announce_removal("a") == 0
    told = [[w.take(), w.take(), w.take(), w.take()] for w in watchers]
    wanted = [Notification(()), Notification((entry.record,)), Notification.removal("a"), None]
    assert told == [wanted] * 3
    assert len({id(messages[1]) for messages in told}) == 1


def test_slow_watchers_are_gone() -> None:
    roster = Roster("c")
    quick, slow = watch(roster), watch(roster)
    gone = 0
    for _ in range(33):
        gone += roster.announce_removal("a")
        quick.take()
    assert gone == 1
    assert slow.is_cancelled
    assert list(roster.subscriptions) == [quick]
