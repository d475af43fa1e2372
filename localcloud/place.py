# SPDX-License-Identifier: Apache-2.0
"""A host of the cloud as a place: which namespaces, folders and device names are its own.

The first host is the machine itself. Every further one is a network namespace with a mount and
a UTS namespace, in which `/run` and `/etc/docker` are private: engines look for plugins in
`/run/docker/plugins` and keep their identity in `/etc/docker`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from .layout import Layout


@dataclass(frozen=True)
class Place:
    """Host number `index`, counted from 1."""

    layout: Layout
    index: int

    @property
    def name(self) -> str:
        return f"host{self.index}"

    @property
    def is_machine(self) -> bool:
        return self.index == 1

    @property
    def hostname(self) -> str:
        """What Neutron's `binding:host_id` must say for ports of this host."""
        return socket.gethostname() if self.is_machine else self.name

    @property
    def netns(self) -> str | None:
        """Name of the network namespace, None for the machine's own."""
        return None if self.is_machine else f"{self.layout.settings.prefix}-{self.name}"

    @property
    def folder(self) -> Path:
        return self.layout.host(self.name)

    @property
    def run(self) -> Path:
        """This host's `/run`, as the machine sees it."""
        return Path("/run") if self.is_machine else self.folder / "run"

    @property
    def openvswitch(self) -> Path:
        """Folder of this host's Open vSwitch sockets, the same path inside and outside."""
        return self.folder / "ovs" if self.is_machine else self.run / "openvswitch"

    @property
    def mount_namespace(self) -> Path:
        return self.layout.namespaces / f"{self.name}.mnt"

    @property
    def uts_namespace(self) -> Path:
        return self.layout.namespaces / f"{self.name}.uts"

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command to run it inside this host.

        Not `ip netns exec`: that mounts a fresh /sys, and engines then find no cgroups.
        """
        if self.is_machine:
            return ()
        return (
            "nsenter",
            f"--net=/run/netns/{self.netns}",
            f"--mount={self.mount_namespace}",
            f"--uts={self.uts_namespace}",
            "--",
        )

    @property
    def tunnel_address(self) -> IPv4Address:
        """The end of this host's Geneve tunnels."""
        return self.layout.settings.underlay[self.index]

    @property
    def management_address(self) -> IPv4Address:
        return self.layout.settings.management[self.index]

    def device(self, plane: str) -> str:
        """This host's network card on a plane ("m", "t" or "p"; see `network.PLANES`)."""
        return f"{self.layout.settings.prefix}-{plane}{self.index}"


def places(layout: Layout) -> list[Place]:
    """All hosts of the cloud, the machine first."""
    return [Place(layout, index) for index in range(1, layout.settings.hosts + 1)]
