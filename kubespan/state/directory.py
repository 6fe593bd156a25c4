"""The directory of what outlives the process: private, and each file in it whole or not there.

A file here is made once and never overwritten. It gets its name only when all of it is on the
disk, so a crash leaves the whole of it or nothing; at worst there is one more file beside it, with
a name that nobody reads. man 2 link, fsync.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EACCES, ELOOP, ENOENT, ENOTDIR, ENXIO, EPERM, EROFS
from pathlib import Path
from typing import Final

from kubespan.model.errors import ConfigError, SystemFault
from kubespan.state.file import FILE_MODE, sync_directory

DIRECTORY_MODE: Final = 0o700
OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

LARGEST_FILE: Final = 1024
"""Bytes; what is kept here is a few hundred, and a few thousand can keep a YAML parser busy."""

ANOTHER = "name another state directory"
ADVICE: Final = {
    ENOENT: f"make the directory that it is to be in, or {ANOTHER}",
    ENOTDIR: f"a part of its path is no directory: {ANOTHER}",
    EACCES: f"run as root, or {ANOTHER}",
    EPERM: f"run as root, or {ANOTHER}",
    EROFS: f"it must be writable: {ANOTHER}",
}


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """A directory that was found fit to hold secrets. Several processes may share it."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> StateDirectory:
        """Make the directory, mode 0700, if it is not there; its parent must be.

        Raises ConfigError if it cannot be, or if others may change what is in it; SystemFault if
        the disk fails.
        """
        with _blamed("make", path):
            with suppress(FileExistsError):
                path.mkdir(DIRECTORY_MODE)
                sync_directory(path.parent)
            _check_directory(path, path.stat())
        return cls(path)

    def read(self, name: str) -> str | None:
        """Return the text of a file, None if there is no such file.

        Raises ConfigError if it is not a private file of our own, or no text; SystemFault if it
        cannot be read.
        """
        path = self.path / name
        try:
            # No link is followed, and a pipe does not make us wait.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (ELOOP, ENXIO):
                raise _not_a_file(path) from None
            raise SystemFault(f"open {path}", error.errno or 0) from error
        try:
            _check_file(path, os.fstat(descriptor))
            return _text(path, os.read(descriptor, LARGEST_FILE + 1))
        except OSError as error:
            raise SystemFault(f"read {path}", error.errno or 0) from error
        finally:
            os.close(descriptor)

    def create(self, name: str, text: str) -> None:
        """Make a file, mode 0600, on the disk when this returns; one that is there stays as it is.

        Whoever calls this reads the file afterwards, because another process may have been first.
        Raises ConfigError or SystemFault; then there is no file of that name.
        """
        path = self.path / name
        with _blamed("write", path):
            descriptor, other_name = tempfile.mkstemp(prefix=f".{name}.", dir=self.path)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    os.fchmod(descriptor, FILE_MODE)
                    file.write(text)
                    file.flush()
                    os.fsync(descriptor)
                # Unlike a rename this never replaces what is there.
                with suppress(FileExistsError):
                    os.link(other_name, path)
            finally:
                os.unlink(other_name)  # noqa: PTH108  a name, as mkstemp returned it
            sync_directory(self.path)


def _check_directory(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{path} is no directory; {ANOTHER}, or move it away")
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"the state directory {path} belongs to somebody else, user {found.st_uid}, who could"
            f" replace what is in it; run `chown {os.geteuid()} {path}`, or {ANOTHER}"
        )
    if found.st_mode & WRITABLE_BY_OTHERS:
        raise ConfigError(
            f"others may write into the state directory {path}, and so replace what is in it;"
            f" run `chmod 700 {path}`"
        )


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _not_a_file(path)
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} belongs to somebody else, user {found.st_uid}; if it is to be trusted, run"
            f" `chown {os.geteuid()} {path}`"
        )
    if found.st_mode & OF_OTHERS:
        raise ConfigError(
            f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}), and may hold a"
            f" secret; run `chmod 600 {path}`, and move it away if somebody may have read it"
        )


def _text(path: Path, content: bytes) -> str:
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{path} is larger than anything kept here; move it away")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text; restore it from a copy, or move it away") from None


def _not_a_file(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a regular file; put a copy of the file itself there")


@contextmanager
def _blamed(operation: str, path: Path) -> Iterator[None]:
    """Turn the system's refusal into the operator's error where he can do something about it."""
    try:
        yield
    except OSError as error:
        fault = SystemFault(f"{operation} {path}", error.errno or 0)
        advice = ADVICE.get(fault.errno)
        if advice is None:
            raise fault from error
        raise ConfigError(f"{fault}; {advice}") from error
