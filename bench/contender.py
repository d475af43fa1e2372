# SPDX-License-Identifier: Apache-2.0
"""A driver under measurement, and the Docker network that it serves."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from bench.kurier_daemon import KurierDaemon
from bench.proxy import Stopwatch
from localcloud.api import Cloud, CloudError, Host

_PATIENCE = 20  # seconds that a daemon that was just started may take until its first answer


class NotAvailable(Exception):
    """A driver that cannot be measured here, with the reason."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where and how contenders are set up."""

    cloud: Cloud
    host: Host
    folder: Path
    """For the daemons' files; gone after the run."""
    watched: bool = False
    """Whether a stop-watch stands before each daemon; it costs time itself."""
    pool: int = 0
    """Ready ports that a warm Kurier keeps."""
    reconcile: float = 3600.0
    """Seconds between Kurier's comparisons: no one's should fall into another's turn."""


@dataclass(slots=True)
class Contender:
    """A driver, its daemon if it has one, and the Docker network of its own."""

    name: str
    network: str
    space: IPv4Network | None = None
    """A /16 to make networks in; None for networks that every engine has."""
    driver: tuple[str, ...] = ()
    """What `docker network create` needs besides range and name."""
    options: tuple[str, ...] = ()
    """What only the contender's own network needs."""
    watch: Stopwatch | None = None
    process: subprocess.Popen[bytes] | None = None
    kurier: KurierDaemon | None = None
    spec: str = ""
    """The file inside the host that tells its engine where the daemon is, if there is one."""

    def create(self, name: str, number: int | None = None, *more: str) -> tuple[str, ...]:
        """Arguments of `docker network create`: the big range, or the small one of a number."""
        assert self.space is not None, f"{self.name} makes no networks"
        if number is None:
            cidr = next(self.space.subnets(new_prefix=20))
        else:
            cidr = list(self.space.subnets(new_prefix=24))[128 + number % 128]
        ranges = ("--subnet", str(cidr), "--gateway", str(cidr[1]))
        return ("network", "create", *self.driver, *ranges, *more, name)

    def set_up(self, host: Host) -> None:
        """Makes the network; one that a killed run left is taken away first, or used."""
        if self.space is None:
            return
        if _is_there(host, self.network):
            try:
                host.docker("network", "rm", self.network)
            except CloudError as error:  # engines lose count of a bridge's endpoints under load
                print(f"{self.name}: used as it was found: {error}", file=sys.stderr)
                return
        insist(lambda: host.docker(*self.create(self.network, None, *self.options)))

    def settle(self) -> None:
        """Waits until the daemon has nothing left to do for what was done so far."""
        if self.kurier:
            self.kurier.settled()

    def await_ready(self, count: int) -> None:
        """Waits until so many containers find a ready port each, where ports are kept ready."""
        if self.kurier:
            self.kurier.ready(self.network, count)

    @property
    def pid(self) -> int | None:
        """The daemon's process, if there is one."""
        return self.process.pid if self.process else None

    def take_down(self, host: Host) -> None:
        """Takes the network away and ends the daemon; what cannot be done is said."""
        try:
            if self.space is not None:
                host.docker("network", "rm", self.network)
                self.settle()
        except (CloudError, TimeoutError) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
        self.stop(host)

    def stop(self, host: Host) -> None:
        """Ends the daemon and its stop-watch."""
        if self.spec:
            host.run(["rm", "-f", self.spec])
        if self.watch:
            self.watch.stop()
        if self.process:
            self.process.terminate()
            self.process.wait(30)


def _is_there(host: Host, network: str) -> bool:
    return network in host.docker("network", "ls", "--format", "{{.Name}}").split()


def insist(action: Callable[[], object]) -> None:
    """Does what a daemon that was just started may refuse for some seconds."""
    for _ in range(_PATIENCE):
        try:
            action()
            return
        except CloudError:
            time.sleep(1)
    action()
