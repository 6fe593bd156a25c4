"""Nodes and commands as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kubespan

HOME: Path = Path(kubespan.__file__).parent.parent
"""Where a child finds our copy of the package."""

PATIENCE = 60.0
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: what it printed, and the seconds it took."""

    output: str
    wall: float
    cpu: float


@contextmanager
def running(path: Path, peers: int, *group: str) -> Iterator[subprocess.Popen[str]]:
    """Serve a node with so many peers until the block ends, or the process's input."""
    with subprocess.Popen(
        (sys.executable, "-m", "tests.api.nodes", str(path), str(peers), *group),
        cwd=HOME,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def fastest(socket: Path, command: Sequence[str]) -> Run:
    """Run a command some times, and return the run that took the least time."""
    return min((_run(socket, command) for _ in range(ROUNDS)), key=lambda run: run.wall)


def _run(socket: Path, command: Sequence[str]) -> Run:
    before, begun = os.times(), time.monotonic()
    done = subprocess.run(
        (sys.executable, "-m", "kubespan.cli.main", *command),
        cwd=HOME,
        env={**os.environ, "KUBESPAN_SOCKET": str(socket)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    wall, after = time.monotonic() - begun, os.times()
    cpu = after.children_user + after.children_system
    return Run(done.stdout, wall, cpu - before.children_user - before.children_system)
