"""Resources and events are values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from kubespan.store.kind import MEMBERS
from kubespan.store.resource import Event, EventType, Resource

ONE = Resource(MEMBERS, "cluster", "a", 1, "nobody", 0, 0, "spec")


def test_a_resource_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        ONE.version = 2  # type: ignore[misc]


def test_events_are_compared_by_what_they_say() -> None:
    assert Event(EventType.CREATED, ONE) == Event(EventType.CREATED, ONE)
    assert Event(EventType.CREATED, ONE) != Event(EventType.DESTROYED, ONE)
    assert [one.value for one in EventType] == ["created", "updated", "destroyed"]
