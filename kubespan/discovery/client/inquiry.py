"""When to ask a service who there is: one question at a time, and not too often.

A List is as large as a snapshot, and many members may leave at once. Reads no clock.
"""

from __future__ import annotations

from typing import Final

from kubespan.discovery.client.backoff import Backoff, Random

LIST_INTERVAL: Final = 0.5
"""Least seconds from one List to the next, so that many who leave at once cost a few of them."""


class Inquiry:
    """The Lists that one service is asked for."""

    __slots__ = ("_backoff", "_free_at", "is_out")

    def __init__(self, random: Random) -> None:
        self.is_out = False
        """Whether a List has been asked for and has not ended."""

        self._backoff = Backoff(random)
        self._free_at = 0.0

    @property
    def next_timeout(self) -> float | None:
        """When the next one may be asked for; None: not before this one has ended."""
        return None if self.is_out else self._free_at

    def begin(self, now: float) -> None:
        """One is being asked for."""
        self.is_out = True
        self._free_at = now + LIST_INTERVAL

    def answer(self) -> None:
        """It was answered."""
        self.is_out = False
        self._backoff.reset()

    def fail(self, now: float) -> None:
        """It was not answered."""
        self.is_out = False
        self._free_at = now + self._backoff.delay()

    def end(self) -> None:
        """The service does not listen any more; what was on the way is lost."""
        self.is_out = False
