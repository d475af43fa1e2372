# SPDX-License-Identifier: Apache-2.0
"""Makes a ledger of an older schema into one of this one, as a whole or not at all.

Schema 1 had no ready ports; 2 kept them apart from ports in use (`stock` and `leases`); 3 has one
record for each port (`kurier.model.port`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

_ONE_RECORD = "CREATE TABLE ports (id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID"
_OF_STOCK = {"dropping": "releasing"}
_KINDS = {"drop-port": "drop-stray", "drop-lease": "drop-port", "drop-stock": "drop-port"}
"""What jobs of schema 2 are called now."""


def upgrade(connection: sqlite3.Connection, version: int, wanted: int) -> None:
    """From schema `version` to `wanted`. Raises sqlite3.Error, or ValueError, KeyError or TypeError
    where a document tells no record; the file is then as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, wanted):
            _STEPS[step](connection)
        connection.execute(f"PRAGMA user_version = {wanted}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _with_stock(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE stock (id TEXT PRIMARY KEY, document BLOB NOT NULL)")


def _one_record(connection: sqlite3.Connection) -> None:
    """One table of ports out of leases and stock, and their jobs by their new names."""
    connection.execute(_ONE_RECORD)
    for table, renamed in (("leases", _from_lease), ("stock", _from_stock)):
        for key, document in connection.execute(f"SELECT id, document FROM {table}").fetchall():
            port = json.dumps(renamed(json.loads(document))).encode()
            connection.execute("INSERT OR REPLACE INTO ports VALUES (?, ?)", (key, port))
        connection.execute(f"DROP TABLE {table}")
    rows = connection.execute("SELECT kind, key, document FROM jobs").fetchall()
    connection.execute("DELETE FROM jobs")
    for kind, key, document in rows:
        job = json.loads(document)
        job["kind"] = _KINDS.get(kind, kind)
        connection.execute(
            "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)",
            (job["kind"], key, json.dumps(job).encode()),
        )


def _from_lease(lease: dict[str, Any]) -> dict[str, Any]:
    return {**lease, "stage": lease["state"], "since": lease["created_at"]}


def _from_stock(port: dict[str, Any]) -> dict[str, Any]:
    return {**port, "stage": _OF_STOCK.get(port["stage"], port["stage"])}


_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _with_stock, 2: _one_record}
