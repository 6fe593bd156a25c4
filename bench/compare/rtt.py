"""Round trips, of an idle tunnel and of one that a TCP stream fills.

The first are wakeups and idle exits, hardly ever the cipher; the second are mostly the queues that
build up in front of the tunnel.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare.cpu import Meter, Usage
from bench.compare.lab import Lab
from bench.compare.load import busy
from bench.compare.processes import CommandFailed

INTERVAL = 0.005
POLL_INTERVAL = 0.2
MARGIN = 2.0
_TIMES = re.compile(r"= ([\d.]+)/([\d.]+)/[\d.]+/")


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Average and least of one series of pings, in microseconds."""

    average: float
    least: float
    usage: Usage

    def values(self) -> dict[str, float]:
        """The measured figures by metric."""
        return {"rtt_us": self.average, "rtt_min_us": self.least}


def round_trips(lab: Lab, count: int, load: Sequence[int] = ()) -> RoundTrips:
    """One series of `count` pings from end `a` to `b`. Raises CommandFailed when all are lost.

    `load` are the processes that are at work beside it.
    """
    meter = Meter([*lab.tunnels, *load])
    options = ("-n", "-q", "-i", str(INTERVAL), "-c", str(count))
    pings = lab.a.namespace.start("ping", *options, lab.b.address)
    meter.watch(pings.pid)
    try:
        while not pings.has_exited():
            time.sleep(POLL_INTERVAL)
            meter.poll()
        usage = meter.usage()
        average, least = parse(pings.result())
    finally:
        pings.end()
    return RoundTrips(average, least, usage)


def loaded_round_trips(lab: Lab, count: int) -> RoundTrips:
    """Likewise, beside one TCP stream. Raises CommandFailed."""
    with busy(lab, count * INTERVAL + MARGIN) as load:
        return round_trips(lab, count, load)


def parse(report: str) -> tuple[float, float]:
    """Average and least round trip in microseconds from ping's last line."""
    found = _TIMES.search(report)
    if found is None:
        raise CommandFailed(f"ping: {report.strip()}")
    least, average = (float(value) * 1000 for value in found.groups())
    return average, least
