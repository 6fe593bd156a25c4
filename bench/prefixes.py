"""The prefixes that the benchmarks of allowed IPs load: as many as the kernel's own test has."""

from __future__ import annotations

COUNT = 130_560


def texts() -> list[str]:
    """130,560 different IPv4 networks, as `wg` writes them."""
    return [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/32" for n in range(COUNT)]
