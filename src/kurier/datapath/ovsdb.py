# SPDX-License-Identifier: Apache-2.0
"""The connection to Open vSwitch's database: one replica, kept by ovsdbapp in a thread of its own.

Nothing is opened before the first call; a lost server is connected to again by itself. No method
waits past its deadline, also where the server hangs in the middle of an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ovs.db.idl import ROW_DELETE, Idl, SchemaHelper
from ovsdbapp.backend.ovs_idl.command import BaseCommand
from ovsdbapp.backend.ovs_idl.connection import Connection
from ovsdbapp.backend.ovs_idl.transaction import Transaction
from ovsdbapp.exceptions import TimeoutException
from ovsdbapp.schema.open_vswitch.impl_idl import OvsdbIdl, OvsVsctlTransaction

from kurier.datapath.deadline import Deadline
from kurier.datapath.failures import switch_away, switch_error
from kurier.datapath.schema import kurier_schema
from kurier.datapath.tables import Tables, is_loss
from kurier.model.errors import KurierError

_RECONNECT_MS = 1000
_MOMENT = 0.001

Noticed = Callable[[Tables, str], None]
"""Told of each Port or Interface row that came or changed: the tables, and the row's name.

Called in the connection's thread under its lock: it must neither block nor keep the tables.
"""


class _Replica(Idl):  # type: ignore[misc]
    def __init__(self, remote: str, noticed: Noticed, lost: Callable[[str], None]) -> None:
        helper = SchemaHelper(schema_json=kurier_schema())
        helper.register_all()
        super().__init__(remote, helper)
        self.live = threading.Event()
        self._noticed = noticed
        self._lost = lost
        # A server that comes back is found within a second, not after python-ovs' usual eight.
        self._session.reconnect.set_backoff(_RECONNECT_MS, _RECONNECT_MS)

    def run(self) -> bool:
        changed = bool(super().run())
        connected = self._session.is_connected() and self._session.get_seqno() == self._last_seqno
        if connected and self.state == self.IDL_S_MONITORING:
            self.live.set()
        else:
            self.live.clear()
        return changed

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        if row._table.name == "Interface" and is_loss(event == ROW_DELETE, row, updates):
            self._lost(row.name)
        if event != ROW_DELETE and row._table.name in {"Port", "Interface"}:
            self._noticed(Tables(self), row.name)


class _Connection(Connection):  # type: ignore[misc]
    def end(self, seconds: float) -> None:
        """Ends the thread, or leaves it (a daemon) to end by itself where the server hangs."""
        thread, self.is_running = self.thread, False
        if thread is None:
            self.idl.close()
            return
        self.txns.alert_notify()
        thread.join(seconds)


class _Api(OvsdbIdl):  # type: ignore[misc]
    """ovsdbapp keeps one connection per class; this one keeps its own."""

    ovsdb_connection: Any = None

    def __init__(self, connection: _Connection) -> None:
        self.ovsdb_connection = connection
        super().__init__(connection, start=False)


class _Timed(Transaction):  # type: ignore[misc]
    """A transaction that neither waits nor starts after its deadline."""

    deadline: Deadline

    def commit(self) -> Any:
        connection, self.timeout = self.ovsdb_connection, max(_MOMENT, self.deadline.left())
        connection.timeout = self.timeout
        return super().commit()

    def do_commit(self) -> Any:
        if self.deadline.passed:
            raise TimeoutException(commands=self.commands, timeout=0, cause="it waited too long")
        return super().do_commit()

    def time_remaining(self) -> float:
        # ovsdbapp takes zero or less for "no limit at all".
        return max(_MOMENT, self.deadline.left())

    def timeout_exceeded(self) -> bool:
        return self.deadline.passed


class _Commit(_Timed):
    """Returns when the database has it."""


class _SettledCommit(_Timed, OvsVsctlTransaction):  # type: ignore[misc]
    """Returns when ovs-vswitchd has carried it out."""

    def post_commit(self, txn: Any) -> None:
        # Some of the time is kept for the caller to hear which of the two daemons is silent.
        self.deadline = Deadline.after(self.deadline.left() * 0.8, self.deadline.clock)
        try:
            self.do_post_commit(txn)
        except TimeoutException as error:
            raise switch_error(
                "ovs-vswitchd does not carry out what Open vSwitch's database says: see that it "
                "runs (systemctl status ovs-vswitchd)."
            ) from error


class Database:
    """Open vSwitch's database at a remote such as `unix:/run/openvswitch/db.sock`.

    `lost` is told, as `noticed`, of each interface of Kurier's that went or says something else.
    Every method may raise SWITCH_AWAY, and blocks: not for the event loop's thread.
    """

    def __init__(self, remote: str, noticed: Noticed, lost: Callable[[str], None]) -> None:
        self._remote = remote
        self._noticed = noticed
        self._lost = lost
        self._opening = threading.Lock()
        self._api: _Api | None = None

    @contextmanager
    def reading(self, deadline: Deadline) -> Iterator[Tables]:
        """The replica while its connection stands."""
        connection = self._connected(deadline).ovsdb_connection
        if not connection.lock.acquire(timeout=deadline.left()):
            raise switch_away(self._remote)
        try:
            yield Tables(connection.idl)
        finally:
            connection.lock.release()

    def commit(
        self, command: Callable[[Any], BaseCommand], deadline: Deadline, *, settled: bool = False
    ) -> None:
        """Carries out one command in one transaction; with `settled`, waits for ovs-vswitchd too.

        SWITCH_ERROR where the database refuses, or the command's own error. After SWITCH_AWAY it
        is not known whether the server still took it.
        """
        api = self._connected(deadline)
        kind = _SettledCommit if settled else _Commit
        transaction = kind(api, api.ovsdb_connection, check_error=True, log_errors=False)
        transaction.deadline = deadline
        transaction.add(command(api))
        try:
            transaction.commit()
        except KurierError:
            raise
        except TimeoutException as error:
            raise switch_away(self._remote) from error
        except Exception as error:
            if deadline.passed:
                raise switch_away(self._remote) from error
            raise switch_error(f"Open vSwitch's database refuses: {error}") from error

    def close(self, seconds: float) -> None:
        """Ends the connection; a later call would open a new one."""
        with self._opening:
            api, self._api = self._api, None
        if api is not None:
            api.ovsdb_connection.end(seconds)

    def _connected(self, deadline: Deadline) -> _Api:
        if not self._opening.acquire(timeout=deadline.left()):
            raise switch_away(self._remote)
        try:
            api = self._api = self._api or self._opened(deadline)
        finally:
            self._opening.release()
        if not api.ovsdb_connection.idl.live.wait(deadline.left()):
            raise switch_away(self._remote)
        return api

    def _opened(self, deadline: Deadline) -> _Api:
        connection = _Connection(
            _Replica(self._remote, self._noticed, self._lost), max(_MOMENT, deadline.left())
        )
        api = _Api(connection)
        try:
            connection.start()
        except Exception as error:
            connection.end(0)
            raise switch_away(self._remote) from error
        return api
