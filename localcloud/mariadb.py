# SPDX-License-Identifier: Apache-2.0
"""The cloud's own MariaDB: a unix socket below the state folder, no TCP port."""

from __future__ import annotations

import shutil
import socket

from .commands import run
from .layout import Layout
from .packages import find
from .process import Daemon

DATABASES = ("keystone", "neutron")


def daemon(layout: Layout) -> Daemon:
    """The database server's process."""
    folder = layout.state / "mariadb"
    return layout.daemon(
        "mariadb",
        (
            find("mariadbd") or "mariadbd",
            "--no-defaults",
            "--user=root",
            f"--datadir={folder / 'data'}",
            f"--socket={layout.database_socket}",
            f"--pid-file={folder / 'mariadb.pid'}",
            f"--init-file={folder / 'databases.sql'}",
            "--skip-networking",
            "--max-connections=300",
            "--innodb-flush-log-at-trx-commit=2",
        ),
        stop_seconds=30.0,
    )


def start(layout: Layout) -> str:
    """Initialise if new, start if not running, wait until it answers. Raises `CloudError`."""
    server = daemon(layout)
    if server.running and answers(layout):
        return "running"
    folder = layout.private_folder(layout.state / "mariadb")
    if not layout.done("mariadb"):
        shutil.rmtree(folder / "data", ignore_errors=True)
        run(
            [
                "mariadb-install-db",
                "--no-defaults",
                "--user=root",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
                f"--datadir={folder / 'data'}",
            ],
            what="Initialising MariaDB",
            log=layout.log("mariadb-install"),
        )
        layout.mark_done("mariadb")
    (folder / "databases.sql").write_text(
        "".join(
            f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb3;\n" for name in DATABASES
        )
    )
    server.start()
    server.wait_ready(lambda: answers(layout), 60)
    return "started"


def answers(layout: Layout) -> bool:
    """Whether the server greets on its socket."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(str(layout.database_socket))
            return len(client.recv(16)) > 4
    except OSError:
        return False


def empty(layout: Layout, database: str) -> None:
    """Drop a database and make it anew: migrations that were interrupted cannot be resumed.

    Raises `CloudError`.
    """
    script = (
        "import pymysql, sys\n"
        "cursor = pymysql.connect(unix_socket=sys.argv[1], user='root').cursor()\n"
        "cursor.execute(f'DROP DATABASE IF EXISTS {sys.argv[2]}')\n"
        "cursor.execute(f'CREATE DATABASE {sys.argv[2]} CHARACTER SET utf8mb3')\n"
    )
    python = str(layout.venv / "bin" / "python3")
    run(
        [python, "-c", script, str(layout.database_socket), database],
        what=f"Making the database {database}",
    )


def url(layout: Layout, database: str) -> str:
    """SQLAlchemy's URL of one of `DATABASES`."""
    return f"mysql+pymysql://root@/{database}?unix_socket={layout.database_socket}&charset=utf8mb3"
