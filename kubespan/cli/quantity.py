"""Durations and sizes for people: short, and never more exact than they are."""

from __future__ import annotations

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def duration(seconds: float) -> str:
    """Return `38 s`, `12m`, `3h12m` or `5d3h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 60:
        return f"{minutes}m"
    if hours < 24:
        return f"{hours}h{minutes % 60}m"
    return f"{days}d{hours % 24}h"


def size(count: int) -> str:
    """Return a number of bytes as `310 MB` or `1.2 GB`."""
    value, unit = float(count), 0
    # 999.95 would be rounded to 1000.0.
    while value >= 999.95 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 9.95 else 0
    return f"{value:.{digits}f} {UNITS[unit]}"


def round_trip(seconds: float) -> str:
    """Return a round trip as `18 ms`, or `0.4 ms`."""
    milliseconds = seconds * 1000
    return f"{milliseconds:.{0 if milliseconds >= 10 else 1}f} ms"


def share(part: float) -> str:
    """Return a part of a whole as `41 %`, or `0.4 %`."""
    percent = 100 * part
    return f"{percent:.{0 if percent >= 9.95 else 1}f} %"
