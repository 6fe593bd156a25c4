"""How much of one kind the log takes: a burst, then one line that says how much was held back.

A thousand peers that are down change their endpoints seventy times a second, for as long as they
are down. Nothing is lost in silence: what is held back is counted, and the count is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
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
        self._kinds: dict[tuple[str, str], Kind] = {}

    def admits(self, name: str, level: str, now: float) -> tuple[bool, Kind | None]:
        """Count a line; return whether it is to be written, and what this made known.

        That is the kind's last interval, if it is over and something was held back in it.
        """
        former = self._end((name, level), now)
        kind = self._kinds.setdefault((name, level), Kind(name, level, now))
        kind.lines += 1
        return not kind.held_back, former

    def ended(self, now: float) -> tuple[Kind, ...]:
        """Forget the kinds whose interval is over; return those of which something was held back.

        Only this tells of a kind of which no other line comes.
        """
        over = [self._end(key, now) for key in tuple(self._kinds)]
        return tuple(kind for kind in over if kind is not None)

    def _end(self, key: tuple[str, str], now: float) -> Kind | None:
        kind = self._kinds.get(key)
        if kind is None or now - kind.began_at < INTERVAL:
            return None
        del self._kinds[key]
        return kind if kind.held_back else None


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
        """Takes lines of a kind as the limit lets it: those of one code, or else of one event.

        Where the event's text varies, `kind` says what they have in common, and is not written.
        """

    async def follow(self) -> None:
        """Say what was held back of kinds of which nothing comes any more, until cancelled."""
        while True:
            await asyncio.sleep(TELL_AFTER)
            # What could not be written now must not keep later lines from being written.
            with suppress(OSError):
                self.tell(self._clock())

    def tell(self, now: float = inf) -> None:
        """Say what was held back in the intervals that are over by now; at the end, all are."""
        for kind in self._limit.ended(now):
            self._tell(kind)

    def _tell(self, kind: Kind) -> None:
        getattr(self._whole, kind.level)(
            "held back", kind=kind.name, lines=kind.held_back, see=_where(kind.name)
        )

    def _admitted(self, _: Any, level: str, line: EventDict) -> tuple[tuple[str], EventDict]:
        """Return a line as arguments for the log behind. Source: structlog, processors."""
        event = str(line.pop("event"))
        kind = str(line.pop("kind", line.get("code", event)))
        is_admitted, former = self._limit.admits(kind, level, self._clock())
        if former is not None:
            self._tell(former)
        if not is_admitted:
            raise structlog.DropEvent
        return (event,), line


def _where(kind: str) -> str:
    """Return the command that shows how it stands with all of them."""
    is_of_peers = kind.startswith(("peer ", "peer("))
    return "kubespan get kubespanpeerstatuses" if is_of_peers else "kubespan status"
