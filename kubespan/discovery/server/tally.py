"""What has been asked of the server, and what became of it, as plain numbers.

Knows no metrics library: whoever is asked for metrics reads these. Everything that a caller can
choose is folded into few values, so that nobody makes us count without end. Discovery service, as
observed, for buckets and versions.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import Final

from kubespan.discovery.method import METHODS, Method

HANDLING_BUCKETS: Final = (0.01, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds in seconds; one more bucket is for everything above."""

MOST_VERSIONS: Final = 256
"""Client versions that are told apart; there have been a few dozen of them."""

UNKNOWN_VERSION: Final = "unknown"

_TAG: Final = re.compile(r"v(\d{1,4})\.(\d{1,4})(?:\.\d+)?(-.*)?", re.ASCII | re.DOTALL)


class CallTally:
    """The counts of one method."""

    __slots__ = ("handled", "handling_buckets", "handling_seconds", "received", "sent", "started")

    def __init__(self) -> None:
        self.started = 0
        self.received = 0
        self.sent = 0
        self.handled: Counter[str] = Counter()
        """By the name of the status code."""
        self.handling_seconds = 0.0
        self.handling_buckets = [0] * (len(HANDLING_BUCKETS) + 1)

    def finish(self, code: str, duration: float) -> None:
        """A call has ended after so many seconds."""
        self.handled[code] += 1
        self.handling_seconds += duration
        self.handling_buckets[bisect_left(HANDLING_BUCKETS, duration)] += 1


class ServerTally:
    """The counts of a server since it started."""

    def __init__(self) -> None:
        self.calls: dict[Method, CallTally] = {method: CallTally() for method in METHODS}
        self.hellos: Counter[str] = Counter()
        """By the client's version, folded."""
        self.collections = 0
        self.collected_clusters = 0
        self.collected_affiliates = 0

    def count_hello(self, client_version: str) -> None:
        """A client of that version has said hello."""
        version = folded_version(client_version)
        if version not in self.hellos and len(self.hellos) >= MOST_VERSIONS:
            version = UNKNOWN_VERSION
        self.hellos[version] += 1


def folded_version(tag: str) -> str:
    """Return `v1.14` for `v1.14.2`, `v1.14-pre` for `v1.14.0-beta.0`, `unknown` for the rest."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return UNKNOWN_VERSION
    major, minor, suffix = match.groups()
    return f"v{major}.{minor}{'-pre' if suffix else ''}"
