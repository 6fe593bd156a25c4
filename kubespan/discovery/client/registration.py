"""When to tell a service our own record: at once when it differs, and again well within its life.

Nothing is sent here, no clock is read. What failed is tried again soon, while a limit that is
reached gets a long pause: the service may have stored the record all the same, and announced it to
everybody.
"""

from __future__ import annotations

from typing import Final

from kubespan.discovery.client.backoff import Backoff, Random
from kubespan.discovery.client.effects import FailureReason
from kubespan.discovery.record import AffiliateRecord
from kubespan.model.constants import AFFILIATE_REFRESH_INTERVAL

REFRESH_JITTER: Final = 0.1
"""Refreshes are spread by up to this share of the interval, always towards earlier."""

LIMIT_DELAY: Final = 60.0
"""Seconds until the first try after a limit was reached."""


RENEW_INTERVAL: Final = 5.0
"""Least seconds from one update to the next, where somebody else keeps deleting our record."""


def next_refresh(now: float, random: Random) -> float:
    """Return when to refresh what has been acknowledged just now."""
    return now + AFFILIATE_REFRESH_INTERVAL * (1 - REFRESH_JITTER * random())


class Registration:
    """Our own record at one service."""

    def __init__(self, random: Random) -> None:
        self.record: AffiliateRecord | None = None
        self.failures = 0
        """In a row."""

        self.is_possible = False
        """Whether the service may have our record."""

        self._random = random
        self._backoff = Backoff(random)
        self._limit_backoff = Backoff(
            random, first=LIMIT_DELAY, growth=2, cap=AFFILIATE_REFRESH_INTERVAL
        )
        self._due_at: float | None = None
        self._in_flight: AffiliateRecord | None = None
        self._is_connected = False
        self._sent_at = -RENEW_INTERVAL
        self._is_lost = False
        """Whether the service has said, after we sent it, that it has no record of ours."""

    @property
    def is_in_flight(self) -> bool:
        """Whether an update has been sent and not ended."""
        return self._in_flight is not None

    @property
    def next_timeout(self) -> float | None:
        """When `take` will have something; None: not before something else happens."""
        return self._due_at if self._is_connected and self._in_flight is None else None

    def set_record(self, record: AffiliateRecord, now: float) -> None:
        """From now on this is our record; the same one again changes nothing."""
        if record != self.record:
            self.record = record
            self._backoff.reset()
            self._due_at = now

    def renew(self, now: float) -> None:
        """The service says that our record was deleted, though we are here.

        Stock clients have dropped us and will not take us back before they hear of us again.
        """
        if self.record is not None:
            self._is_lost = True
            self._due_at = max(now, self._sent_at + RENEW_INTERVAL)

    def begin(self, now: float) -> None:
        """The service listens, and may have forgotten everything."""
        self._is_connected = True
        self.failures = 0
        if self.record is not None:
            self._due_at = now

    def end(self) -> None:
        """The service does not listen any more; what was on the way is lost."""
        self._is_connected = False
        self._in_flight = None

    def take(self, now: float) -> AffiliateRecord | None:
        """Return what to send now, if anything is due; it then counts as sent."""
        due_at = self.next_timeout
        if due_at is None or due_at > now:
            return None
        self._in_flight = self.record
        self._sent_at = now
        self._is_lost = False
        self.is_possible = True
        return self.record

    def acknowledge(self, now: float) -> None:
        """The service has it."""
        sent, self._in_flight = self._in_flight, None
        self.failures = 0
        self._backoff.reset()
        self._limit_backoff.reset()
        if sent == self.record and not self._is_lost:
            self._due_at = next_refresh(now, self._random)

    def fail(self, reason: FailureReason, now: float) -> None:
        """The service does not have it, as far as we know."""
        self._in_flight = None
        self.failures += 1
        is_limit = reason is FailureReason.EXHAUSTED
        self._due_at = now + (self._limit_backoff if is_limit else self._backoff).delay()
