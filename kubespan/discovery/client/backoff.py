"""How long to wait before trying again: longer each time, never much longer than the cap.

Reads no clock and makes no randomness. The delays are those of the official client: the first is
half a second, each next one half as long again, all spread so that those who failed together do
not come back together.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, TypeAlias

Random: TypeAlias = Callable[[], float]
"""A number from 0 up to, not including, 1."""

FIRST_DELAY: Final = 0.5
GROWTH: Final = 1.5
LONGEST_DELAY: Final = 60.0
SPREAD: Final = 0.5


class Backoff:
    """Delays for one thing that keeps failing."""

    __slots__ = ("_cap", "_first", "_growth", "_next", "_random")

    def __init__(
        self,
        random: Random,
        *,
        first: float = FIRST_DELAY,
        growth: float = GROWTH,
        cap: float = LONGEST_DELAY,
    ) -> None:
        self._random = random
        self._first = first
        self._growth = growth
        self._cap = cap
        self._next = first

    def delay(self, longest: float = inf) -> float:
        """Return how many seconds to wait, no longer than that but for the spread.

        The next one will be longer if it may be.
        """
        delay = min(self._next, longest)
        self._next = min(delay * self._growth, self._cap)
        return delay * (1 - SPREAD + 2 * SPREAD * self._random())

    def reset(self) -> None:
        """What failed has worked: begin with the first delay again."""
        self._next = self._first
