"""The place of the discovery server's state: one directory, one file, one server.

Never deletes or overwrites what it finds: a file that cannot be used is set aside by another name.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from kubespan.model.errors import ConfigError, SystemFault

FILE_NAME: Final = "discovery.sqlite3"
"""Name of the file in the state directory."""

_COMPANIONS: Final = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database, by the end of the name."""


class StateFile:
    """A state directory that this process alone uses, until `release` or its death."""

    def __init__(self, directory: Path) -> None:
        """Claim it, making it if need be. Raises ConfigError when it is in use, or SystemFault."""
        self.path = directory / FILE_NAME
        if directory.exists() and not directory.is_dir():
            raise ConfigError(f"{directory} is no directory; name one to keep the state in")
        with _faults(f"open the state directory {directory}"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            raise in_use(self.path) from None

    def create(self) -> bool:
        """The file exists; return whether there was nothing of it before. Raises SystemFault.

        If it had to be made it is for its owner only, and empty.
        """
        is_new = _is_free(self.path)
        with _faults(f"open {self.path}"):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            os.fsync(self._directory)
        return is_new

    def set_aside(self) -> Path:
        """Rename the file, and what belongs to it; return the new name. Raises SystemFault."""
        aside = next(filter(_is_free, map(self._aside, count(1))))
        with _faults(f"rename {self.path}"):
            # The file last: a log without its database would be played into the next one.
            for end in (*_COMPANIONS, ""):
                old = self.path.with_name(self.path.name + end)
                if old.exists():
                    old.rename(aside.with_name(aside.name + end))
            os.fsync(self._directory)
        return aside

    def release(self) -> None:
        """Others may claim it."""
        os.close(self._directory)

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{FILE_NAME}.set-aside-{number}")


def in_use(path: Path) -> ConfigError:
    """Return what to tell the operator about a file that another process has locked."""
    return ConfigError(
        f"{path} is in use by another server; stop that one, or give this one another directory"
    )


def _is_free(path: Path) -> bool:
    return not any(os.path.lexists(f"{path}{end}") for end in (*_COMPANIONS, ""))


@contextmanager
def _faults(operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SystemFault(operation, error.errno or 0) from None
