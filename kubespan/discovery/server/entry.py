"""One affiliate as the discovery server keeps it: data and endpoints, each with its own life.

Anyone who knows the cluster may add endpoints, so they are joined, never replaced, and leave only
by expiring. Nothing expires by itself here: until `expire` is called the old is as good as the new.
Discovery service, as observed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from kubespan.discovery.record import AffiliateRecord
from kubespan.discovery.server.journal import Saved
from kubespan.model.constants import MAX_ENDPOINTS

ENTRY_COST: Final = 768
"""Bytes of memory that an affiliate takes besides what was sent, rounded up. Measured."""

CHARACTER_COST: Final = 8
"""Bytes of memory that a character of its id takes at most: 4 of Python, 4 of UTF-8 beside it."""

ENDPOINT_COST: Final = 160
"""Bytes of memory that an endpoint takes besides what was sent, rounded up. Measured."""


class Merge(NamedTuple):
    """What became of an update."""

    is_news: bool
    """Whether there is something to see that was not there before."""

    is_cut: bool
    """Whether there were more endpoints than fit."""


class Entry:
    """Everything known of one affiliate."""

    __slots__ = ("_record", "cost", "data", "due_at", "endpoints", "expires_at", "id")

    def __init__(self, affiliate_id: str, expires_at: float) -> None:
        self.id = affiliate_id
        self.data = b""
        self.expires_at = expires_at
        self.endpoints: dict[bytes, float] = {}
        self.due_at = math.inf
        """Nothing that was merged expires before this; it may be too early, never too late."""
        self.cost = ENTRY_COST + CHARACTER_COST * len(affiliate_id)
        """Bytes of memory, estimated from above."""
        self._record: AffiliateRecord | None = None

    @classmethod
    def restored(cls, saved: Saved) -> Entry:
        """Return what was saved, as it was."""
        entry = cls(saved.affiliate_id, saved.expires_at)
        entry._set_data(saved.data)
        for endpoint, expires_at in saved.endpoints:
            entry._add(endpoint, expires_at)
        entry.due_at = entry._first_expiry()
        return entry

    @property
    def record(self) -> AffiliateRecord:
        """What List and Watch show, made once a change."""
        if self._record is None:
            self._record = AffiliateRecord(self.id, self.data, tuple(self.endpoints))
        return self._record

    def saved(self, cluster_id: str) -> Saved:
        """All of it, for the journal."""
        endpoints = tuple(self.endpoints.items())
        return Saved(cluster_id, self.id, self.data, self.expires_at, endpoints)

    def growth(self, data: bytes, endpoints: Sequence[bytes]) -> int:
        """Return how much `cost` may grow by a merge of these; less than nothing is possible."""
        more = len(data) - len(self.data) if data else 0
        new = (ENDPOINT_COST + len(e) for e in endpoints if e not in self.endpoints)
        return more + sum(new)

    def merge(self, data: bytes, endpoints: Sequence[bytes], expires_at: float) -> Merge:
        """Take over what was sent, endpoint by endpoint until one does not fit.

        Data, unless empty, replaces data and expiry, even by an earlier one; a known endpoint only
        ever lives longer; and so does the affiliate, unless the endpoints were cut.
        """
        known = len(self.endpoints)
        if data:
            self._set_data(data)
            self.expires_at = expires_at
        is_cut = not self._join(endpoints, expires_at)
        if not is_cut:
            self.expires_at = max(self.expires_at, expires_at)
        self.due_at = min(self.due_at, expires_at, self.expires_at)
        return Merge(is_news=bool(data) or len(self.endpoints) > known, is_cut=is_cut)

    def expire(self, now: float) -> int:
        """Drop the endpoints that expired before `now`; return how many.

        For an affiliate that has not expired itself.
        """
        self.due_at = self._first_expiry()
        if self.due_at >= now:
            return 0  # as it is for most: they were refreshed
        old = [endpoint for endpoint, at in self.endpoints.items() if at < now]
        for endpoint in old:
            del self.endpoints[endpoint]
            self.cost -= ENDPOINT_COST + len(endpoint)
        self._record = None
        self.due_at = self._first_expiry()
        return len(old)

    def _first_expiry(self) -> float:
        return min((self.expires_at, *self.endpoints.values()))

    def _join(self, endpoints: Sequence[bytes], expires_at: float) -> bool:
        for endpoint in endpoints:
            known_until = self.endpoints.get(endpoint)
            if known_until is not None:
                self.endpoints[endpoint] = max(known_until, expires_at)
            elif len(self.endpoints) < MAX_ENDPOINTS:
                self._add(endpoint, expires_at)
            else:
                return False
        return True

    def _set_data(self, data: bytes) -> None:
        self.cost += len(data) - len(self.data)
        self.data = data
        self._record = None

    def _add(self, endpoint: bytes, expires_at: float) -> None:
        self.cost += ENDPOINT_COST + len(endpoint)
        self.endpoints[endpoint] = expires_at
        self._record = None
