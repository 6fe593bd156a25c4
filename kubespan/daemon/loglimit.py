"""How much of one kind the log takes: a burst, then one line that says how much was held back.

A thousand peers that are down change their endpoints seventy times a second, for as long as they
are down. Nothing is lost in silence: what is held back is counted, and the count is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

BURST: Final = 10
"""Lines of one kind in one interval."""

INTERVAL: Final = 60.0
"""Seconds, from the first line of a burst."""

TELL_AFTER: Final = 1.0
"""Seconds between two looks whether an interval is over."""


@dataclass(slots=True)
class Kind:
    """Lines of one kind, since the first of them in this interval."""

    name: str
    level: str
    began_at: float
    lines: int = 0

    @property
    def held_back(self) -> int:
        """How many were not written."""
        return max(self.lines - BURST, 0)


class LogLimit:
    """Counts lines by kind. Time is an argument: seconds of any clock that never jumps."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def admits(self, name: str, level: str, now: float) -> bool:
        """Count a line, and tell whether it is to be written."""
        kind = self._kinds.setdefault(name, Kind(name, level, now))
        kind.lines += 1
        return not kind.held_back

    def ended(self, now: float) -> tuple[Kind, ...]:
        """Forget the kinds whose interval is over; return those of which something was held back.

        Until this is called an interval goes on, so that nothing is forgotten uncounted.
        """
        over = [kind for kind in self._kinds.values() if now - kind.began_at >= INTERVAL]
        for kind in over:
            del self._kinds[kind.name]
        return tuple(kind for kind in over if kind.held_back)


class LimitedLog:
    """A log behind a limit. Used on one thread."""

    def __init__(
        self,
        whole: FilteringBoundLogger,
        level: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._whole = whole
        self._clock = clock
        self._limit = LogLimit()
        lazy = structlog.wrap_logger(
            whole,
            processors=[self._admitted],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        )
        self.log: FilteringBoundLogger = lazy.bind()
        """Takes lines of a kind as the limit lets it: those of one code, or of one event."""

    async def follow(self) -> None:
        """Say what was held back whenever an interval is over."""
        while True:
            await asyncio.sleep(TELL_AFTER)
            self.tell(self._clock())

    def tell(self, now: float = inf) -> None:
        """Say what was held back in the intervals that are over by now; at the end, all are."""
        for kind in self._limit.ended(now):
            getattr(self._whole, kind.level)(
                "held back", kind=kind.name, lines=kind.held_back, see=_where(kind.name)
            )

    def _admitted(self, _: Any, level: str, line: EventDict) -> tuple[tuple[str], EventDict]:
        """Return a line as arguments for the log behind. Source: structlog, processors."""
        event = str(line.pop("event"))
        if not self._limit.admits(str(line.get("code", event)), level, self._clock()):
            raise structlog.DropEvent
        return (event,), line


def _where(kind: str) -> str:
    """Return the command that shows how it stands with all of them."""
    is_of_peers = kind.startswith("peer ")
    return "kubespan get kubespanpeerstatuses" if is_of_peers else "kubespan status"
