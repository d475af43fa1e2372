# SPDX-License-Identifier: Apache-2.0
"""Single services, to be stopped, paused and killed by tests of what then happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .process import Daemon


@dataclass(frozen=True)
class Service:
    """A process of the cloud together with the way to start it and wait until it answers."""

    daemon: Daemon
    bring_up: Callable[[], object]

    @property
    def name(self) -> str:
        return self.daemon.name

    @property
    def running(self) -> bool:
        return self.daemon.running

    @property
    def pid(self) -> int | None:
        return self.daemon.pid()

    @property
    def log(self) -> Path:
        return self.daemon.log

    def start(self) -> None:
        """Start it and return once it answers. Raises `CloudError`."""
        self.bring_up()

    def stop(self) -> None:
        """Ask it to end, kill it if it does not."""
        self.daemon.stop()

    def kill(self) -> None:
        """SIGKILL to its main process."""
        self.daemon.kill()

    def pause(self) -> None:
        """SIGSTOP: it holds its sockets and answers nothing."""
        self.daemon.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.daemon.resume()


@dataclass(frozen=True)
class StatusRow:
    """A line of `kurier-cloud status`."""

    name: str
    state: str
    detail: str
    healthy: bool


def status_row(daemon: Daemon, endpoint: str = "", answering: bool = True) -> StatusRow:
    """A process's row; `answering` is what its endpoint was found to do."""
    pid = daemon.pid()
    if pid is None:
        return StatusRow(daemon.name, "stopped", f"log {daemon.log}", False)
    detail = f"pid {pid}" + (f"  {endpoint}" if endpoint else "")
    return StatusRow(daemon.name, "running" if answering else "not answering", detail, answering)
