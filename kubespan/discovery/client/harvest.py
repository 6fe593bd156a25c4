"""When to tell a service where others were reached: one at a time, never in a burst.

Only of those that the service knows: an endpoint of anybody else would make an empty record there,
or keep one alive whose owner has left. Nothing is sent here, no clock is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Final

from kubespan.discovery.client.backoff import Random
from kubespan.discovery.client.effects import FailureReason
from kubespan.discovery.client.registration import next_refresh
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.constants import AFFILIATE_REFRESH_INTERVAL

LONGEST_GAP: Final = 1.0
"""Seconds between two of them, unless there are too many for that."""

RETRY_DELAY: Final = 60.0
"""Seconds after which one is tried again that failed, or whose member was not there."""


class Harvest:
    """Endpoints of others, as one service is told them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._endpoints: dict[str, tuple[bytes, ...]] = {}
        self._due_at: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        self._free_at = 0.0
        self._in_flight: AffiliateRecord | None = None
        self._is_connected = False

    @property
    def next_timeout(self) -> float | None:
        """When `take` is worth a call; None: not before something else happens."""
        self._forget_outdated()
        if not self._is_connected or self._in_flight is not None or not self._queue:
            return None
        return max(self._queue[0][0], self._free_at)

    def set_endpoints(self, endpoints: Mapping[str, tuple[bytes, ...]], now: float) -> None:
        """From now on these are told, by id; what differs from before is due at once."""
        before, self._endpoints = self._endpoints, dict(endpoints)
        self._due_at = {id_: due for id_, due in self._due_at.items() if id_ in self._endpoints}
        for id_, sealed in self._endpoints.items():
            if before.get(id_) != sealed:
                self._schedule(id_, now)

    def begin(self, now: float) -> None:
        """The service listens, and may have forgotten everything."""
        self._is_connected = True
        self._queue.clear()
        for id_ in self._endpoints:
            self._schedule(id_, now)

    def end(self) -> None:
        """The service does not listen any more; what was on the way is lost."""
        self._is_connected = False
        self._in_flight = None

    def take(self, now: float, is_present: Callable[[str], bool]) -> AffiliateRecord | None:
        """Return a record without data to send now, if one is due; it then counts as sent."""
        while (due_at := self.next_timeout) is not None and due_at <= now:
            _, id_ = heappop(self._queue)
            self._schedule(id_, now + RETRY_DELAY)
            if is_present(id_):
                gap = AFFILIATE_REFRESH_INTERVAL / (2 * len(self._endpoints))
                self._free_at = now + min(LONGEST_GAP, gap)
                self._in_flight = AffiliateRecord(id_, b"", self._endpoints[id_])
                return self._in_flight
        return None

    def acknowledge(self, now: float) -> None:
        """The service has what was sent last."""
        sent, self._in_flight = self._in_flight, None
        if sent is not None and self._endpoints.get(sent.id) == sent.endpoints:
            self._schedule(sent.id, next_refresh(now, self._random))

    def fail(self, reason: FailureReason, now: float) -> None:
        """The service does not have what was sent last; where a limit is reached, let it rest."""
        sent, self._in_flight = self._in_flight, None
        if sent is not None and reason is FailureReason.EXHAUSTED and sent.id in self._endpoints:
            self._schedule(sent.id, next_refresh(now, self._random))

    def _schedule(self, id_: str, due_at: float) -> None:
        self._due_at[id_] = due_at
        heappush(self._queue, (due_at, id_))

    def _forget_outdated(self) -> None:
        while self._queue and self._due_at.get(self._queue[0][1]) != self._queue[0][0]:
            heappop(self._queue)
