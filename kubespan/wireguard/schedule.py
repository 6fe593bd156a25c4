"""Who wants to be woken when: so that a thousand peers with nothing to do cost nothing.

Knows only times and hashable sleepers. A wake-up may come too early, never too late: one that has
been put off is not moved in the heap, and its owner, woken, just asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from typing import Generic, TypeVar

SleeperT = TypeVar("SleeperT", bound=Hashable)


class Schedule(Generic[SleeperT]):
    """At most one wake-up for each sleeper, in boot seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, SleeperT]] = []
        self._wake_at: dict[SleeperT, float] = {}
        self._touched: dict[SleeperT, None] = {}
        self._pushes = 0

    def touch(self, sleeper: SleeperT) -> None:
        """Note that something happened to a sleeper, which may change when it is to be woken."""
        self._touched[sleeper] = None

    def forget(self, sleeper: SleeperT) -> None:
        """Never wake a sleeper again."""
        self._touched.pop(sleeper, None)
        self._wake_at.pop(sleeper, None)

    def next(self, check: Callable[[SleeperT], float | None]) -> float | None:
        """Return the earliest wake-up, having asked all that were touched when they want theirs."""
        for sleeper in self._touched:
            self._set(sleeper, check(sleeper))
        self._touched.clear()
        while self._heap and self._is_stale(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, boot: float) -> list[SleeperT]:
        """Return, earliest first, those whose time has come, and count them as touched."""
        due = []
        while self._heap and self._heap[0][0] <= boot:
            entry = heappop(self._heap)
            if not self._is_stale(entry):
                due.append(entry[2])
                del self._wake_at[entry[2]]
                self.touch(entry[2])
        return due

    def _set(self, sleeper: SleeperT, wake_at: float | None) -> None:
        known_at = self._wake_at.get(sleeper)
        if wake_at is None:
            self._wake_at.pop(sleeper, None)
        elif known_at is None or wake_at < known_at:
            self._wake_at[sleeper] = wake_at
            self._pushes += 1
            heappush(self._heap, (wake_at, self._pushes, sleeper))

    def _is_stale(self, entry: tuple[float, int, SleeperT]) -> bool:
        return self._wake_at.get(entry[2]) != entry[0]
