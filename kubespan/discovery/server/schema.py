"""The tables of the discovery server's database, and whether a file has them.

The limits of the protocol are constraints, so that SQLite itself finds what we never wrote.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from kubespan.discovery.server.continuity import Moment
from kubespan.model.constants import (
    MAX_AFFILIATE_DATA_SIZE,
    MAX_AFFILIATE_ID_SIZE,
    MAX_CLUSTER_ID_SIZE,
    MAX_ENDPOINT_SIZE,
    MAX_ENDPOINTS,
)
from kubespan.model.errors import KubespanError

APPLICATION_ID: Final = 0x6B756273
"""What the database says it is: `kubs`. https://sqlite.org/pragma.html#pragma_application_id"""

SCHEMA_VERSION: Final = 1
"""Raised by whoever changes the tables."""


def _is_text(column: str, most: int) -> str:
    return f"typeof({column}) = 'text' AND length(CAST({column} AS BLOB)) BETWEEN 1 AND {most}"


def _is_blob(column: str, most: int) -> str:
    return f"typeof({column}) = 'blob' AND length({column}) <= {most}"


_TABLES: Final = f"""
BEGIN IMMEDIATE;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    boot_id TEXT NOT NULL,
    boot REAL NOT NULL,
    wall REAL NOT NULL
);
CREATE TABLE affiliates (
    cluster_id TEXT NOT NULL CHECK ({_is_text("cluster_id", MAX_CLUSTER_ID_SIZE)}),
    affiliate_id TEXT NOT NULL CHECK ({_is_text("affiliate_id", MAX_AFFILIATE_ID_SIZE)}),
    data BLOB NOT NULL CHECK ({_is_blob("data", MAX_AFFILIATE_DATA_SIZE)}),
    expires_at REAL NOT NULL CHECK (typeof(expires_at) = 'real'),
    PRIMARY KEY (cluster_id, affiliate_id)
);
CREATE TABLE endpoints (
    cluster_id TEXT NOT NULL,
    affiliate_id TEXT NOT NULL,
    position INTEGER NOT NULL CHECK (position BETWEEN 0 AND {MAX_ENDPOINTS - 1}),
    endpoint BLOB NOT NULL CHECK ({_is_blob("endpoint", MAX_ENDPOINT_SIZE)}),
    expires_at REAL NOT NULL CHECK (typeof(expires_at) = 'real'),
    PRIMARY KEY (cluster_id, affiliate_id, position),
    FOREIGN KEY (cluster_id, affiliate_id) REFERENCES affiliates ON DELETE CASCADE
) WITHOUT ROWID;
COMMIT;
"""

_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 16777216",  # or the log stays as long as it ever was
)


class Unusable(KubespanError):
    """The file is damaged, or not one that this version wrote."""


def create(connection: sqlite3.Connection, now: Moment) -> None:
    """An empty database has our tables, written at this moment. Raises sqlite3.Error."""
    connection.executescript(_TABLES)
    set_clock(connection, now)


def check(connection: sqlite3.Connection) -> None:
    """The database has our tables and is sound. Raises Unusable or sqlite3.Error."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise Unusable("it is not a discovery server's")
    version = _pragma(connection, "user_version")
    if version != SCHEMA_VERSION:
        raise Unusable(f"it is of schema {version}, and this version knows {SCHEMA_VERSION}")
    verdict = str(_pragma(connection, "quick_check"))
    if verdict != "ok":
        raise Unusable(f"it is damaged ({verdict.splitlines()[-1]})")


def configure(connection: sqlite3.Connection) -> None:
    """What is committed is on disk, through a log. Raises sqlite3.Error."""
    for setting in _SETTINGS:
        connection.execute(setting)


def set_clock(connection: sqlite3.Connection, now: Moment) -> None:
    """All times in the tables are boot times of this moment's boot. Raises sqlite3.Error."""
    connection.execute(
        "INSERT OR REPLACE INTO clock VALUES (0, ?, ?, ?)", (now.boot_id, now.boot, now.wall)
    )


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]
