"""Round trips, of an idle tunnel and beside a TCP stream.

The first are wakeups and idle exits, hardly ever the cipher. Beside a stream that takes what it can
get they are mostly the queue that it makes, which is short where little gets through; beside one
of the same rate for everybody they compare like with like.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """Average and least of one series of pings, in microseconds.

    `beside` is what arrived meanwhile besides them, in bits a second; None if nothing was sent.
    """

    average: float
    least: float
    usage: Usage
    beside: float | None = None

    def values(self) -> dict[str, float]:
        """The measured figures by metric."""
        values = {"rtt_us": self.average, "rtt_min_us": self.least}
        return values if self.beside is None else {**values, "beside_gbps": self.beside / 1e9}


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


def loaded_round_trips(lab: Lab, count: int, rate: int | None = None) -> RoundTrips:
    """Likewise, beside one TCP stream of `rate` bits a second, or of all it can get.

    Raises CommandFailed.
    """
    with busy(lab, count * INTERVAL + MARGIN, rate) as load:
        before, started_at = _received(lab), time.monotonic()
        found = round_trips(lab, count, load)
        seconds = time.monotonic() - started_at
        return replace(found, beside=8 * (_received(lab) - before) / seconds)


def parse(report: str) -> tuple[float, float]:
    """Average and least round trip in microseconds from ping's last line."""
    found = _TIMES.search(report)
    if found is None:
        raise CommandFailed(f"ping: {report.strip()}")
    least, average = (float(value) * 1000 for value in found.groups())
    return average, least


def _received(lab: Lab) -> int:
    """Bytes that came out of the tunnel at end `b`, IP headers and all."""
    report = lab.b.namespace.run("ip", "-json", "-stats", "link", "show", lab.b.interface)
    (link,) = json.loads(report)
    return int(link["stats64"]["rx"]["bytes"])
