"""The meter: whose CPU time is whose."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.compare.cpu import Meter
from bench.compare.processes import Child

BURNED = 0.1
BURN = f"import time\nwhile time.process_time() < {BURNED}: pass\n"


@contextmanager
def burner() -> Iterator[Child]:
    child = Child([sys.executable, "-c", BURN])
    yield child
    child.end()


def finish(child: Child, meter: Meter) -> None:
    while not child.has_exited():
        time.sleep(0.01)
    meter.poll()


def test_watched_process_is_measured() -> None:
    meter = Meter()
    with burner() as child:
        meter.watch(child.pid)
        finish(child, meter)
        assert meter.usage().measured >= BURNED


def test_unwatched_process_is_a_stranger() -> None:
    meter = Meter()
    with burner() as child:
        finish(child, meter)
        usage = meter.usage()
    assert usage.foreign >= BURNED
    assert usage.foreign_share > 0


def test_time_of_an_ended_process_counts_after_it_is_reaped() -> None:
    meter = Meter()
    with burner() as child:
        meter.watch(child.pid)
        finish(child, meter)
        child.result()
        assert meter.usage().measured >= BURNED
