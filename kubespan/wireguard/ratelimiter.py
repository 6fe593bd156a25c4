"""How many handshakes one source may cost us while we are under load: a token bucket for each.

Time is an argument. Memory is bounded: with too many sources at once, new ones are refused, which
is what an attacker with many addresses would otherwise do to it. Paper §5.3; kernel ratelimiter.c.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from kubespan.model.address import IPAddress

PACKETS_PER_SECOND = 20
"""Kernel ratelimiter.c, wireguard-go."""

BURST = 5
"""Packets that may come at once. Kernel ratelimiter.c, wireguard-go."""

IDLE_AFTER = 1.0
"""Seconds after which a full bucket is forgotten. Kernel ratelimiter.c, wireguard-go."""

MAX_SOURCES = 65_536
"""Buckets kept at most. Kernel ratelimiter.c, on a machine with plenty of memory."""

_NANOSECONDS = 1_000_000_000
_COST = _NANOSECONDS // PACKETS_PER_SECOND
_FULL = _COST * BURST


class RateLimiter:
    """Credit of each source, in nanoseconds: the more time passes, the more it has."""

    def __init__(self, max_sources: int = MAX_SOURCES) -> None:
        self._max_sources = max_sources
        self._buckets: dict[int | bytes, tuple[int, int]] = {}
        self._collected_at = 0

    def allow(self, address: IPAddress, boot: float) -> bool:
        """Spend one packet's credit of an address; False if it has none left, or nobody has room.

        An IPv4 address is a source by itself; of an IPv6 address, the first 64 bits are.
        """
        now = int(boot * _NANOSECONDS)
        source = int(address) if isinstance(address, IPv4Address) else address.packed[:8]
        bucket = self._buckets.get(source)
        if bucket is None:
            return self._admit(source, now)
        credit, spent_at = bucket
        credit = min(_FULL, credit + now - spent_at)
        allowed = credit >= _COST
        self._buckets[source] = (credit - _COST if allowed else credit, now)
        return allowed

    def __len__(self) -> int:
        return len(self._buckets)

    def _admit(self, source: int | bytes, now: int) -> bool:
        """Open a bucket for a new source, if there is room after the idle ones are gone."""
        idle = int(IDLE_AFTER * _NANOSECONDS)
        if now - self._collected_at >= idle:
            self._collected_at = now
            self._buckets = {
                known: bucket for known, bucket in self._buckets.items() if now - bucket[1] < idle
            }
        if len(self._buckets) >= self._max_sources:
            return False
        self._buckets[source] = (_FULL - _COST, now)
        return True
