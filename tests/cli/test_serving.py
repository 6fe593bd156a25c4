"""The process behind an interface: what ends it, how cleanly, and what it must say aloud."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubespan.cli import serving
from kubespan.cli.wg import LogLevel
from tests.netns.lab import SOCKETS, eventually
from tests.netns.namespace import Namespace, unique_name
from tests.peers import need

LEAVING = 5.0


class Served:
    """One interface served in the foreground, in a namespace of its own."""

    def __init__(self, log: Path) -> None:
        self.namespace = Namespace("serve")
        self.name = unique_name("s")
        self.path = SOCKETS / f"{self.name}.sock"
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> subprocess.Popen[bytes]:
        program = (sys.executable, "-m", "kubespan.cli.wg", "-f", self.name)
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **variables}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ("ip", "netns", "exec", self.namespace.name, *program),
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually("the socket", self.path.exists, 20.0)
        return self.process

    def interfaces(self) -> str:
        return self.namespace.ip("-o", "link", "show")

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(LEAVING)
        self.path.unlink(missing_ok=True)
        self.namespace.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    need("ip")
    one = Served(tmp_path / "log")
    yield one
    one.close()


ENDS: dict[str, Callable[[Served, int], object]] = {
    "asked to terminate": lambda _, pid: os.kill(pid, signal.SIGTERM),
    "interrupted": lambda _, pid: os.kill(pid, signal.SIGINT),
    "its socket file removed": lambda served, _: served.path.unlink(),
    "its interface deleted": lambda served, _: served.namespace.ip("link", "delete", served.name),
}


@pytest.mark.netns
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_it_ends_well_and_leaves_nothing(
    served: Served, end: Callable[[Served, int], object]
) -> None:
    process = served.start()
    assert served.name in served.interfaces()
    end(served, process.pid)
    assert process.wait(LEAVING) == 0
    assert not served.path.exists()
    assert served.name not in served.interfaces()
    assert served.log.read_text() == ""


@pytest.mark.netns
def test_a_socket_file_of_somebody_else_is_left_to_them(served: Served) -> None:
    process = served.start()
    served.path.unlink()
    served.path.write_text("a successor's")
    assert process.wait(LEAVING) == 0
    assert served.path.read_text() == "a successor's"


@pytest.mark.netns
def test_a_key_log_is_warned_of_at_the_usual_level(served: Served, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    process = served.start(KUBESPAN_KEYLOG=str(keys), LOG_LEVEL="error")
    eventually("the warning", lambda: str(keys) in served.log.read_text())
    process.terminate()
    assert process.wait(LEAVING) == 0
    assert served.log.read_text().startswith(f"CRITICAL: ({served.name}) ")
    assert keys.exists()


STAMP = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d"


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        ("verbose", ["DEBUG", "ERROR", "CRITICAL"]),
        ("error", ["ERROR", "CRITICAL"]),
        ("silent", []),
    ],
)
def test_a_log_line_has_level_interface_and_time(
    monkeypatch: pytest.MonkeyPatch, level: str, levels: list[str]
) -> None:
    log, written = logging.getLogger("kubespan"), io.StringIO()
    former = log.level
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(log, "handlers", [])
    assert serving.create_log("wg7", serving.LEVELS[level]) is log
    log.debug("said")
    log.error("said")
    log.critical("said")
    log.setLevel(former)
    lines = written.getvalue().splitlines()
    found = [re.fullmatch(rf"([A-Z]+): \(wg7\) {STAMP} said", line) for line in lines]
    assert [one and one[1] for one in found] == levels


def test_every_level_of_the_command_is_known() -> None:
    assert set(serving.LEVELS) == {level.value for level in LogLevel}
