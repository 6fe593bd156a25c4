"""The clocks: that each of the two is the one it should be."""

from __future__ import annotations

import time

import pytest

from kubespan.device.clock import Clock


def test_both_clocks_are_read() -> None:
    boot, wall = time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns()
    now = Clock().now()
    assert boot <= now.boot <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert wall <= now.wall_ns <= time.time_ns()


def test_time_asleep_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def clock_gettime(clock: int) -> float:
        asked.append(clock)
        return 7.5

    monkeypatch.setattr(time, "clock_gettime", clock_gettime)
    assert Clock().now().boot == 7.5
    assert asked == [time.CLOCK_BOOTTIME]
