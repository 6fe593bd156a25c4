"""The log file: what it refuses to be, and that it and the one before it stay small."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path

import pytest

from kubespan.daemon import logfile as module
from kubespan.daemon.logfile import LogFile
from kubespan.model.errors import ConfigError, SystemFault

MOST = 1000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", MOST)
    monkeypatch.setattr(module, "LOOK_AFTER", 0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kubespan.log"


def in_child(work: Callable[[], object]) -> int:
    """Do it in a process of its own, whose standard streams it may take; return its status."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_it_is_its_owner_s_alone_and_goes_on_where_it_ended(path: Path) -> None:
    path.write_text("before\n")
    path.chmod(0o644)

    def work() -> None:
        LogFile(path).take_over()
        os.write(1, b"out\n")
        os.write(2, b"err\n")

    assert in_child(work) == 0
    assert path.read_text() == "before\nout\nerr\n"
    assert path.stat().st_mode & 0o777 == 0o600


def link(path: Path) -> None:
    path.with_name("target").touch()
    path.symlink_to("target")


def second_name(path: Path) -> None:
    path.with_name("target").touch()
    path.hardlink_to(path.with_name("target"))


def foreign(path: Path) -> None:
    path.touch()
    os.chown(path, 12345, 12345)


@pytest.mark.parametrize("make", [link, second_name, os.mkfifo, Path.mkdir, foreign])
def test_what_is_no_file_of_ours_is_refused(path: Path, make: Callable[[Path], object]) -> None:
    if make is foreign and os.geteuid():
        pytest.skip("only root can give a file away")
    make(path)
    before = sorted(one.name for one in path.parent.iterdir())
    with pytest.raises(ConfigError, match=r"kubespan\.log"):
        LogFile(path)
    assert sorted(one.name for one in path.parent.iterdir()) == before
    assert not any(one.is_file() and one.stat().st_size for one in path.parent.iterdir())


def test_what_is_large_at_the_start_makes_room(path: Path) -> None:
    older = path.with_suffix(".log.1")
    older.write_text("oldest")
    path.write_text("x" * (MOST + 1))
    LogFile(path).close()
    assert (path.read_text(), older.read_text()) == ("", "x" * (MOST + 1))
    LogFile(path).close()
    assert older.read_text() == "x" * (MOST + 1)


def test_it_stays_small_while_it_is_written_and_loses_nothing(path: Path) -> None:
    older = path.with_suffix(".log.1")

    async def write() -> None:
        log = LogFile(path)
        log.take_over()
        log.keep_small()
        for number in range(60):
            os.write(2, b"%98d\n" % number)
            await asyncio.sleep(0.01)

    assert in_child(lambda: asyncio.run(write())) == 0
    lines = [int(line) for line in (older.read_text() + path.read_text()).splitlines()]
    assert lines == list(range(lines[0], 60))
    assert len(lines) > 10
    assert path.stat().st_size <= 2 * MOST
    assert older.stat().st_size <= 2 * MOST


def test_where_there_is_no_room_it_goes_on(path: Path) -> None:
    path.with_suffix(".log.1").mkdir()

    async def write() -> None:
        log = LogFile(path)
        log.take_over()
        log.keep_small()
        for _ in range(3):
            os.write(2, b"x" * MOST)
            await asyncio.sleep(0.01)

    assert in_child(lambda: asyncio.run(write())) == 0
    assert path.stat().st_size == 3 * MOST


def test_what_somebody_took_away_is_made_anew(path: Path) -> None:
    log = LogFile(path)
    path.unlink()
    os.write(log._file, b"x" * (MOST + 1))
    log.make_room()
    os.write(log._file, b"more")
    log.close()
    assert path.read_text() == "more"
    assert not path.with_suffix(".log.1").exists()


def test_what_could_not_be_opened_once_is_opened_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LogFile(path)
    os.write(log._file, b"x" * (MOST + 1))

    def full(_: Path) -> int:
        raise SystemFault("write the log", ENOSPC)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_open", full)
        log.make_room()
    log.make_room()
    os.write(log._file, b"more")
    log.close()
    assert path.read_text() == "more"
    assert path.with_suffix(".log.1").stat().st_size == MOST + 1


def test_a_crash_is_seen_in_the_new_file_too(path: Path) -> None:
    program = f"""
import faulthandler, os
from pathlib import Path
from kubespan.daemon import logfile
logfile.MOST_BYTES = 10
faulthandler.enable()
log = logfile.LogFile(Path({str(path)!r}))
log.take_over()
os.write(2, b"x" * 20)
log.make_room()
os.abort()
"""
    subprocess.run((sys.executable, "-c", program), check=False)
    assert path.with_suffix(".log.1").read_text() == "x" * 20
    assert "Aborted" in path.read_text()
