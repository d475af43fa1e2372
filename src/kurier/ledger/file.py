# SPDX-License-Identifier: Apache-2.0
"""The ledger's file: made, opened, judged, or moved aside."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from kurier.ledger.upgrades import upgrade
from kurier.model.errors import Code, KurierError

SCHEMA = 3
"""Raised when documents or tables change so that an older Kurier would misread them."""
_APPLICATION = 0x4B555249
"""SQLite's `application_id`: "KURI"."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE pools (id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE networks (id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE ports (id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE jobs (
    kind TEXT NOT NULL, key TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""


class Opened(StrEnum):
    """How the ledger was found."""

    FRESH = "fresh"
    EXISTING = "existing"
    DAMAGED = "damaged"
    """The old file was moved aside; this one is fresh."""
    SET_ASIDE = "set-aside"
    """The same, since it was another host's, or older than the world."""


class Damaged(Exception):
    """The file is no ledger, or not a whole one."""


def open_file(path: Path) -> tuple[sqlite3.Connection, Opened]:
    """Opens or makes the ledger's file.

    Raises Damaged; UNSUPPORTED where a newer Kurier wrote it; INTERNAL where the system refuses.
    """
    found = path.exists()
    if not found:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=2.0)
    except sqlite3.Error as error:
        raise refused(path, error) from error
    try:
        _judge(connection, path) if found else _make(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_damage(error):
            raise Damaged(str(error)) from error
        raise refused(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection, Opened.EXISTING if found else Opened.FRESH


def move_aside(path: Path, now: datetime, why: str = "damaged") -> Path:
    """Puts a file and its journals out of the way, for whoever wants to look."""
    aside = path.with_name(f"{path.name}.{why}-{now:%Y%m%dT%H%M%SZ}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{why}-{now:%Y%m%dT%H%M%SZ}-{number}")
    for suffix in ("", "-wal", "-shm"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.rename(aside.with_name(aside.name + suffix))
    return aside


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is broken (its primary result code)."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGE


def refused(path: Path, error: sqlite3.Error) -> KurierError:
    """The sentence for a system that does not let the ledger be used."""
    return KurierError(Code.INTERNAL, f"The ledger {path} cannot be used: {error}.")


def _make(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE;{_TABLES}PRAGMA application_id = {_APPLICATION};"
        f"PRAGMA user_version = {SCHEMA};COMMIT;"
    )


def _judge(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION:
        raise Damaged("it carries no mark of a ledger")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA:
        raise KurierError(
            Code.UNSUPPORTED,
            f"The ledger {path} was written by a newer Kurier (schema {version}, this one knows "
            f"{SCHEMA}): install that version again, or move the file away to start a new one.",
        )
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise Damaged(str(verdict))
    if version < SCHEMA:
        try:
            upgrade(connection, version, SCHEMA)
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"a record of schema {version} cannot be read: {error}") from error
