"""What to tell the operator, and how often: a state when it changes, a complaint once a minute.

A service that comes and goes many times a second must not fill a log. Reads no clock.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from typing import Final

from kubespan.discovery.client.effects import Failure, Tell

TELL_INTERVAL: Final = 60.0
"""Seconds between two lines about the same trouble."""


class Trouble(Enum):
    """What can be wrong with a service."""

    SERVICE = auto()
    REDIRECT = auto()
    REGISTRATION = auto()
    HARVEST = auto()
    RECORDS = auto()
    WITHDRAWAL = auto()


class Notices:
    """The lines about one service."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told_at: dict[Trouble, float] = {}
        self._is_told_down = True
        self._is_told_unregistered = True
        self._refusals: Counter[str] = Counter()

    def connected(self, target: str, members: int) -> list[Tell]:
        """The service talks to us, and was not said to since it was last said not to."""
        if not self._is_told_down:
            return []
        self._is_told_down = False
        return [self._line(f"connected to {target}, {members} members", is_problem=False)]

    def failed(self, target: str, failure: Failure, now: float) -> list[Tell]:
        """The service does not talk to us."""
        told = self._trouble(
            Trouble.SERVICE, f"{target} {failure}; trying again, at least every 90 s", now
        )
        self._is_told_down |= bool(told)
        return told

    def registered(self) -> list[Tell]:
        """The service has our record, and was not said to since it was last said not to."""
        if not self._is_told_unregistered:
            return []
        self._is_told_unregistered = False
        return [self._line("this host is registered", is_problem=False)]

    def registration_failed(self, failure: Failure, now: float) -> list[Tell]:
        """The service did not take our record."""
        told = self._trouble(
            Trouble.REGISTRATION, f"this host could not be registered: the service {failure}", now
        )
        self._is_told_unregistered |= bool(told)
        return told

    def harvest_failed(self, failure: Failure, now: float) -> list[Tell]:
        """The service did not take an endpoint of somebody else."""
        return self._trouble(
            Trouble.HARVEST, f"an observed endpoint was not accepted: the service {failure}", now
        )

    def redirect_refused(self, why: str, now: float) -> list[Tell]:
        """The service sends us to where we do not go."""
        return self._trouble(Trouble.REDIRECT, why, now)

    def withdrawal_failed(self, failure: Failure, now: float) -> list[Tell]:
        """The service keeps our record until it expires."""
        return self._trouble(
            Trouble.WITHDRAWAL,
            f"this host could not be withdrawn: the service {failure};"
            " others forget it within 30 minutes",
            now,
        )

    def refused(self, refusals: Counter[str], now: float) -> list[Tell]:
        """Parts of records could not be used: all of them so far, by reason."""
        news = refusals - self._refusals
        if not news:
            return []
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(news.items()))
        told = self._trouble(Trouble.RECORDS, f"refused from records: {counts}", now)
        if told:
            self._refusals = refusals.copy()
        return told

    def _trouble(self, trouble: Trouble, text: str, now: float) -> list[Tell]:
        told_at = self._told_at.get(trouble)
        if told_at is not None and now < told_at + TELL_INTERVAL:
            return []
        self._told_at[trouble] = now
        return [self._line(text, is_problem=True)]

    def _line(self, text: str, *, is_problem: bool) -> Tell:
        return Tell(f"discovery service {self._name}: {text}", is_problem)
