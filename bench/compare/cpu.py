"""Who used the CPU: nanosecond clocks of whole processes, ours and foreign.

A process's CPU clock is the sum of the scheduler's run time (what /proc/PID/task/*/schedstat
prints) over all its threads, ended ones included. /proc/stat counts ticks and is up to 12 % off,
so it is not used. Softirq work done on the way out of an interrupt is charged to whoever was
interrupted, or to nobody on an idle CPU: no implementation is favoured by that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CPUCLOCK_SCHED = 2
KTHREADD = 2


@dataclass(frozen=True, slots=True)
class Usage:
    """What one measured stretch cost, in seconds."""

    measured: float
    foreign: float
    elapsed: float

    @property
    def foreign_share(self) -> float:
        """The part of the machine that strangers used: 0 to 1."""
        return self.foreign / (self.elapsed * (os.cpu_count() or 1))


class Meter:
    """Adds up CPU time between two moments, ours and strangers'.

    Ours are the given processes with their children, and ksoftirqd. The harness itself and
    other kernel threads count on neither side. `poll` several times a second: what a process
    did since the last poll before it ended is not seen.
    """

    def __init__(self, measured: Iterable[int] = ()) -> None:
        self._ours = {pid for given in measured for pid in _family(given)} | _ksoftirqd()
        self._first = _clocks()
        self._last = dict(self._first)
        self._started_at = time.monotonic()

    def watch(self, pid: int) -> None:
        """The process counts as ours from its birth: a load generator started just now."""
        self._ours.add(pid)
        self._first[pid] = 0.0

    def poll(self) -> None:
        """Every clock on the machine is read once more."""
        self._last.update(_clocks())

    def usage(self) -> Usage:
        """The cost since the meter was made."""
        self.poll()
        elapsed = time.monotonic() - self._started_at
        neither = _kernel_threads() | {os.getpid()}
        foreign = self._last.keys() - self._ours - neither
        return Usage(self._sum(self._ours), self._sum(foreign), elapsed)

    def _sum(self, pids: Iterable[int]) -> float:
        return sum(max(0.0, self._last.get(p, 0.0) - self._first.get(p, 0.0)) for p in pids)


def clock(pid: int) -> float:
    """Seconds of CPU that a process has used, all its threads together and nobody else."""
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def wait_until_idle(share: float, patience: float) -> None:
    """Strangers use less than `share` of the machine, or `patience` seconds are over."""
    give_up_at = time.monotonic() + patience
    while time.monotonic() < give_up_at:
        meter = Meter()
        time.sleep(0.2)
        if meter.usage().foreign_share < share:
            return


def _clocks() -> dict[int, float]:
    clocks = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 -- many times a second
        if name.isdecimal():
            try:
                clocks[int(name)] = clock(int(name))
            except OSError:
                continue
    return clocks


def _family(pid: int) -> set[int]:
    return {pid}.union(*(_family(child) for child in _children(pid)))


def _children(pid: int) -> set[int]:
    found: set[int] = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.update(int(child) for child in path.read_text().split())
        except OSError:
            continue
    return found


def _kernel_threads() -> set[int]:
    return _children(KTHREADD) | {KTHREADD} if _comm(KTHREADD) == "kthreadd" else set()


def _ksoftirqd() -> set[int]:
    return {pid for pid in _kernel_threads() if _comm(pid).startswith("ksoftirqd/")}


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
