# SPDX-License-Identifier: Apache-2.0
"""Debian packages: installed only where a command is missing, without starting any service.

Packages that are only read from (another suite's engines, a guest's kernel) are downloaded with
a private apt configuration and unpacked below the state folder; see `localcloud.debs`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .commands import attempt, run, succeeds
from .locks import held

POLICY_FILE = Path("/usr/sbin/policy-rc.d")
_FORMER_POLICY = Path("/usr/sbin/policy-rc.d.before-kurier-cloud")
_POLICY_MARK = "# kurier-cloud: no service is started while packages are installed"
_POLICY_TEXT = f"#!/bin/sh\n{_POLICY_MARK}\nexit 101\n"
_LOCK = Path("/run/lock/kurier-cloud-packages")  # The machine has one apt.


@dataclass(frozen=True)
class Requirement:
    """A command, the package that brings it and the units that package would start at boot."""

    command: str
    package: str
    units: tuple[str, ...] = ()


BASE = (
    Requirement("mariadbd", "mariadb-server-core"),
    Requirement("my_print_defaults", "mariadb-client-core"),
    Requirement(
        "ovs-vswitchd",
        "openvswitch-switch",
        ("openvswitch-switch.service", "ovs-vswitchd.service", "ovsdb-server.service"),
    ),
    Requirement(
        "ovn-northd",
        "ovn-central",
        (
            "ovn-central.service",
            "ovn-northd.service",
            "ovn-ovsdb-server-nb.service",
            "ovn-ovsdb-server-sb.service",
        ),
    ),
    Requirement("ovn-controller", "ovn-host", ("ovn-host.service", "ovn-controller.service")),
    Requirement("ip", "iproute2"),
    Requirement("ethtool", "ethtool"),
    Requirement("iptables", "iptables"),
    Requirement("nsenter", "util-linux"),
)
ENGINE = (
    Requirement("dockerd", "docker.io", ("docker.service", "docker.socket", "containerd.service")),
)
GUEST = (Requirement("qemu-system-x86_64", "qemu-system-x86"),)


def find(command: str) -> str | None:
    """The path of a command, also where root's PATH lacks the sbin folders."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin:/usr/bin:/bin")


def ensure(requirements: tuple[Requirement, ...], log: Path) -> str:
    """Install what is missing and return a word for it. Raises `CloudError`."""
    with held(_LOCK):
        missing = [need for need in requirements if find(need.command) is None]
        packages = [need.package for need in missing]
        if not venv_possible():
            packages.append("python3-venv")
        release_services()
        if not packages:
            return "there already"
        install(packages, log)
        _disable([unit for need in missing for unit in need.units])
        return f"{len(packages)} installed"


def venv_possible() -> bool:
    """Whether Debian's own Python can make environments."""
    return succeeds(["/usr/bin/python3", "-c", "import ensurepip, venv"])


def install(packages: list[str], log: Path) -> None:
    """`apt-get update` and `install`, services left alone. Raises `CloudError`."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], what="apt-get update", env=quiet, log=log)
    with services_held():
        attempt(["dpkg", "--configure", "-a"], env=quiet, seconds=600)  # After a killed install.
        run(
            [
                "apt-get",
                "install",
                "-y",
                "--no-install-recommends",
                "-o",
                "DPkg::Lock::Timeout=300",
                *packages,
            ],
            what="Installing " + " ".join(packages),
            env=quiet,
            log=log,
            seconds=1800,
        )


@contextlib.contextmanager
def services_held() -> Iterator[None]:
    """While inside, invoke-rc.d starts nothing (policy-rc.d, Debian Policy 9.3.3.1)."""
    release_services()
    if POLICY_FILE.exists():
        POLICY_FILE.rename(_FORMER_POLICY)
    POLICY_FILE.write_text(_POLICY_TEXT)
    POLICY_FILE.chmod(0o755)
    try:
        yield
    finally:
        release_services()


def release_services() -> None:
    """Give the machine its own policy-rc.d back, also after a run that was killed."""
    if POLICY_FILE.exists() and _POLICY_MARK in POLICY_FILE.read_text():
        POLICY_FILE.unlink()
    if _FORMER_POLICY.exists():
        _FORMER_POLICY.rename(POLICY_FILE)


def _disable(units: list[str]) -> None:
    """Keep the freshly installed packages' services from starting at the next boot."""
    if not units or find("systemctl") is None:
        return
    known = [
        unit
        for unit in units
        if any(
            (Path(folder) / unit).exists()
            for folder in ("/lib/systemd/system", "/usr/lib/systemd/system")
        )
    ]
    if known:
        attempt(["systemctl", "disable", *known])
