# SPDX-License-Identifier: Apache-2.0
"""A Kurier daemon as a process of its own, with a state folder of its own."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cloud.stage.machine import Machine
from tests.cloud.stage.waiting import wait_until

Table = Mapping[str, Mapping[str, object]]
"""Settings by section and key, as the TOML file has them."""
QUICK = {"reconcile": {"interval": 1.0, "grace": 1.0}}
"""Settings with which what a kill left behind is judged within a test."""


class Daemon:
    """`kurier serve` inside a host.

    The state folder is kept over restarts, so that what a daemon promised can be looked for in
    the next one.
    """

    def __init__(self, machine: Machine, folder: Path, settings: Table, cloud: str) -> None:
        self.machine = machine
        self.folder = folder
        self.log = folder / "kurier.log"
        self.config = folder / "kurier.toml"
        self.admin_socket = folder / "admin.sock"
        self.state_dir = folder / "state"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = _merged(self._defaults(cloud), settings)
        self.environ: dict[str, str] = {}

    def _defaults(self, cloud: str) -> Table:
        return {
            "daemon": {
                "plugin_dir": "/run/docker/plugins",
                "admin_socket": str(self.admin_socket),
                "state_dir": str(self.state_dir),
                "spec_dir": str(self.folder / "specs"),
                "log_level": "debug",
            },
            "cloud": {"name": cloud},
            "engine": {"docker_host": "unix:///var/run/docker.sock"},
            "datapath": {"ovsdb": self.machine.ovsdb},
            # Tests of everything else look at what one container costs and leaves.
            "pool": {"enabled": False, "lag": 0.0},
            # Tests judge leftovers at once; no container of theirs takes minutes to start.
            "reconcile": {"short_grace": True},
        }

    @property
    def driver(self) -> str:
        """The driver's name, as `docker network create -d` takes it."""
        return str(self._settings["daemon"].get("driver_name", "kuryr"))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the daemon was not started"
        return self._process.pid

    def setting(self, settings: Table) -> None:
        """Changes settings for the next start."""
        self._settings = _merged(self._settings, settings)

    def start(self, *, ready: bool = True) -> None:
        """Starts it; with `ready` returns once the plugin socket answers."""
        assert not self.running, "the daemon runs already"
        self.config.write_text(_toml(self._settings))
        kurier = Path(sys.executable).with_name("kurier")
        with self.log.open("ab") as log:
            self._process = self.machine.popen(
                [str(kurier), "serve", "--config", str(self.config)],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            wait_until(self._answers, f"kurier serve answers; its log is {self.log}", 20)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: the socket is there and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stops it if it runs, and starts it with the same state."""
        if self.running:
            self.stop()
        self.start()

    def admin(
        self,
        path: str = "/v1/status",
        method: str = "GET",
        said: Mapping[str, object] | None = None,
    ) -> Any:
        """What the admin socket answers, as JSON."""
        connection = _UnixConnection(self.admin_socket)
        try:
            connection.request(method, path, None if said is None else json.dumps(said).encode())
            reply = connection.getresponse()
            body = reply.read()
            assert reply.status < 300, f"{method} {path}: {reply.status} {body!r}"
            return json.loads(body) if "json" in (reply.getheader("Content-Type") or "") else body
        finally:
            connection.close()

    def ledger_note(self) -> str:
        """What people are told of the ledger; nothing while the daemon begins anew."""
        try:
            return str(self.admin()["ledger"]["note"])
        except OSError:
            return ""

    def kurier(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The `kurier` command on this host, with this daemon's configuration."""
        program = str(Path(sys.executable).with_name("kurier"))
        return self.machine.run(
            [program, *command, "--config", str(self.config)], check=check, env=self.environ
        )

    def told(self, *command: str) -> Any:
        """What a `kurier` command says to programs."""
        return json.loads(self.kurier(*command, "--json").stdout)

    def call(self, method: str, body: Mapping[str, object]) -> tuple[int, dict[str, Any]]:
        """Calls the plugin as an engine would: status and answer."""
        connection = _UnixConnection(self.machine.plugin_dir / f"{self.driver}.sock")
        try:
            connection.request("POST", f"/{method}", json.dumps(body).encode())
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def said(self, since: int = 0) -> str:
        """The log from a byte on."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def _answers(self) -> bool:
        assert self.running, f"kurier serve ended:\n{self.said()[-4000:]}"
        try:
            self.call("Plugin.Activate", {})
            self.admin()
        except (OSError, http.client.HTTPException):
            return False
        return True

    def _signal(self, number: int) -> None:
        assert self._process is not None, "the daemon was not started"
        self._process.send_signal(number)

    def _end(self, number: int) -> int:
        assert self._process is not None, "the daemon was not started"
        if self.running:
            self._process.send_signal(number)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _merged(wider: Table, own: Table) -> Table:
    return {
        section: {**wider.get(section, {}), **own.get(section, {})} for section in {**wider, **own}
    }


def _toml(table: Table) -> str:
    """TOML as JSON writes its scalars and lists, which TOML reads as well."""
    lines = []
    for section, values in table.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
