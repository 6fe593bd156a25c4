"""The log of a node in the background: a file, and the one that was before it.

It takes the standard streams, so that what a crash writes is in it as well. That is why no handler
of `logging` keeps it small: such a one turns only what goes through it. man 2 open, dup2.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import suppress
from errno import EISDIR, ELOOP, ENXIO
from pathlib import Path
from typing import Final

from kubespan.model.errors import ConfigError, KubespanError, SystemFault

MODE: Final = 0o600
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of the file. When it is larger it becomes the older one, and the former older one is gone."""

LOOK_AFTER: Final = 10.0
"""Seconds between two looks at its size."""

NO_FILE: Final = frozenset({EISDIR, ELOOP, ENXIO})
"""What a directory, a link and a pipe are refused with."""

INPUT, OUTPUT, ERRORS = 0, 1, 2


class LogFile:
    """A log at a path, and the older one at that path with `.1`."""

    def __init__(self, path: Path) -> None:
        """Open it to be appended to. Raises SystemFault; ConfigError if it is no file of ours."""
        self._path = path
        self._older = path.with_name(f"{path.name}.1")
        self._file = _open(path)
        self._streams: tuple[int, ...] = ()
        self.make_room()

    def close(self) -> None:
        """Close it; the standard streams stay as they are."""
        os.close(self._file)

    def take_over(self) -> None:
        """Let what is written to the standard streams be in it, and nothing be read."""
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(nothing, INPUT)
        os.close(nothing)
        self._streams = (OUTPUT, ERRORS)
        self._lead_streams()

    def keep_small(self) -> None:
        """Look at its size now and again, for as long as the running event loop does."""
        self.make_room()
        asyncio.get_running_loop().call_later(LOOK_AFTER, self.keep_small)

    def make_room(self) -> None:
        """Begin anew if it is too large; where that cannot be, it grows on."""
        if os.fstat(self._file).st_size <= MOST_BYTES:
            return
        with suppress(OSError, KubespanError):
            # Whoever took it away has made room in the directory, but not in the file that is open.
            with suppress(FileNotFoundError):
                self._path.replace(self._older)
            former, self._file = self._file, _open(self._path)
            os.close(former)
            self._lead_streams()

    def _lead_streams(self) -> None:
        for stream in self._streams:
            os.dup2(self._file, stream)


def _open(path: Path) -> int:
    # No link is followed, and no pipe waited for.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, MODE)
    except OSError as error:
        if error.errno in NO_FILE:
            raise _not_ours(path) from error
        raise SystemFault(f"write the log {path}", error.errno or 0) from error
    if not _is_ours(os.fstat(descriptor)):
        os.close(descriptor)
        raise _not_ours(path)
    os.fchmod(descriptor, MODE)
    return descriptor


def _is_ours(found: os.stat_result) -> bool:
    """Tell whether it is a regular file of our own, under no other name."""
    is_regular = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    return is_regular and found.st_uid == os.geteuid()


def _not_ours(path: Path) -> ConfigError:
    return ConfigError(f"{path} is no regular file of ours, so it cannot be the log; move it away")
