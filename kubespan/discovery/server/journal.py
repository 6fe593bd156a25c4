"""What the registry asks of whatever outlives it. Knows no database.

A journal is told of every change at once and in order, and must not block: it notes, and makes
durable later. Whoever answers a caller waits for that first. So another store (a shared one too)
can take the place of ours without a change to the registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Saved:
    """All there is to one affiliate; times are on the registry's clock, in seconds."""

    cluster_id: str
    affiliate_id: str
    data: bytes
    expires_at: float
    endpoints: tuple[tuple[bytes, float], ...]
    """Each endpoint and when it expires, in the order of first submission."""


class Journal(Protocol):
    """Where changes are noted so that they survive the process."""

    def admit(self) -> None:
        """Raise Refusal while no further change can be noted; nothing has changed then."""
        ...

    def put(self, saved: Saved) -> None:
        """Note that an affiliate is this from here on."""
        ...

    def remove(self, cluster_id: str, affiliate_id: str) -> None:
        """Note that an affiliate is gone."""
        ...


class NoJournal:
    """Keeps nothing: the state is in memory only."""

    def admit(self) -> None:
        """Admit everything."""

    def put(self, saved: Saved) -> None:
        """Forget it."""

    def remove(self, cluster_id: str, affiliate_id: str) -> None:
        """Forget it."""
