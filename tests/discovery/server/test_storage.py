"""The database: what was saved is there again, whatever becomes of the process or the file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubespan.discovery.server.continuity import Moment
from kubespan.discovery.server.journal import Saved
from kubespan.discovery.server.refusal import Refusal, RefusalCode
from kubespan.discovery.server.statefile import FILE_NAME
from kubespan.discovery.server.storage import (
    Opened,
    Operation,
    Storage,
    Tally,
    open_storage,
    read_boot_id,
)
from kubespan.model.errors import ConfigError, SystemFault
from tests.discovery.clocks import SetClock
from tests.peers import need

KILLS = 50
FULL = Saved("c\0é", "a", bytes(2048), 1800.5, tuple((bytes([n]), 1.5 * n) for n in range(64)))
BARE = Saved("c\0é", "b", b"", 1100.0, ())
OTHER = Saved("other", "a", b"data", 1100.0, ((b"", 1200.0),))
ALL = (FULL, BARE, OTHER)


def changes(*saved: Saved) -> dict[tuple[str, str], Saved | None]:
    return {(each.cluster_id, each.affiliate_id): each for each in saved}


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


class Place:
    """A state directory, with one storage at a time."""

    def __init__(self, directory: Path, clock: Callable[[], Moment]) -> None:
        self.directory = directory
        self.path = directory / FILE_NAME
        self._clock = clock
        self._storage: Storage | None = None

    def open(self) -> Opened:
        self.close()
        opened = open_storage(self.directory, self._clock)
        self._storage = opened.storage
        return opened

    def close(self) -> None:
        if self._storage is not None:
            self._storage.close()
        self._storage = None

    def crash(self) -> None:
        """Let go without a word, as a death would."""
        assert self._storage is not None
        # The copy keeps the log that a last connection takes away with it.
        log = self.path.with_name(f"{FILE_NAME}-wal")
        kept = (self.path.read_bytes(), log.read_bytes())
        self._storage._connection.close()
        self._storage._file.release()
        self._storage = None
        self.path.write_bytes(kept[0])
        log.write_bytes(kept[1])

    def names(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}


@pytest.fixture
def place(tmp_path: Path, clock: SetClock) -> Iterator[Place]:
    made = Place(tmp_path / "state", clock)
    yield made
    made.close()


# ------------------------------------------------------------------------------- round trips


def test_nothing_at_first(place: Place) -> None:
    opened = place.open()
    assert (opened.everything, opened.set_aside, opened.reason) == ((), None, "")


def test_saved_is_there_again(place: Place) -> None:
    place.open().storage.save(changes(*ALL))
    assert set(place.open().everything) == set(ALL)


def test_last_save_counts(place: Place) -> None:
    storage = place.open().storage
    storage.save(changes(*ALL))
    newer = Saved("c\0é", "a", b"new", 1900.0, ((b"e", 1.0),))
    storage.save({**changes(newer), ("other", "a"): None, ("never", "there"): None})
    assert set(place.open().everything) == {newer, BARE}


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
ENDPOINTS = st.lists(st.tuples(st.binary(max_size=32), TIMES), max_size=4).map(tuple)
SAVED = st.builds(Saved, IDS, IDS, st.binary(max_size=64), TIMES, ENDPOINTS)


@settings(max_examples=30)  # each waits for a disk
@given(saved=st.lists(SAVED, unique_by=lambda each: (each.cluster_id, each.affiliate_id)))
def test_whatever_was_saved(tmp_path_factory: pytest.TempPathFactory, saved: list[Saved]) -> None:
    place = Place(tmp_path_factory.mktemp("any"), SetClock())
    place.open().storage.save(changes(*saved))
    assert sorted(place.open().everything, key=repr) == sorted(saved, key=repr)
    place.close()


def test_files_are_for_the_owner_only(place: Place) -> None:
    place.open().storage.save(changes(*ALL))
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.directory.iterdir()}
    assert modes == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600}
    place.close()
    assert place.names() == {FILE_NAME}


def test_tallies(place: Place) -> None:
    storage = place.open().storage
    storage.save(changes(*ALL))
    assert storage.tallies == {
        Operation.LOAD: Tally(successes=1),
        Operation.SAVE: Tally(successes=1, clusters=2, affiliates=3, endpoints=65),
    }
    assert place.open().storage.tallies[Operation.LOAD] == Tally(
        successes=1, clusters=2, affiliates=3, endpoints=65
    )


def test_size_is_that_of_the_files(place: Place) -> None:
    storage = place.open().storage
    storage.save(changes(*ALL))
    assert storage.size == sum(path.stat().st_size for path in place.directory.iterdir()) > 0


# -------------------------------------------------------------------------------------- time


def test_within_one_boot_times_stay(place: Place, clock: SetClock) -> None:
    place.open().storage.save(changes(OTHER))
    clock.pass_time(50.0)
    assert place.open().everything == (OTHER,)


def test_in_another_boot_the_time_away_counts(place: Place, clock: SetClock) -> None:
    place.open().storage.save(changes(OTHER))
    for _ in range(2):  # and it is written down that way
        place.close()
        clock.reboot(10.0)
        opened = place.open()
    assert opened.everything == (Saved("other", "a", b"data", 85.0, ((b"", 185.0),)),)


def test_the_wall_clock_is_noted_at_every_save(place: Place, clock: SetClock) -> None:
    storage = place.open().storage
    clock.set_wall(5.0)
    storage.save(changes(OTHER))
    place.crash()
    clock.reboot(10.0)
    assert place.open().everything == (Saved("other", "a", b"data", 95.0, ((b"", 195.0),)),)


def test_the_wall_clock_is_noted_at_the_end(place: Place, clock: SetClock) -> None:
    place.open().storage.save(changes(OTHER))
    clock.set_wall(5.0)
    place.close()
    clock.reboot(10.0)
    assert place.open().everything == (Saved("other", "a", b"data", 95.0, ((b"", 195.0),)),)


def test_which_boot_this_is() -> None:
    boot_id = read_boot_id()
    assert boot_id
    assert read_boot_id() == boot_id


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    assert read_boot_id(tmp_path / "nothing") == ""


# -------------------------------------------------------------- files that cannot be used


def overwrite(path: Path, at: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * size)


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing left": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("hello\n" * 999), "file is not a database"),
    "cut in a page": (lambda path: os.truncate(path, 10_000), "damaged"),
    "cut between pages": (lambda path: os.truncate(path, 8_192), "damaged"),
    "header": (lambda path: overwrite(path, 0, 16), "file is not a database"),
    "a page": (lambda path: overwrite(path, 8_192, 4_096), "damaged"),
    "all pages": (lambda path: overwrite(path, 4_096, 65_536), "damaged"),
    "schema": (lambda path: overwrite(path, 200, 3_800), "damaged"),
    "newer": (lambda path: execute(path, "PRAGMA user_version = 7"), "it is of schema 7"),
    "foreign": (lambda path: execute(path, "PRAGMA application_id = 7"), "it is not a discovery"),
    "no table": (lambda path: execute(path, "DROP TABLE endpoints"), "no such table: endpoints"),
    "no clock": (lambda path: execute(path, "DELETE FROM clock"), "it does not say when"),
    "no UTF-8": (
        lambda path: execute(path, "UPDATE affiliates SET cluster_id = CAST(x'ff' AS TEXT)"),
        "Could not decode to UTF-8",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_used_is_set_aside(place: Place, damage: str) -> None:
    many = [Saved("c", f"a{n}", bytes(200), 1800.0, ((b"e", 1.0),)) for n in range(200)]
    place.open().storage.save(changes(*many[: 1 if damage == "no UTF-8" else None]))
    place.close()
    spoil, reason = DAMAGE[damage]
    spoil(place.path)
    spoilt = place.path.read_bytes()

    opened = place.open()
    assert opened.everything == ()
    assert reason in opened.reason
    assert opened.set_aside == place.path.with_name(f"{FILE_NAME}.set-aside-1")
    assert opened.set_aside.read_bytes() == spoilt
    assert opened.storage.tallies[Operation.LOAD] == Tally(successes=1, errors=1)

    opened.storage.save(changes(OTHER))
    again = place.open()
    assert (again.everything, again.set_aside) == ((OTHER,), None)


def test_a_log_alone_is_set_aside(place: Place) -> None:
    place.open().storage.save(changes(OTHER))
    place.crash()
    place.path.with_name(f"{FILE_NAME}-wal").write_bytes(b"log")
    place.path.unlink()
    assert place.open().set_aside is not None
    assert place.path.with_name(f"{FILE_NAME}.set-aside-1-wal").read_bytes() == b"log"


def test_a_log_with_a_torn_end_keeps_what_is_before(place: Place) -> None:
    storage = place.open().storage
    storage.save(changes(OTHER))
    log = place.path.with_name(f"{FILE_NAME}-wal")
    whole = log.stat().st_size
    storage.save(changes(*ALL))
    torn = log.read_bytes()[: whole + 100]
    place.crash()
    log.write_bytes(torn)
    opened = place.open()
    assert (opened.everything, opened.set_aside) == ((OTHER,), None)


def test_one_server_at_a_time(place: Place, clock: SetClock) -> None:
    storage = place.open().storage
    with pytest.raises(ConfigError, match="is in use by another server; stop that one"):
        open_storage(place.directory, clock)
    storage.save(changes(OTHER))
    assert place.open().everything == (OTHER,)


def test_someone_else_reads_the_file(place: Place, clock: SetClock) -> None:
    place.open()
    place.close()
    with closing(sqlite3.connect(place.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match="is in use by another server"):
            place.open()
    assert place.open().set_aside is None


def test_what_sqlite_cannot_do_here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise sqlite_error(sqlite3.SQLITE_IOERR, "disk I/O error")

    monkeypatch.setattr("kubespan.discovery.server.storage.configure", refuse)
    with pytest.raises(ConfigError, match=r"cannot be used \(disk I/O error\); make room"):
        place.open()
    monkeypatch.undo()
    assert place.open().set_aside is None


def test_a_directory_that_cannot_be(tmp_path: Path, clock: SetClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemFault):
        open_storage(tmp_path / "file" / "below", clock)


def sqlite_error(code: int, message: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


# --------------------------------------------------------------------- disks that are full


def fill(storage: Storage) -> int:
    """Save until it is refused; return how many went in."""
    for number in range(10_000):
        try:
            storage.save(changes(Saved("c", f"a{number}", bytes(2000), 1.0, ())))
        except Refusal as refusal:
            return number if refusal.code is RefusalCode.RESOURCE_EXHAUSTED else -1
    pytest.fail("it is never full")


def test_full_is_refused_and_ends(place: Place) -> None:
    storage = place.open().storage
    storage._connection.execute("PRAGMA max_page_count = 40")
    count = fill(storage)
    assert storage.tallies[Operation.SAVE].errors == 1
    storage._connection.execute("PRAGMA max_page_count = 400")
    storage.save(changes(OTHER))
    assert storage.tallies[Operation.SAVE].successes == count + 1
    assert len(place.open().everything) == count + 1


def test_a_transaction_is_all_or_nothing(place: Place) -> None:
    storage = place.open().storage
    storage._connection.execute("PRAGMA max_page_count = 40")
    with pytest.raises(Refusal, match="the server's disk is full"):
        storage.save(changes(*(Saved("c", f"a{n}", bytes(2000), 1.0, ()) for n in range(100))))
    assert place.open().everything == ()


@pytest.mark.netns
def test_a_disk_that_is_really_full(tmp_path: Path, clock: SetClock) -> None:
    need("mount", "umount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", tmp_path], check=True)
    try:
        place = Place(tmp_path, clock)
        storage = place.open().storage
        assert fill(storage) > 10
        with pytest.raises(Refusal):
            storage.save(changes(FULL))
        place.close()
        subprocess.run(["mount", "-o", "remount,size=2m", tmp_path], check=True)
        opened = place.open()
        opened.storage.save(changes(FULL))
        assert FULL in place.open().everything
        place.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_anything_else_is_unavailable(place: Place) -> None:
    storage = place.open().storage
    storage._connection.execute("DROP TABLE affiliates")
    with pytest.raises(Refusal) as refused:
        storage.save(changes(OTHER))
    assert (refused.value.code, refused.value.message) == (
        RefusalCode.UNAVAILABLE,
        "the server cannot keep its state",
    )


def test_closing_never_fails(place: Place, clock: SetClock) -> None:
    place.open().storage._connection.execute("DROP TABLE clock")
    place.close()
    assert not place.path.with_name(f"{FILE_NAME}-wal").exists()


# ---------------------------------------------------------------------------------- kill -9

WRITER = """
import sys, time
from pathlib import Path
from kubespan.discovery.server.continuity import Moment
from kubespan.discovery.server.registry import Registry
from kubespan.discovery.server.storage import open_storage

class Notes(dict):
    def admit(self): pass
    def put(self, saved): self[saved.cluster_id, saved.affiliate_id] = saved
    def remove(self, *key): self[key] = None

boot = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
opened = open_storage(Path(sys.argv[1]), lambda: Moment("", boot(), time.time()))
notes = Notes()
registry = Registry(notes)
registry.restore(opened.everything, boot())
for number in range(10**9):
    turn = f"{sys.argv[2]}.{number}"
    registry.update("c", f"a{number % 50}", turn.encode(), [turn.encode()[-32:]] * 2, 1800, boot())
    if number % 7 == 6:
        registry.delete("c", f"a{(number - 3) % 50}", boot())
    opened.storage.save(notes)
    notes.clear()
    print(turn, flush=True)
"""


def acknowledged(directory: Path, life: int) -> list[str]:
    """Let a writer write, kill it in the midst of it, and return what it said was done."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, directory, str(life)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(20 + life)]
        writer.kill()
        return [line.strip() for line in [*lines, *writer.stdout] if line.endswith("\n")]


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    place = Place(tmp_path, machine_clock)
    state: dict[str, str] = {}
    for life in range(KILLS):
        done = acknowledged(tmp_path, life)
        opened = place.open()
        place.close()
        assert opened.set_aside is None
        for number, turn in enumerate(done):
            apply(state, number, turn)
        found = {each.affiliate_id: each.data.decode() for each in opened.everything}
        if found != state:  # unless one more turn was written, and nobody heard of it
            apply(state, len(done), f"{life}.{len(done)}")
        assert found == state


def machine_clock() -> Moment:
    return Moment("", time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def apply(state: dict[str, str], number: int, turn: str) -> None:
    state[f"a{number % 50}"] = turn
    if number % 7 == 6:
        state.pop(f"a{(number - 3) % 50}", None)
