"""The state directory: one server, private, and nothing in it is ever lost."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubespan.discovery.server.statefile import FILE_NAME, StateFile
from kubespan.model.errors import ConfigError, SystemFault


@pytest.fixture
def file(tmp_path: Path) -> Iterator[StateFile]:
    claimed = StateFile(tmp_path / "deep" / "state")
    yield claimed
    claimed.release()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_for_the_owner_only(file: StateFile) -> None:
    assert file.create()
    assert (mode(file.path.parent), mode(file.path)) == (0o700, 0o600)
    assert file.path.name == FILE_NAME
    assert file.path.read_bytes() == b""


def test_what_is_there_is_left_alone(file: StateFile) -> None:
    file.path.write_bytes(b"old")
    assert not file.create()
    assert file.path.read_bytes() == b"old"


def test_a_log_without_its_file_is_not_nothing(file: StateFile) -> None:
    file.path.with_name(f"{FILE_NAME}-wal").write_bytes(b"log")
    assert not file.create()


def test_one_server_at_a_time(file: StateFile) -> None:
    with pytest.raises(ConfigError, match=f"{file.path} is in use by another server"):
        StateFile(file.path.parent)


def test_free_again_after_release(tmp_path: Path) -> None:
    for _ in range(2):
        StateFile(tmp_path).release()


def test_set_aside_takes_everything_along_and_overwrites_nothing(file: StateFile) -> None:
    taken = file.path.with_name(f"{FILE_NAME}.set-aside-1-wal")
    taken.write_bytes(b"earlier")
    file.path.write_bytes(b"file")
    file.path.with_name(f"{FILE_NAME}-wal").write_bytes(b"log")
    aside = file.set_aside()
    assert aside.name == f"{FILE_NAME}.set-aside-2"
    found = {path.name: path.read_bytes() for path in file.path.parent.iterdir()}
    assert found == {taken.name: b"earlier", aside.name: b"file", f"{aside.name}-wal": b"log"}


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFault, match="open the state directory"):
        StateFile(tmp_path / "file" / "below")


def test_a_file_that_cannot_be(file: StateFile) -> None:
    file.path.mkdir()
    with pytest.raises(SystemFault, match=f"open {file.path}: Is a directory"):
        file.create()


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = open_descriptors()
    claimed = StateFile(tmp_path)
    with pytest.raises(ConfigError):
        StateFile(tmp_path)
    claimed.create()
    claimed.release()
    assert open_descriptors() == before


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is no directory; name one"):
        StateFile(tmp_path / "file")
