# SPDX-License-Identifier: Apache-2.0
"""OVN central: the northbound and southbound databases and northd."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .commands import run, succeeds
from .layout import Layout
from .process import Daemon

SCHEMAS = Path("/usr/share/ovn")


@dataclass(frozen=True)
class Database:
    """One OVN database: its daemon, schema, file and unix socket."""

    name: str
    daemon: Daemon
    schema: Path
    file: Path
    socket: Path
    client: str


def northbound(layout: Layout) -> Database:
    """The database Neutron writes."""
    return _database(layout, "nb", "ovn-nbctl", ())


def southbound(layout: Layout) -> Database:
    """The database the hosts' ovn-controllers read, over TCP on the API address as well."""
    settings = layout.settings
    return _database(
        layout,
        "sb",
        "ovn-sbctl",
        (f"--remote=ptcp:{settings.southbound_port}:{settings.api_address}",),
    )


def southbound_socket(layout: Layout) -> Path:
    """The southbound database's unix socket."""
    return layout.central / "ovnsb_db.sock"


def northd(layout: Layout) -> Daemon:
    """The process that turns the northbound into the southbound database."""
    folder = layout.central
    return layout.daemon(
        "ovn-northd",
        (
            "ovn-northd",
            f"--ovnnb-db=unix:{folder / 'ovnnb_db.sock'}",
            f"--ovnsb-db=unix:{folder / 'ovnsb_db.sock'}",
            "-vconsole:info",
            "-vsyslog:off",
        ),
        env=environment(layout),
    )


def environment(layout: Layout) -> dict[str, str]:
    """Folders of the OVN tools, away from the machine's own."""
    folder = str(layout.central)
    return {
        "OVN_RUNDIR": folder,
        "OVN_LOGDIR": folder,
        "OVN_DBDIR": folder,
        "OVS_RUNDIR": folder,
        "OVS_LOGDIR": folder,
    }


def start(layout: Layout) -> str:
    """Start both databases and northd, whichever does not run. Raises `CloudError`."""
    layout.private_folder(layout.central)
    started = [
        start_database(layout, database) for database in (northbound(layout), southbound(layout))
    ]
    controller = northd(layout)
    started.append(controller.start())
    return "started" if any(started) else "running"


def await_hosts(layout: Layout, seconds: int) -> None:
    """Wait until every chassis has all that Neutron has written so far in its switch.

    OVN promises it late: a port is up when its own chassis has it, and the others learn of it when
    they come to it (ovn-nbctl(8), `--wait=hv`). Raises `CloudError` after `seconds`.
    """
    database = northbound(layout)
    run(
        [
            database.client,
            f"--timeout={seconds}",
            f"--db=unix:{database.socket}",
            "--wait=hv",
            "sync",
        ],
        env=environment(layout),
        what="Waiting for all hosts' switches",
    )


def create_file(file: Path, schema: Path) -> None:
    """Make an OVSDB file unless there is one: whole or not at all, also when killed."""
    if not file.exists():
        part = file.with_suffix(".new")
        part.unlink(missing_ok=True)
        run(["ovsdb-tool", "create", str(part), str(schema)], what=f"Making {file}")
        part.rename(file)


def start_database(layout: Layout, database: Database) -> bool:
    """Start one database and wait until it answers; True if it was started now."""
    create_file(database.file, database.schema)
    probe = [
        database.client,
        "--timeout=2",
        f"--db=unix:{database.socket}",
        "--no-leader-only",
        "init",
    ]
    started = database.daemon.start()
    if started or not database.socket.exists():
        database.daemon.wait_ready(lambda: succeeds(probe, env=environment(layout)), 30)
    return started


def _database(layout: Layout, short: str, client: str, remotes: tuple[str, ...]) -> Database:
    folder = layout.central
    file = folder / f"ovn{short}_db.db"
    socket = folder / f"ovn{short}_db.sock"
    daemon = layout.daemon(
        f"ovn-{short}",
        (
            "ovsdb-server",
            str(file),
            f"--remote=punix:{socket}",
            *remotes,
            f"--unixctl={folder / f'ovn{short}_db.ctl'}",
            "-vconsole:info",
            "-vsyslog:off",
        ),
        env=environment(layout),
    )
    return Database(short, daemon, SCHEMAS / f"ovn-{short}.ovsschema", file, socket, client)
