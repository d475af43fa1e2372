# SPDX-License-Identifier: Apache-2.0
"""The ledger: SQLite for what must last, a copy in memory for what is read.

Every write is on disk (write-ahead log, `synchronous=FULL`) when the outermost transaction ends.
The copy holds decoded records; after a rollback it is read again from the file, so that it never
shows what was not kept.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from kurier.ledger.codec import Undecodable, decode, encode
from kurier.ledger.file import Damaged, Opened, is_damage, move_aside, open_file, refused
from kurier.ledger.lock import StateLock
from kurier.ledger.port_table import PortTable
from kurier.model.ids import DockerNetworkId, EndpointId, PoolId, PortKey
from kurier.model.port import PortRecord
from kurier.model.records import Job, NetworkRecord, PoolRecord

LOG = logging.getLogger(__name__)
_NOTE = "note"
_Record = TypeVar("_Record", PoolRecord, NetworkRecord, PortRecord, Job)


@dataclass(slots=True)
class _Copy:
    """All that the file holds, decoded."""

    meta: dict[str, str] = field(default_factory=dict)
    pools: dict[PoolId, PoolRecord] = field(default_factory=dict)
    networks: dict[DockerNetworkId, NetworkRecord] = field(default_factory=dict)
    ports: PortTable = field(default_factory=PortTable)
    jobs: dict[tuple[str, str], Job] = field(default_factory=dict)


class SqliteLedger:
    """Fulfils the service's `Ledger`. For one thread: the one that opened it.

    `opened` tells how the file was found and `note` says it in a sentence. Raises CONFLICT where
    another process has the folder, UNSUPPORTED where a newer Kurier wrote the file, and INTERNAL
    where the system refuses to read or write.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        unfit: str = "",
    ) -> None:
        """`unfit` tells why the one that is there must not be used: it is set aside."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / "ledger.db"
        self.note = ""
        self._depth = 0
        self._owner: object = None
        self._lock = StateLock(folder)
        try:
            aside = move_aside(self.path, now(), "set-aside") if unfit else None
            self._db, self.opened, self._copy = self._open(now)
            self._bring_back_from_the_future(now())
        except BaseException:
            self._lock.release()
            raise
        if aside is not None:
            self.opened = Opened.SET_ASIDE
            self._tell(
                f"The ledger {self.path} was not fit for use ({unfit}) and is now {aside.name}; "
                "what is in use is being found again from Neutron, the switch and the engine."
            )
        elif not self.note:
            self.note = self._copy.meta.get(_NOTE, "")

    def close(self) -> None:
        """Ends the use of the file; repeating it is harmless."""
        self._db.close()
        self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. One within another joins it: kept only if the outermost is.

        Never await inside: another task's write would fall into this transaction. That is refused.
        """
        self._enter()
        try:
            yield
        except BaseException:
            self._leave(keep=False)
            raise
        self._leave(keep=True)

    def meta(self, key: str) -> str | None:
        return self._copy.meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        if self._copy.meta.get(key) == value:
            return
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)
        self._copy.meta[key] = value

    def pool(self, pool_id: PoolId) -> PoolRecord | None:
        return self._copy.pools.get(pool_id)

    def pools(self) -> list[PoolRecord]:
        return list(self._copy.pools.values())

    def put_pool(self, pool: PoolRecord) -> None:
        self._write("INSERT OR REPLACE INTO pools VALUES (?, ?)", pool.id, encode(pool))
        self._copy.pools[pool.id] = pool

    def drop_pool(self, pool_id: PoolId) -> None:
        self._write("DELETE FROM pools WHERE id = ?", pool_id)
        self._copy.pools.pop(pool_id, None)

    def network(self, network_id: DockerNetworkId) -> NetworkRecord | None:
        return self._copy.networks.get(network_id)

    def networks(self) -> list[NetworkRecord]:
        return list(self._copy.networks.values())

    def put_network(self, network: NetworkRecord) -> None:
        self._write("INSERT OR REPLACE INTO networks VALUES (?, ?)", network.id, encode(network))
        self._copy.networks[network.id] = network

    def drop_network(self, network_id: DockerNetworkId) -> None:
        self._write("DELETE FROM networks WHERE id = ?", network_id)
        self._copy.networks.pop(network_id, None)

    def port(self, key: PortKey) -> PortRecord | None:
        return self._copy.ports.get(key)

    def port_of_endpoint(self, endpoint_id: EndpointId) -> PortRecord | None:
        return self._copy.ports.of(endpoint_id)

    def ports(self, network_id: DockerNetworkId | None = None) -> list[PortRecord]:
        return self._copy.ports.on(network_id)

    def put_port(self, port: PortRecord) -> None:
        self._write("INSERT OR REPLACE INTO ports VALUES (?, ?)", port.id, encode(port))
        self._copy.ports.put(port)

    def drop_port(self, key: PortKey) -> None:
        self._write("DELETE FROM ports WHERE id = ?", key)
        self._copy.ports.drop(key)

    def put_job(self, job: Job) -> None:
        """Adds a job, or replaces the one with the same kind and key."""
        kept = _own(job)
        self._write("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", *_name(kept), encode(kept))
        self._copy.jobs[_name(kept)] = kept

    def jobs(self) -> list[Job]:
        return [_own(job) for job in self._copy.jobs.values()]

    def job(self, kind: str, key: str) -> Job | None:
        job = self._copy.jobs.get((str(kind), key))
        return job and _own(job)

    def drop_job(self, kind: str, key: str) -> None:
        self._write("DELETE FROM jobs WHERE kind = ? AND key = ?", str(kind), key)
        self._copy.jobs.pop((str(kind), key), None)

    def _open(self, now: Callable[[], datetime]) -> tuple[sqlite3.Connection, Opened, _Copy]:
        try:
            return self._open_whole()
        except Damaged as damage:
            aside = move_aside(self.path, now())
            self.note = (
                f"The ledger {self.path} was damaged ({damage}) and is now {aside.name}; what is "
                "in use is being found again from Neutron, the switch and the engine."
            )
            LOG.error("%s", self.note)
            database, _, copy = self._open_whole()
            return database, Opened.DAMAGED, copy

    def _bring_back_from_the_future(self, now: datetime) -> None:
        """What was stored while the machine's clock was ahead counts as stored now: else ports
        would cool, and work wait, for as long as it was ahead.
        """
        with self.transaction():
            for port in self.ports():
                if port.since > now:
                    self.put_port(replace(port, since=now))
            for pool in self.pools():
                if pool.requested_at > now:
                    self.put_pool(replace(pool, requested_at=now))
            for job in self.jobs():
                if job.created_at is not None and job.created_at > now:
                    due = now + max(job.due - job.created_at, timedelta())
                    self.put_job(replace(job, created_at=now, due=due))

    def _tell(self, note: str) -> None:
        """Has people read it for as long as this file lasts."""
        self.note = note
        self.set_meta(_NOTE, note)
        LOG.warning("%s", note)

    def _open_whole(self) -> tuple[sqlite3.Connection, Opened, _Copy]:
        database, opened = open_file(self.path)
        try:
            return database, opened, _read_all(database)
        except Undecodable as error:
            database.close()
            raise Damaged(str(error)) from error
        except sqlite3.Error as error:
            database.close()
            missing_table = "no such" in str(error)
            if is_damage(error) or missing_table:
                raise Damaged(str(error)) from error
            raise refused(self.path, error) from error

    def _write(self, statement: str, *values: str | bytes | None) -> None:
        with self.transaction():
            try:
                self._db.execute(statement, values)
            except sqlite3.Error as error:
                raise refused(self.path, error) from error

    def _enter(self) -> None:
        if self._depth and self._owner is not _task():
            raise RuntimeError("the ledger is written while a transaction of another task is open")
        try:
            self._db.execute(f"SAVEPOINT s{self._depth}" if self._depth else "BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise refused(self.path, error) from error
        self._owner = _task()
        self._depth += 1

    def _leave(self, *, keep: bool) -> None:
        self._depth -= 1
        name = f"s{self._depth}"
        if not keep:
            self._undo(f"ROLLBACK TO {name}; RELEASE {name}" if self._depth else "ROLLBACK")
            return
        try:
            self._db.execute(f"RELEASE {name}" if self._depth else "COMMIT")
        except sqlite3.Error as error:
            self._undo(f"ROLLBACK TO {name}; RELEASE {name}" if self._depth else "ROLLBACK")
            raise refused(self.path, error) from error

    def _undo(self, script: str) -> None:
        if self._db.in_transaction:  # SQLite itself rolls back on some errors, such as a full disk
            for statement in script.split(";"):
                self._db.execute(statement)
        self._copy = _read_all(self._db)


def _read_all(database: sqlite3.Connection) -> _Copy:
    def records(table: str, kind: type[_Record]) -> list[_Record]:
        rows = database.execute(f"SELECT document FROM {table}")
        return [decode(kind, row[0]) for row in rows]

    return _Copy(
        meta=dict(database.execute("SELECT key, value FROM meta")),
        pools={pool.id: pool for pool in records("pools", PoolRecord)},
        networks={network.id: network for network in records("networks", NetworkRecord)},
        ports=PortTable(records("ports", PortRecord)),
        jobs={_name(job): job for job in records("jobs", Job)},
    )


def _own(job: Job) -> Job:
    """A copy whose payload nobody else can change."""
    return replace(job, payload=dict(job.payload))


def _name(job: Job) -> tuple[str, str]:
    return str(job.kind), job.key


def _task() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
