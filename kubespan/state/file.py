"""Files that are replaced as a whole: whoever reads one finds the old content or the new.

Knows nothing of what is in them. A crash leaves at most one unfinished file beside it, which the
next replacement overwrites. man 2 rename, fsync.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from errno import EINVAL
from pathlib import Path
from typing import Final

from kubespan.model.errors import SystemFault

FILE_MODE: Final = 0o600


def replace_file(path: Path, content: bytes) -> None:
    """Give a file this content, mode 0600; it is on the disk when this returns.

    Raises SystemFault; then the file is as it was.
    """
    unfinished = path.with_name(f".{path.name}.new")
    try:
        _write(unfinished, content)
        unfinished.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise SystemFault(f"write {path}", error.errno or 0) from error


def read_file(path: Path, most: int) -> bytes | None:
    """Return the content of a regular file, or None if there is none.

    At most one byte more than `most` is read, so that who asked can see that it is too large.
    Raises SystemFault. No link is followed, and a pipe does not make us wait.
    """
    try:
        return _read(path, most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SystemFault(f"read {path}", error.errno or 0) from error


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, most: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(EINVAL, "not a regular file")
        return file.read(most)


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, FILE_MODE), "wb") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
