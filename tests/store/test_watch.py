"""Watchers: what is there first, then what changes, and never more than so much of it."""

from __future__ import annotations

from kubespan.store.kind import MEMBERS
from kubespan.store.resource import Event, EventType, Resource
from kubespan.store.watch import Batch, Watch


def event(number: int) -> Event:
    return Event(EventType.UPDATED, Resource(MEMBERS, "cluster", "a", number, "", 0, 0, number))


class Bell:
    """A shelf with one resource, and a count of how often it rang."""

    def __init__(self, capacity: int = 2) -> None:
        self.rung = 0
        self.closed: list[Watch] = []
        self.watch = Watch(lambda: (event(0).resource,), self.closed.append, self.ring, capacity)

    def ring(self) -> None:
        self.rung += 1


EVERYTHING = Batch((Event(EventType.CREATED, event(0).resource),), is_anew=True)


def test_what_is_there_comes_first() -> None:
    bell = Bell()
    bell.watch.hear(event(1))
    assert bell.watch.take() == EVERYTHING
    assert bell.watch.take() == Batch((), is_anew=False)
    assert bell.rung == 0


def test_changes_follow_and_ring_once() -> None:
    bell = Bell()
    bell.watch.take()
    bell.watch.hear(event(1))
    bell.watch.hear(event(2))
    assert bell.rung == 1
    assert bell.watch.take() == Batch((event(1), event(2)), is_anew=False)
    bell.watch.hear(event(3))
    assert bell.rung == 2


def test_who_falls_behind_begins_anew() -> None:
    bell = Bell()
    bell.watch.take()
    for number in range(1, 10):
        bell.watch.hear(event(number))
    assert bell.rung == 1
    assert bell.watch.take() == EVERYTHING
    bell.watch.hear(event(10))
    assert bell.watch.take() == Batch((event(10),), is_anew=False)


def test_closing_is_passed_on() -> None:
    bell = Bell()
    bell.watch.close()
    assert bell.closed == [bell.watch]
