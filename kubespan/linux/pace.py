"""How often what others undo is done again: at once, then less often while they go on."""

from __future__ import annotations

from typing import Final

LEAST: Final = 0.25
"""Seconds between two restorations."""

MOST: Final = 1.0
"""Seconds of the longest pause.

Packets for members may leave in clear for a little longer: a change is given time to settle first
(`apply.SETTLE_AFTER`), and putting it right takes its time too. One restoration costs
58 ms of a core with 1,000 peers: pytest bench/bench_steering.py.
"""

PEACE_AFTER: Final = 60.0
"""Seconds without a restoration after which the next one counts as the first."""


class Pace:
    """The pause after a restoration. Time is an argument: seconds of any clock that never jumps."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._restored_at = 0.0

    def restored(self, now: float) -> float:
        """Return for how long nothing is to be restored, given that something was just."""
        is_peace = not self._pause or now - self._restored_at > PEACE_AFTER
        self._pause = LEAST if is_peace else min(2 * self._pause, MOST)
        self._restored_at = now
        return self._pause
