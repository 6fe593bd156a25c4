"""Throughput of one peer while many others are configured and silent, beside that without them.

Both tunnels stand at once and take turns, another one first every round, so that the ratio of a
round is of two runs that met the same machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.compare.implementations import contender
from bench.compare.lab import Lab, Link
from bench.compare.load import Load, Transfer, transfer
from bench.scale.figure import Figure

LEAST_PERCENT = 95.0
MODE = "seggro"
LOAD = Load(4, "forward", "cubic", 1)


def measure(count: int, rounds: int) -> list[Figure]:
    """Percent of the throughput, and of the CPU time of a byte, that is left with `count` peers."""
    ours = contender("kubespan")
    runs: list[tuple[Transfer, Transfer]] = []
    with (
        Lab(ours, Link(MODE, "ipv4", 1420)) as alone,
        Lab(ours, Link(MODE, "ipv4", 1420, count)) as crowded,
    ):
        for number in range(rounds):
            labs = (alone, crowded) if number % 2 else (crowded, alone)
            done = {lab: transfer(lab, LOAD) for lab in labs}
            runs.append((done[alone], done[crowded]))
    return figures(count, [(a.values(), b.values()) for a, b in runs])


def figures(
    count: int, rounds: Sequence[tuple[dict[str, float], dict[str, float]]]
) -> list[Figure]:
    """What rounds of one peer and of `count` say, as medians."""
    told = []
    for key, name, unit in (
        ("gbps", "throughput", "Gbit/s"),
        ("cpu_s_per_gb", "cost", "CPU seconds a GB"),
    ):
        is_asked = key == "gbps"
        ratio = statistics.median([100 * crowded[key] / alone[key] for alone, crowded in rounds])
        value = statistics.median([alone[key] for alone, _ in rounds])
        told.append(Figure("idle", f"{name} with one peer", value, unit))
        what = f"{name} with {count:,} peers to that with one"
        told.append(Figure("idle", what, ratio, "%", least=LEAST_PERCENT if is_asked else None))
    return told
