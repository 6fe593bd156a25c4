"""Files replaced as a whole: mode, what a failure leaves behind, and what is never read."""

from __future__ import annotations

import os
import stat
from errno import EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR
from pathlib import Path

import pytest

from kubespan.model.errors import SystemFault
from kubespan.state.file import read_file, replace_file


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"first", b"", b"second"):
        replace_file(path, content)
        assert read_file(path, 6) == content
    assert names(tmp_path) == ["x"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch(0o644)
    (tmp_path / ".x.new").touch(0o666)
    replace_file(path, b"secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_crash_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".x.new").write_bytes(b"much longer than what follows")
    replace_file(tmp_path / "x", b"short")
    assert (tmp_path / "x").read_bytes() == b"short"
    assert names(tmp_path) == ["x"]


def test_the_new_content_is_on_the_disk_before_it_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    replace_file(path, b"old")
    seen = []

    def note(descriptor: int) -> None:
        seen.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.read_bytes()))

    monkeypatch.setattr(os, "fsync", note)
    replace_file(path, b"new")
    assert seen == [(False, b"old"), (True, b"new")]


def test_a_failure_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    replace_file(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(EINVAL, os.strerror(EINVAL))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SystemFault) as caught:
        replace_file(path, b"new")
    assert caught.value.errno == EINVAL
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_no_directory_no_file(tmp_path: Path) -> None:
    with pytest.raises(SystemFault) as caught:
        replace_file(tmp_path / "none" / "x", b"")
    assert caught.value.errno == ENOENT
    assert str(tmp_path) in str(caught.value)


def test_no_link_is_written_through(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"other")
    (tmp_path / ".x.new").symlink_to(other)
    with pytest.raises(SystemFault) as caught:
        replace_file(tmp_path / "x", b"new")
    assert caught.value.errno == ELOOP
    assert other.read_bytes() == b"other"
    replace_file(tmp_path / "x", b"new")
    assert names(tmp_path) == ["other", "x"]


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_file(tmp_path / "x", 1) is None


def test_reading_stops_one_byte_beyond_the_most(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    assert [read_file(path, most) for most in (3, 4, 5)] == [b"1234", b"12345", b"12345"]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"x")
    found = {}
    for name in ("pipe", "link", ".", "x/y"):
        with pytest.raises(SystemFault) as caught:
            read_file(tmp_path / name, 1)
        found[name] = caught.value.errno
    assert found == {"pipe": EINVAL, "link": ELOOP, ".": EISDIR, "x/y": ENOTDIR}
