# SPDX-License-Identifier: Apache-2.0
"""The host that a test runs on: one of the local cloud, or this machine beside a real cloud."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kurier.datapath.tables import LEASE_MARK
from localcloud.api import Host


class Machine(Protocol):
    """What the stage needs of a host; `localcloud.api.Host` is one."""

    @property
    def name(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def docker_command(self) -> list[str]: ...
    @property
    def ovsdb(self) -> str: ...
    @property
    def plugin_dir(self) -> Path: ...

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]: ...

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        seconds: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]: ...

    def vsctl(self, *arguments: str) -> str: ...


def leased_interfaces(machine: Machine) -> list[str]:
    """The names of the interfaces that Kurier plugged into a host's switch, for any lease."""
    return machine.vsctl(
        "--columns=name", "--bare", "find", "Interface", f"external_ids:{LEASE_MARK}!=none"
    ).split()


def local_host(machine: Machine) -> Host:
    """The host of the local cloud, whose parts a test may stop and change."""
    assert isinstance(machine, Host), "this test needs the mark `local_cloud`"
    return machine


class OwnMachine:
    """This machine with its own engine and switch, for a cloud that `OS_CLOUD` names."""

    name = "own"

    @property
    def hostname(self) -> str:
        told = self.run(
            ["ovs-vsctl", "get", "Open_vSwitch", ".", "external_ids:hostname"], check=False
        )
        return told.stdout.strip().strip('"') or socket.gethostname()

    @property
    def docker_command(self) -> list[str]:
        return ["docker"]

    @property
    def ovsdb(self) -> str:
        return os.environ.get("KURIER_TEST_OVSDB", "unix:/run/openvswitch/db.sock")

    @property
    def plugin_dir(self) -> Path:
        return Path("/run/docker/plugins")

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*argv], env={**os.environ, **(env or {})}, **options)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        seconds: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*argv],
            check=check,
            timeout=seconds,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
        )

    def vsctl(self, *arguments: str) -> str:
        return self.run(["ovs-vsctl", f"--db={self.ovsdb}", *arguments]).stdout
