"""`python -m bench.scale`: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench.compare import machine
from bench.compare.cpu import wait_until_idle
from bench.compare.implementations import IMPLEMENTATIONS, Missing
from bench.compare.processes import CommandFailed
from bench.compare.uapi import Refused
from bench.scale import configuration, flood, greedy, handshakes, idle, lanes, many, memory
from bench.scale.figure import Figure, table

IDLE_SHARE = 0.04
PATIENCE = 30.0
SHORT_PATIENCE = 1.0

Part = Callable[[], list[Figure]]


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0, or 1 if something is not as it has to be or could not be measured."""
    wanted = _parse(arguments)
    if os.geteuid() != 0:
        print("network namespaces and TUN devices need root", file=sys.stderr)
        return 1
    figures, failures = [], []
    for name, measure in _parts(wanted).items():
        if name not in wanted.parts:
            continue
        wait_until_idle(IDLE_SHARE, SHORT_PATIENCE if wanted.quick else PATIENCE)
        try:
            figures += measure()
        except (CommandFailed, Missing, Refused, OSError) as error:
            failures.append(f"{name}: {error}")
        print(f"{name} is measured", file=sys.stderr)
    print("\n".join([table(figures), "", *failures]))
    _write(wanted.out, arguments, figures, failures)
    return 1 if failures or any(figure.holds is False for figure in figures) else 0


def _parts(wanted: argparse.Namespace) -> dict[str, Part]:
    seconds = wanted.seconds or (1.0 if wanted.quick else 4.0)
    count = 1000 if wanted.quick else 10_000
    rate, packets = wanted.flood_rate, wanted.packet_rate
    return {
        "memory": partial(memory.measure, (1000, count)),
        "configuration": partial(configuration.measure, count),
        "handshakes": partial(handshakes.measure, 1000),
        "callers": partial(flood.measure_callers, 1000, rate, 5 * seconds),
        "idle": partial(idle.measure, 1000, 4 if wanted.quick else 12),
        "flood": partial(flood.measure, rate, packets, seconds),
        "greedy": partial(greedy.measure, wanted.impl, packets, seconds),
        "lanes": partial(lanes.measure, seconds),
        "many": partial(many.measure, wanted.impl, wanted.peers, seconds / 2),
    }


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parts = "memory,configuration,handshakes,callers,idle,flood,greedy,lanes,many"
    parser.add_argument("--parts", default=parts, type=lambda text: text.split(","), help=parts)
    parser.add_argument("--quick", action="store_true", help="shorter runs: to see that it works")
    parser.add_argument("--seconds", type=float, default=0.0, help="of one flood")
    parser.add_argument("--peers", type=int, default=100, help="that carry traffic at once")
    parser.add_argument(
        "--impl", default="kubespan", help="whose daemon `greedy` and `many` are about"
    )
    parser.add_argument("--flood-rate", type=float, default=100_000, help="messages a second")
    parser.add_argument("--packet-rate", type=float, default=10_000, help="beside the flood")
    parser.add_argument("--out", type=Path, default=Path("bench/results/scale.json"))
    wanted = parser.parse_args(arguments)
    if unknown := set(wanted.parts) - set(parts.split(",")):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if wanted.impl.partition("@")[0] not in IMPLEMENTATIONS:
        parser.error(f"unknown implementation: {wanted.impl}")
    return wanted


def _write(
    out: Path, arguments: Sequence[str], figures: Sequence[Figure], failures: Sequence[str]
) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "command": shlex.join(["python", "-m", "bench.scale", *arguments]),
        "machine": machine.facts(),
        "figures": [{**asdict(figure), "holds": figure.holds} for figure in figures],
        "failures": list(failures),
    }
    out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
