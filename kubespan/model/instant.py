"""One moment on both clocks that WireGuard needs. Reads no clock: whoever has one makes these."""

from __future__ import annotations

from typing import NamedTuple


class Instant(NamedTuple):
    """A moment: `boot` orders and measures, `wall_ns` is only told to others."""

    boot: float
    """Seconds since boot, time asleep included."""

    wall_ns: int
    """Nanoseconds since the Unix epoch."""
