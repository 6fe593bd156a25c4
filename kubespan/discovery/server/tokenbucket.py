"""How often one address may call: a bucket of tokens each, one token a call.

A call that finds its bucket empty waits for the token it will get, so a well-meant burst is slowed
down and not refused. Knows no clock: `now` is an argument. Not to be confused with the limiter of
WireGuard handshakes, which refuses instead. Discovery service, as observed, for rate and burst.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

CALLS_PER_SECOND: Final = 15.0
CALLS_AT_ONCE: Final = 60.0

LONGEST_QUEUE: Final = 4096
"""Calls of one address that may wait, which bounds what they hold. Nobody's clients reach it."""

MOST_BUCKETS: Final = 65_536
"""Addresses that are kept apart; beyond it the one that was quiet for longest starts afresh."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    """Below zero: calls that wait for tokens yet to come."""

    filled_at: float

    def fill(self, now: float) -> None:
        self.tokens = min(CALLS_AT_ONCE, self.tokens + (now - self.filled_at) * CALLS_PER_SECOND)
        self.filled_at = now


class TokenBuckets:
    """The buckets of all addresses. A full one is as good as none, so it need not be kept."""

    def __init__(self, most: int = MOST_BUCKETS) -> None:
        self._most = most
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: bytes, now: float, patience: float | None) -> float | None:
        """Take a token and return the seconds to wait for it.

        None if that is longer than `patience`, or the queue is full: then no token is taken.
        """
        bucket = self._bucket(address, now)
        bucket.fill(now)
        wait = max(0.0, (1.0 - bucket.tokens) / CALLS_PER_SECOND)
        if bucket.tokens <= -LONGEST_QUEUE or (patience is not None and wait > patience):
            return None
        bucket.tokens -= 1.0
        return wait

    def give_back(self, address: bytes) -> None:
        """Return the token of a call that left before its turn."""
        bucket = self._buckets.get(address)
        if bucket is not None:
            bucket.tokens += 1.0

    def discard_full(self, now: float) -> None:
        """Forget addresses that have not called for so long that nothing is left to remember."""
        for address, bucket in tuple(self._buckets.items()):
            bucket.fill(now)
            if bucket.tokens >= CALLS_AT_ONCE:
                del self._buckets[address]

    def _bucket(self, address: bytes, now: float) -> _Bucket:
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = _Bucket(CALLS_AT_ONCE, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket
