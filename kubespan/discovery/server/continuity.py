"""How times that an earlier process wrote down go on in this one.

Boot time cannot be set, so within one boot it alone counts. Across boots there is only the wall
clock, which anyone may set; it is believed for how long we were away, and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks, and to which boot the first belongs."""

    boot_id: str
    """Which boot, as the kernel calls it; empty where it does not say."""

    boot: float
    """Seconds since then."""

    wall: float
    """Seconds since the Unix epoch."""


def shift(then: Moment, now: Moment) -> float:
    """Return what to add to boot times of `then` so that they mean the same at `now`.

    Times then in the future are never further away now: with a wall clock that was set back, no
    time has passed. One that was set forward has had the same effect as being away so long.
    """
    if then.boot_id and then.boot_id == now.boot_id and then.boot <= now.boot:
        return 0.0
    away = max(0.0, now.wall - then.wall)
    return now.boot - then.boot - away
