"""Virtual time: what is to happen when, in order, and nothing in between takes any.

No clock, no thread. Times are boot seconds; what is due at the same moment happens in the order in
which it was asked for, so that a run is the same every time.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from kubespan.model.instant import Instant

BEGIN: Final = 1_000.0
WALL_NS: Final = 1_700_000_000_000_000_000

Action = Callable[[], object]


class Timeline:
    """One time for everything that is simulated together."""

    def __init__(self) -> None:
        self.now = BEGIN
        self._events: list[tuple[float, int, Action]] = []
        self._number = 0

    @property
    def elapsed(self) -> float:
        """Seconds since everything began."""
        return self.now - BEGIN

    @property
    def instant(self) -> Instant:
        """The present moment, as WireGuard takes it."""
        return Instant(self.now, WALL_NS + round(self.elapsed * 1e9))

    def at(self, moment: float, action: Action) -> None:
        """Have something happen at a moment, or now if that is past."""
        self._number += 1
        heappush(self._events, (max(moment, self.now), self._number, action))

    def run(self, seconds: float) -> None:
        """Let time pass, with everything that happens in it."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heappop(self._events)
            action()
        self.now = end


class Alarm:
    """One thing that is to happen at one moment, which may be changed as often as one likes."""

    __slots__ = ("_action", "_rings_at", "_timeline", "at")

    def __init__(self, timeline: Timeline, action: Action) -> None:
        self.at: float | None = None
        """When it is due; None: never."""

        self._timeline = timeline
        self._action = action
        self._rings_at: float | None = None

    def set(self, at: float | None) -> None:
        """Be due then instead of whenever it was."""
        self.at = at
        if at is not None and (self._rings_at is None or at < self._rings_at):
            self._rings_at = at
            self._timeline.at(at, lambda: self._ring(at))

    def _ring(self, rung_at: float) -> None:
        if self._rings_at != rung_at:
            return  # an earlier one came between
        self._rings_at = None
        if self.at is not None and self.at > self._timeline.now:
            self.set(self.at)
        elif self.at is not None:
            self.at = None
            self._action()
