"""The state directory: private, and a file in it is whole or not there, and never overwritten."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from errno import EACCES, EIO, ENOSPC, EROFS
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kubespan.model.errors import ConfigError, SystemFault
from kubespan.state.directory import LARGEST_FILE, StateDirectory

NAME = "some.yaml"


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory.open(tmp_path / "state")


def names(directory: StateDirectory) -> list[str]:
    return sorted(path.name for path in directory.path.iterdir())


def put(directory: StateDirectory, content: bytes, mode: int = 0o600) -> Path:
    path = directory.path / NAME
    path.write_bytes(content)
    path.chmod(mode)
    return path


def failing(errno: int) -> Callable[..., NoReturn]:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno, os.strerror(errno))

    return fail


# ------------------------------------------------------------------------------ the directory


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_made_private(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = StateDirectory.open(tmp_path / "state").path
        StateDirectory(path).create(NAME, "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / NAME).stat().st_mode) == 0o600


def test_one_that_is_there_is_used(directory: StateDirectory) -> None:
    directory.create(NAME, "text")
    directory.path.chmod(0o755)
    assert StateDirectory.open(directory.path).read(NAME) == "text"


def test_without_its_parent_it_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make the directory that it is to be in"):
        StateDirectory.open(tmp_path / "missing" / "state")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "state"])
def test_a_file_is_no_directory(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"no directory.* name another state directory"):
        StateDirectory.open(tmp_path / "file" / below)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_others_may_not_write_into_it(directory: StateDirectory, mode: int) -> None:
    directory.path.chmod(mode)
    with pytest.raises(ConfigError, match=f"`chmod 700 {directory.path}`"):
        StateDirectory.open(directory.path)


def test_it_is_not_somebody_elses(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = directory.path.stat()
    other = os.stat_result((*found[:4], 4242, *found[5:]))
    monkeypatch.setattr(Path, "stat", lambda *_, **__: other)
    with pytest.raises(ConfigError, match="belongs to somebody else, user 4242"):
        StateDirectory.open(directory.path)


@pytest.mark.parametrize(("errno", "advice"), [(EACCES, "run as root"), (EROFS, "be writable")])
def test_where_nothing_may_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errno: int, advice: str
) -> None:
    monkeypatch.setattr(Path, "mkdir", failing(errno))
    with pytest.raises(ConfigError, match=rf"make .*/state: .*{advice}"):
        StateDirectory.open(tmp_path / "state")


def test_a_broken_disk_is_the_systems_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(EIO))
    with pytest.raises(SystemFault, match="make") as caught:
        StateDirectory.open(tmp_path / "state")
    assert caught.value.errno == EIO


# ------------------------------------------------------------------------------------ writing


def test_what_is_created_is_read(directory: StateDirectory) -> None:
    assert directory.read(NAME) is None
    directory.create(NAME, "grüße\n")
    assert directory.read(NAME) == "grüße\n"
    assert names(directory) == [NAME]


def test_what_is_there_is_never_overwritten(directory: StateDirectory) -> None:
    directory.create(NAME, "first")
    before = (directory.path / NAME).stat()
    directory.create(NAME, "second")
    after = (directory.path / NAME).stat()
    assert directory.read(NAME) == "first"
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert names(directory) == [NAME]


@pytest.mark.parametrize("operation", ["fchmod", "fsync", "link"])
@pytest.mark.parametrize("errno", [EIO, ENOSPC])
def test_what_fails_leaves_nothing(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch, operation: str, errno: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, failing(errno))
        with pytest.raises(SystemFault, match=f"write .*/{NAME}: {os.strerror(errno)}"):
            directory.create(NAME, "text")
    assert names(directory) == []


def test_a_directory_that_is_gone_can_be_made_again(directory: StateDirectory) -> None:
    directory.path.rmdir()
    with pytest.raises(ConfigError, match="make the directory"):
        directory.create(NAME, "text")


def test_all_of_it_is_on_the_disk_before_it_has_its_name(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def noting_fsync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("directory" if is_directory else f"{os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def noting_link(source: str, target: Path) -> None:
        steps.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "link", noting_link)
    directory.create(NAME, "text")
    assert steps == ["4 bytes", "link", "directory"]


# ------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o4610])
def test_a_file_that_is_open_to_others(directory: StateDirectory, mode: int) -> None:
    path = put(directory, b"text", mode)
    with pytest.raises(ConfigError, match=rf"\(mode {mode:04o}\).* `chmod 600 {path}`"):
        directory.read(NAME)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_that_is_not(directory: StateDirectory, mode: int) -> None:
    put(directory, b"text", mode)
    assert directory.read(NAME) == "text"


def test_a_file_of_somebody_else(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(directory, b"text")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(ConfigError, match=f"user {owner}; .* `chown 4242 {path}`"):
        directory.read(NAME)


def _make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to(__file__),
        lambda path: path.symlink_to("nothing"),
        lambda path: path.mkdir(0o700),
        lambda path: os.mkfifo(path, 0o600),
        _make_socket,
    ],
    ids=["link", "dangling link", "directory", "pipe", "socket"],
)
def test_what_is_no_regular_file(directory: StateDirectory, make: Callable[[Path], object]) -> None:
    make(directory.path / NAME)
    before = (directory.path / NAME).lstat()
    with pytest.raises(ConfigError, match=f"{NAME} is not a regular file"):
        directory.read(NAME)
    directory.create(NAME, "text")
    assert (directory.path / NAME).lstat().st_ino == before.st_ino


def test_what_is_no_text(directory: StateDirectory) -> None:
    put(directory, b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        directory.read(NAME)


def test_what_is_too_large(directory: StateDirectory) -> None:
    put(directory, b"x" * LARGEST_FILE)
    assert directory.read(NAME) == "x" * LARGEST_FILE
    put(directory, b"x" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigError, match="is larger than"):
        directory.read(NAME)


@pytest.mark.parametrize("operation", ["open", "read"])
def test_what_cannot_be_read(
    directory: StateDirectory, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    put(directory, b"text")
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, failing(EIO))
        with pytest.raises(SystemFault, match=f"{operation} .*/{NAME}") as caught:
            directory.read(NAME)
    assert caught.value.errno == EIO
