"""The discovery server's state in an SQLite database. Blocks; one thread at a time.

What `save` has returned from survives the death of the process and, because every commit waits for
the disk (synchronous=FULL), a power cut too, as far as the disk keeps its word. A kill alone would
be survived without that wait: what was written then is the kernel's. Times are boot seconds in all
tables, and `clock` says what they mean to another boot, see `continuity`.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from kubespan.discovery.server.continuity import Moment, shift
from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.schema import Unusable, check, configure, create, set_clock
from kubespan.discovery.server.statefile import StateFile, in_use
from kubespan.model.errors import ConfigError

Key = tuple[str, str]
"""Cluster id and affiliate id."""

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED: Final = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # tables or columns that are not ours
    sqlite3.SQLITE_OK,  # Python's own: a text that is not UTF-8
}


class Operation(Enum):
    """What is counted apart."""

    LOAD = "load"
    SAVE = "save"


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one operation was done, and how much the last success was about."""

    successes: int = 0
    errors: int = 0
    clusters: int = 0
    affiliates: int = 0
    endpoints: int = 0
    duration: float = 0.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A storage that is ready, and what was in it."""

    storage: Storage
    everything: tuple[Saved, ...]
    set_aside: Path | None = None
    """The new name of a file that could not be used; there is nothing then, and a new file."""

    reason: str = ""
    """Why it could not."""


class Storage:
    """An open database, locked against everyone else."""

    def __init__(
        self, file: StateFile, connection: sqlite3.Connection, now: Callable[[], Moment]
    ) -> None:
        self._file = file
        self._connection = connection
        self._now = now
        self.tallies = {operation: Tally() for operation in Operation}

    @property
    def size(self) -> int:
        """Bytes on disk."""
        log = self._file.path.with_name(f"{self._file.path.name}-wal")
        return sum(path.stat().st_size for path in (self._file.path, log) if path.exists())

    def load(self) -> tuple[Saved, ...]:
        """Return everything, its times brought to the present boot, expired or not.

        Raises Unusable, or sqlite3.Error.
        """
        began = self._now()
        with _transaction(self._connection):
            _continue(self._connection, began)
            found = _read(self._connection)
        self._count(Operation.LOAD, began, found)
        return found

    def save(self, changes: Mapping[Key, Saved | None]) -> None:
        """All changes are on disk, None being a removal. Raises Refusal, and none of them is."""
        began = self._now()
        saved = [each for each in changes.values() if each is not None]
        try:
            with _transaction(self._connection):
                _write(self._connection, changes, saved)
                set_clock(self._connection, began)
        except sqlite3.Error as error:
            self.count_error(Operation.SAVE)
            raise _refusal(error) from error
        self._count(Operation.SAVE, began, saved)

    def close(self) -> None:
        """The clock is noted if it can be, and others may use the file. What was saved stays."""
        with suppress(sqlite3.Error), _transaction(self._connection):
            set_clock(self._connection, self._now())
        self._connection.close()
        self._file.release()

    def count_error(self, operation: Operation) -> None:
        """One more has failed."""
        tally = self.tallies[operation]
        self.tallies[operation] = replace(tally, errors=tally.errors + 1)

    def _count(self, operation: Operation, began: Moment, about: Collection[Saved]) -> None:
        self.tallies[operation] = Tally(
            successes=self.tallies[operation].successes + 1,
            errors=self.tallies[operation].errors,
            clusters=len({saved.cluster_id for saved in about}),
            affiliates=len(about),
            endpoints=sum(len(saved.endpoints) for saved in about),
            duration=self._now().boot - began.boot,
        )


def open_storage(directory: Path, now: Callable[[], Moment]) -> Opened:
    """Return the storage of a state directory, made if need be, and what is in it.

    A file that is damaged or foreign is set aside, and a new one begun. Raises ConfigError when
    another server uses it or SQLite cannot, and SystemFault.
    """
    file = StateFile(directory)
    try:
        try:
            return _opened(file, now)
        except Unusable as error:
            aside = file.set_aside()
            opened = _opened(file, now)
            opened.storage.count_error(Operation.LOAD)
            return replace(opened, set_aside=aside, reason=str(error))
    except BaseException:
        file.release()
        raise


def read_boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Return what the kernel calls this boot, or nothing where it does not say. man 4 random."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _opened(file: StateFile, now: Callable[[], Moment]) -> Opened:
    is_new = file.create()
    if not is_new and file.path.stat().st_size == 0:
        raise Unusable("it is empty")
    connection = sqlite3.connect(
        file.path, timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        with _judged(file.path):
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            if is_new:
                create(connection, now())
            else:
                check(connection)
            configure(connection)
            storage = Storage(file, connection, now)
            return Opened(storage, storage.load())
    except BaseException:
        connection.close()
        raise


@contextmanager
def _judged(path: Path) -> Iterator[None]:
    """What SQLite says about a file on opening it is said in our words."""
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        if code in _BUSY:
            raise in_use(path) from None
        if code in _DAMAGED:
            raise Unusable(f"it is damaged or foreign ({error})") from None
        raise ConfigError(
            f"{path} cannot be used ({error}); make room or mend it, or give another directory"
        ) from None


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, without the details in the upper bits."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF


def _refusal(error: sqlite3.Error) -> Refusal:
    if _code(error) == sqlite3.SQLITE_FULL:
        return Refusal(RefusalCode.RESOURCE_EXHAUSTED, "the server's disk is full")
    return Refusal(RefusalCode.UNAVAILABLE, "the server cannot keep its state")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has already rolled back after some errors
            connection.execute("ROLLBACK")
        raise


def _write(connection: sqlite3.Connection, keys: Iterable[Key], saved: Sequence[Saved]) -> None:
    # Endpoints go with their affiliate.
    connection.executemany("DELETE FROM affiliates WHERE cluster_id = ? AND affiliate_id = ?", keys)
    connection.executemany(
        "INSERT INTO affiliates VALUES (?, ?, ?, ?)",
        ((each.cluster_id, each.affiliate_id, each.data, each.expires_at) for each in saved),
    )
    connection.executemany(
        "INSERT INTO endpoints VALUES (?, ?, ?, ?, ?)",
        (
            (each.cluster_id, each.affiliate_id, position, *endpoint)
            for each in saved
            for position, endpoint in enumerate(each.endpoints)
        ),
    )


def _continue(connection: sqlite3.Connection, now: Moment) -> None:
    """All times are of the present boot."""
    row = connection.execute("SELECT boot_id, boot, wall FROM clock").fetchone()
    if row is None:
        raise Unusable("it does not say when it was written")
    if by := shift(Moment(*row), now):
        connection.execute("UPDATE affiliates SET expires_at = expires_at + ?", (by,))
        connection.execute("UPDATE endpoints SET expires_at = expires_at + ?", (by,))
    set_clock(connection, now)


def _read(connection: sqlite3.Connection) -> tuple[Saved, ...]:
    endpoints: defaultdict[Key, list[tuple[bytes, float]]] = defaultdict(list)
    for cluster_id, affiliate_id, *endpoint in connection.execute(
        "SELECT cluster_id, affiliate_id, endpoint, expires_at FROM endpoints"
        " ORDER BY cluster_id, affiliate_id, position"
    ):
        endpoints[cluster_id, affiliate_id].append(tuple(endpoint))
    rows = connection.execute("SELECT cluster_id, affiliate_id, data, expires_at FROM affiliates")
    return tuple(
        Saved(
            cluster_id, affiliate_id, data, at, tuple(endpoints.get((cluster_id, affiliate_id), ()))
        )
        for cluster_id, affiliate_id, data, at in rows
    )
