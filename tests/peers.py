"""The programs that play WireGuard in the tests, and the tools that the tests lean on.

A `Program` is anything that keeps wireguard-go's contract: `PROGRAM INTERFACE` makes the interface
and its control socket, goes into the background and returns. Nothing here starts one; that is the
laboratory's work.

Two variables steer it. `KUBESPAN_TEST_PROGRAM` is the path of another program to put under test;
`KUBESPAN_NO_SKIP=1` (or `CI`) turns the skip for a missing tool into a failure.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bench.compare.implementations import Missing, newest_wireguard_go

BUILD_TIMEOUT = 600.0
REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Program:
    """One implementation of WireGuard, callable as `path INTERFACE`."""

    name: str
    path: Path


def may_skip() -> bool:
    """Whether a test may be left out because this machine lacks something."""
    return not (os.environ.get("KUBESPAN_NO_SKIP") or os.environ.get("CI"))


def need(*tools: str) -> None:
    """Every one of the tools is there; otherwise the test is skipped, or fails, by their names."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        leave_out(f"needs {', '.join(missing)} on the path")


def leave_out(why: str) -> None:
    """Skip the running test, or fail it where nothing may be skipped."""
    if may_skip():
        pytest.skip(why)
    pytest.fail(f"{why}, and nothing may be skipped here", pytrace=False)


def program_under_test() -> Program:
    """Ours, unless `KUBESPAN_TEST_PROGRAM` names another one."""
    other = os.environ.get("KUBESPAN_TEST_PROGRAM")
    if other:
        return Program(Path(other).name, Path(other).resolve())
    return kubespan_wg()


@cache
def kubespan_wg() -> Program:
    """Ours as a program of one file, so that wg-quick can call it too."""
    directory = Path(tempfile.mkdtemp(prefix="kubespan-wg-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    shim = directory / "kubespan-wg"
    shim.write_text(
        "#!/bin/sh\n"
        f'PYTHONPATH="{REPOSITORY}${{PYTHONPATH:+:$PYTHONPATH}}" '
        f'exec "{sys.executable}" -m kubespan.cli.wg "$@"\n'
    )
    shim.chmod(0o755)
    return Program("kubespan-wg", shim)


def wireguard_go() -> Program:
    """The newest wireguard-go that can be had, else the distribution's, else the test ends."""
    try:
        return Program("wireguard-go", newest_wireguard_go()[0])
    except Missing as missing:
        print(f"no newest wireguard-go: {missing}", file=sys.stderr)  # noqa: T201
    need("wireguard-go")
    return Program("wireguard-go", Path(str(shutil.which("wireguard-go"))))
