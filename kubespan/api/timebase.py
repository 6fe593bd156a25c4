"""Turns seconds since boot into times of day that stay the same from look to look.

The two clocks are never read at quite the same moment, so that the distance between them seems to
tremble. It counts as unchanged until somebody really sets the clock.
"""

from __future__ import annotations

from typing import Final

from kubespan.model.instant import Instant

TREMBLE: Final = 50_000_000
"""Nanoseconds of difference that are no news."""

NANOSECONDS: Final = 1_000_000_000


def boot_time(moment: Instant) -> int:
    """Return when the machine was booted, going by a moment: nanoseconds since the epoch."""
    return moment.wall_ns - round(moment.boot * NANOSECONDS)


class Timebase:
    """When the machine was booted, as far as this node is concerned."""

    def __init__(self) -> None:
        self._booted: int | None = None

    def booted_ns(self, moment: Instant) -> int:
        """Return when the machine was booted: nanoseconds since the epoch."""
        found = boot_time(moment)
        if self._booted is None or abs(found - self._booted) > TREMBLE:
            self._booted = found
        return self._booted
