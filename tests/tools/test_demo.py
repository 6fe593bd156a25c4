"""The demonstration as a user meets it: it works, it can be stopped, and it leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path

import pytest

from tests.peers import REPOSITORY, need, program_under_test

TIME_LIMIT = 120.0
GONE_LIMIT = 5.0

pytestmark = pytest.mark.netns


StartDemo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def mark() -> str:
    """Return a word that is in the environment of every process of one demonstration."""
    need("unshare", "setpriv", "ip", "wg", "ping", "iperf3", "nft")
    return f"KUBESPAN_TEST_MARK={uuid.uuid4()}"


@pytest.fixture
def start_demo(mark: str) -> Iterator[StartDemo]:
    """Start it as tools/demo does, ours on both sides."""
    program = str(program_under_test().path)
    command = ("unshare", "--mount", "--net", sys.executable, "-m", "tools.demo")
    name, value = mark.split("=")
    with ExitStack() as ends:

        def start(*options: str) -> subprocess.Popen[str]:
            demo = subprocess.Popen(
                (*command, "--seconds", "1", "--left", program, "--right", program, *options),
                cwd=REPOSITORY,
                env={**os.environ, name: value},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            ends.enter_context(demo)
            ends.callback(demo.kill)
            return demo

        yield start


def marked_processes(mark: str) -> list[str]:
    """Return the command lines of those that carry the mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def assert_all_gone(mark: str) -> None:
    """Nothing that carries the mark runs, after the moment that the kernel takes to end it."""
    deadline = time.monotonic() + GONE_LIMIT
    while (left := marked_processes(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def read_until(process: subprocess.Popen[str], beginning: str) -> str:
    """Return what it printed up to and with the line that begins so."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.strip().startswith(beginning):
            return said
    pytest.fail(f"ended before {beginning!r}: {said}")


def test_it_works_and_leaves_nothing(mark: str, start_demo: StartDemo) -> None:
    said, _ = (demo := start_demo()).communicate(timeout=TIME_LIMIT)
    assert demo.returncode == 0, said
    assert said.rstrip().endswith("All of it worked.")
    assert said.count("nothing is left behind") == 2  # once in each act
    assert_all_gone(mark)


@pytest.mark.parametrize(
    ("act", "moment"),
    [
        ("tunnel", "Two hosts"),
        ("tunnel", "started"),
        ("tunnel", "handshake"),
        ("tunnel", "ping, IPv6"),
        ("mesh", "Four hosts"),
        ("mesh", "service"),
        ("mesh", "north sees"),
        ("mesh", "TCP"),
        ("mesh", "home leaves"),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_can_be_stopped(
    mark: str, start_demo: StartDemo, act: str, moment: str, number: signal.Signals
) -> None:
    demo = start_demo("--act", act)
    said = read_until(demo, moment)
    demo.send_signal(number)
    rest, _ = demo.communicate(timeout=TIME_LIMIT)
    assert demo.returncode == 130, said + rest
    assert "nothing is left behind" in rest
    assert_all_gone(mark)


@pytest.mark.parametrize(("act", "moment"), [("tunnel", "handshake"), ("mesh", "a full mesh")])
def test_nothing_outlives_it_even_when_killed(
    mark: str, start_demo: StartDemo, act: str, moment: str
) -> None:
    demo = start_demo("--act", act)
    read_until(demo, moment)
    demo.kill()
    demo.communicate(timeout=TIME_LIMIT)
    assert_all_gone(mark)


def test_four_hosts_become_a_mesh(mark: str, start_demo: StartDemo) -> None:
    said, _ = (demo := start_demo("--act", "mesh")).communicate(timeout=TIME_LIMIT)
    assert demo.returncode == 0, said
    for viewer, other in permutations(("north", "east", "south", "home"), 2):
        assert re.search(rf"^  {viewer} sees +{other} +up at ", said, re.MULTILINE), said
    assert "home $ kubespan status" in said
    assert "0 packets in clear" in said
    assert "home leaves" in said
    assert "Two hosts" not in said
    assert_all_gone(mark)


def test_what_does_not_work_is_said(mark: str, start_demo: StartDemo, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo broken v1 && exit\necho why >&2; exit 1\n"
    )
    broken.chmod(0o755)
    demo = start_demo("--right", str(broken))
    said, _ = demo.communicate(timeout=TIME_LIMIT)
    assert demo.returncode == 1, said
    assert "broken v1 did not start on right" in said
    assert "why" in said
    assert_all_gone(mark)
