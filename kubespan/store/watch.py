"""Following one kind of resource: first what is there, then every change.

A watcher that does not keep up costs a fixed amount of memory: what waits for it is thrown away,
and it begins anew with what is there by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kubespan.store.resource import Event, EventType, Resource

CAPACITY: Final = 4096
"""Changes that may wait for a watcher: every status of a large cluster, some times over."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a watcher has not seen."""

    events: tuple[Event, ...]
    is_anew: bool
    """Whether these are all that exist, as created, and what was told before is void."""


class Watch:
    """One watcher. `current` returns what there is; `wake` is called when there is news to take.

    `wake` is called once for all that has come until it is taken, and must not change the store.
    """

    def __init__(
        self,
        current: Callable[[], tuple[Resource, ...]],
        close: Callable[[Watch], None],
        wake: Callable[[], None],
        capacity: int,
    ) -> None:
        self._current = current
        self._close = close
        self._wake = wake
        self._capacity = capacity
        self._waiting: list[Event] | None = None
        """None: everything is to be told, so that changes need not be."""

    def take(self) -> Batch:
        """Return what has happened since the last time; everything the first time."""
        waiting, self._waiting = self._waiting, []
        if waiting is None:
            events = tuple(Event(EventType.CREATED, resource) for resource in self._current())
            return Batch(events, is_anew=True)
        return Batch(tuple(waiting), is_anew=False)

    def close(self) -> None:
        """Be told nothing more."""
        self._close(self)

    def hear(self, event: Event) -> None:
        """Keep a change until it is taken."""
        if self._waiting is None:
            return
        if len(self._waiting) >= self._capacity:
            self._waiting = None
            return
        self._waiting.append(event)
        if len(self._waiting) == 1:
            self._wake()
