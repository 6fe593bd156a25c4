"""Paced UDP packets: the highest rate that loses less than 1 %, and the CPU cost at a fixed rate.

A flood (iperf3 -u -b 0) measures who starves whom; this measures the tunnel. The sender and the
counter are packets.c, compiled for the run, so that neither costs the machine more than a plain
C program does.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.compare.cpu import Meter, Usage
from bench.compare.lab import Lab
from bench.compare.processes import Child, CommandFailed, run

PORT = 5202
MAX_LOSS = 0.01
# A sender that falls further behind than this has not offered the rate asked of it.
MIN_OFFERED = 0.97
FIRST_RATE = 40_000.0
GROWTH = 1.6
LOWEST_RATE = 100.0
HIGHEST_RATE = 4_000_000.0
DRAIN_TIME = 0.1
POLL_INTERVAL = 0.05
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Packets:
    """What is offered: UDP payload bytes, and packets handed to the kernel as one send."""

    size: int
    segments: int = 1

    @property
    def name(self) -> str:
        """As in a heading of the report."""
        together = f", {self.segments} a send (UDP_SEGMENT)" if self.segments > 1 else ""
        return f"{self.size}-byte packets{together}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate offered for a while: packets a second asked and sent, packets received."""

    asked: float
    sent: int
    received: int
    seconds: float
    usage: Usage

    @property
    def rate(self) -> float:
        """Packets a second that arrived."""
        return self.received / self.seconds

    @property
    def passed(self) -> bool:
        """Whether the rate was really offered and less than 1 % of it was lost."""
        offered = self.sent >= MIN_OFFERED * self.asked * self.seconds
        return offered and self.received > (1 - MAX_LOSS) * self.sent

    @property
    def microseconds_per_packet(self) -> float:
        """CPU time of tunnels, sender and counter, for one packet."""
        return self.usage.measured / max(1, self.received) * 1e6


class Workshop:
    """The compiled sender and counter; a context manager that owns the directory they are in."""

    def __init__(self) -> None:
        if (compiler := shutil.which("cc")) is None:
            raise CommandFailed("small packets need a C compiler: apt-get install gcc libc6-dev")
        self._directory = tempfile.TemporaryDirectory(prefix="kubespan-bench-")
        self._program = str(Path(self._directory.name) / "packets")
        source = Path(__file__).with_name("packets.c")
        run([compiler, "-O2", "-o", self._program, str(source)])

    def close(self) -> None:
        """The compiled program is gone."""
        self._directory.cleanup()

    def trial(self, lab: Lab, packets: Packets, rate: float, seconds: float) -> Trial:
        """`rate` packets a second were offered for `seconds` from end `a` to end `b`."""
        where = (lab.b.address, str(PORT))
        counter = lab.b.namespace.start(self._program, "count", *where)
        try:
            _wait_until(lambda: "ready" in counter.output(), counter)
            meter = Meter([*lab.tunnels, counter.pid])
            sender = self.send(lab, PORT, packets, rate, seconds)
            meter.watch(sender.pid)
            sent, took = _sent(sender, meter)
            _stop(counter)
            usage = meter.usage()
            return Trial(rate, sent, int(counter.result().split()[-1]), took, usage)
        finally:
            counter.end()

    def send(
        self, lab: Lab, port: int | str, packets: Packets, rate: float, seconds: float
    ) -> Child:
        """A sender from end `a` to a port of end `b` that is under way; the caller ends it."""
        what = (str(packets.size), str(rate), str(seconds), str(packets.segments))
        where = (lab.b.address, str(port))
        return lab.a.namespace.start(self._program, "send", *where, *what)


def highest_rate(offer: Callable[[float], Trial], step: float) -> Trial:
    """The fastest passing trial: the rate grows until a trial fails twice, then is halved in on.

    `step` is how near, as a ratio, passing and failing rates come. Raises CommandFailed when
    nothing passes.
    """
    best: Trial | None = None
    low, high, rate = 0.0, HIGHEST_RATE, FIRST_RATE
    while max(low * step, LOWEST_RATE) < rate < high / step:
        trial = offer(rate)
        if not trial.passed:
            trial = offer(rate)
        if trial.passed:
            best, low = trial, rate
        else:
            high = rate
        rate = min(low * GROWTH, (low * high) ** 0.5) if low else high / 4
    if best is None:
        raise CommandFailed(f"loses packets at {high:.0f} a second")
    return best


def _sent(sender: Child, meter: Meter) -> tuple[int, float]:
    try:
        while not sender.has_exited():
            time.sleep(POLL_INTERVAL)
            meter.poll()
        meter.poll()
        packets, seconds = sender.result().split()
        return int(packets), float(seconds)
    finally:
        sender.end()


def _stop(counter: Child) -> None:
    time.sleep(DRAIN_TIME)
    counter.signal(signal.SIGTERM)
    _wait_until(counter.has_exited, counter, may_exit=True)


def _wait_until(condition: Callable[[], bool], child: Child, *, may_exit: bool = False) -> None:
    give_up_at = time.monotonic() + GRACE
    while not condition():
        if (child.has_exited() and not may_exit) or time.monotonic() > give_up_at:
            raise CommandFailed(f"packets: {child.output().strip()}")
        time.sleep(0.005)
