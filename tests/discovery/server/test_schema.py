"""The tables take what the protocol allows, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kubespan.discovery.server.continuity import Moment
from kubespan.discovery.server.schema import Unusable, check, configure, create, set_clock


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as made:
        create(made, Moment("boot", 1.0, 2.0))
        yield made


def test_what_is_created_is_sound(connection: sqlite3.Connection) -> None:
    check(connection)


def test_a_commit_is_on_disk(connection: sqlite3.Connection) -> None:
    configure(connection)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_there_is_one_clock(connection: sqlite3.Connection) -> None:
    set_clock(connection, Moment("other", 3.0, 4.0))
    assert connection.execute("SELECT * FROM clock").fetchall() == [(0, "other", 3.0, 4.0)]


@pytest.mark.parametrize(
    ("pragma", "reason"),
    [
        ("application_id = 0", "it is not a discovery server's"),
        ("user_version = 2", "it is of schema 2, and this version knows 1"),
    ],
)
def test_another_program_or_version(
    connection: sqlite3.Connection, pragma: str, reason: str
) -> None:
    connection.execute(f"PRAGMA {pragma}")
    with pytest.raises(Unusable, match=reason):
        check(connection)


ROWS = [
    ("affiliates", ("c" * 257, "a", b"", 1.0)),
    ("affiliates", ("", "a", b"", 1.0)),
    ("affiliates", (b"c", "a", b"", 1.0)),
    ("affiliates", ("c", "é" * 129, b"", 1.0)),
    ("affiliates", ("c", "a", "text", 1.0)),
    ("affiliates", ("c", "a", bytes(2049), 1.0)),
    ("affiliates", ("c", "a", b"", "soon")),
    ("affiliates", ("c", "a", b"", None)),
    ("endpoints", ("c", "a", 64, b"", 1.0)),
    ("endpoints", ("c", "a", 0, bytes(33), 1.0)),
    ("endpoints", ("c", "a", 0, b"", "soon")),
]


@pytest.mark.parametrize(("table", "row"), ROWS)
def test_what_is_beyond_the_limits(
    connection: sqlite3.Connection, table: str, row: tuple[object, ...]
) -> None:
    insert = f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})"
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(insert, row)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    if None not in row:
        connection.execute(insert, row)
        connection.execute("PRAGMA ignore_check_constraints = OFF")
        with pytest.raises(Unusable, match=f"it is damaged .*{table}"):
            check(connection)


def test_what_is_just_within_the_limits(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO affiliates VALUES (?, ?, ?, ?)", ("é" * 128, "\0", bytes(2048), -1e10)
    )
    connection.execute(
        "INSERT INTO endpoints VALUES (?, ?, ?, ?, ?)", ("é" * 128, "\0", 63, bytes(32), 1.0)
    )
    check(connection)
