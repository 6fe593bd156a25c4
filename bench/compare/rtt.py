"""Round trips of an idle tunnel: wakeups and idle exits, hardly ever the cipher."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from bench.compare.cpu import Meter, Usage
from bench.compare.lab import Lab
from bench.compare.processes import CommandFailed

INTERVAL = 0.005
POLL_INTERVAL = 0.2
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


def round_trips(lab: Lab, count: int) -> RoundTrips:
    """One series of `count` pings from end `a` to `b`. Raises CommandFailed when all are lost."""
    meter = Meter(lab.tunnels)
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


def parse(report: str) -> tuple[float, float]:
    """Average and least round trip in microseconds from ping's last line."""
    found = _TIMES.search(report)
    if found is None:
        raise CommandFailed(f"ping: {report.strip()}")
    least, average = (float(value) * 1000 for value in found.groups())
    return average, least
