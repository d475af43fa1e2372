# SPDX-License-Identifier: Apache-2.0
"""Everything a test could leave behind, before and after."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from openstack.connection import Connection

from kurier.model.ids import EnvironmentId
from kurier.model.tags import environment_tag
from tests.cloud.stage.engine import Docker
from tests.cloud.stage.machine import Machine

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""This process's name among those that test at once; empty where it is alone."""
SHARED = os.environ.get("KURIER_TEST_SHARED") == "1" or bool(WORKER)
"""Whether others use the same Neutron: only what is surely this session's is compared there."""

_BRIDGED = re.compile(r"veth[0-9a-f]{7}")
"""How the engine's own bridge driver names a link."""

Seen = dict[str, frozenset[str]]
Look = Callable[[], frozenset[str]]


@dataclass(frozen=True)
class Watch:
    """Looks at Neutron, the switch, the kernel and the engine."""

    neutron: Connection
    machine: Machine
    docker: Docker
    prefix: str
    environment: Callable[[], str]
    """The environment's id, for telling this session's things from others' in a shared cloud."""

    def snapshot(self) -> Seen:
        """What is there now, each thing as one line for people."""
        return _seen(self._of_neutron() | self._of_host())

    def neutron_alone(self) -> Seen:
        """Of that, what is in Neutron."""
        return _seen(self._of_neutron())

    def host_alone(self) -> Seen:
        """Of that, what is on the host."""
        return _seen(self._of_host())

    def _of_neutron(self) -> dict[str, Look]:
        return {
            "Neutron networks": self._networks,
            "Neutron subnets": self._subnets,
            "Neutron ports": self._ports,
            "Neutron subnet pools": self._pools,
            "Neutron security groups": self._groups,
        }

    def _of_host(self) -> dict[str, Look]:
        return {
            "Docker networks": self._docker_networks,
            "OVS ports": self._switch,
            "links": self._links,
        }

    def _mine(self, one: Any) -> bool:
        if not SHARED:
            return True
        mark = environment_tag(EnvironmentId(self.environment()))
        return str(one.name).startswith(self.prefix) or mark in (one.tags or ())

    def _networks(self) -> frozenset[str]:
        return frozenset(
            f"{one.id} {one.name} {sorted(one.tags)}"
            for one in self.neutron.network.networks()
            if self._mine(one) or (SHARED and self._of_engine(one))
        )

    def _of_engine(self, network: Any) -> bool:
        return self.environment() in (network.description or "")

    def _subnets(self) -> frozenset[str]:
        return frozenset(
            f"{one.id} {one.name} {one.cidr} {sorted(one.tags)}"
            for one in self.neutron.network.subnets()
            if self._mine(one)
        )

    def _ports(self) -> frozenset[str]:
        return frozenset(
            f"{one.id} {one.name} {sorted(ip['ip_address'] for ip in one.fixed_ips)} "
            f"{one.device_owner} {one.device_id} {one.binding_host_id} "
            f"{sorted(one.security_group_ids)} {sorted(one.tags)}"
            for one in self.neutron.network.ports()
            if self._mine(one) and one.device_owner != "network:distributed"
        )

    def _pools(self) -> frozenset[str]:
        return frozenset(
            f"{one.id} {one.name} {sorted(one.tags)}"
            for one in self.neutron.network.subnet_pools()
            if self._mine(one)
        )

    def _groups(self) -> frozenset[str]:
        return frozenset(
            f"{one.id} {one.name} {sorted(one.tags)} {len(one.security_group_rules)} rules"
            for one in self.neutron.network.security_groups()
            if self._mine(one)
        )

    def _switch(self) -> frozenset[str]:
        # ovn-controller makes tunnels and patch ports as other hosts and networks need them.
        return frozenset(
            name
            for name in self.machine.vsctl("list-ports", "br-int").split()
            if not name.startswith(("patch-", "ovn-"))
        )

    def _links(self) -> frozenset[str]:
        listed = self.machine.run(["ip", "-o", "link"]).stdout.splitlines()
        names = (line.split(": ")[1].partition("@")[0] for line in listed)
        # Neutron's metadata taps and OVS's own devices come and go with networks, not with us.
        theirs = ("patch-", "genev", "docker_gwbridge")
        # The engine connects Swarm's own sandbox to a bridge some time after it joined.
        return frozenset(
            name for name in names if not (name.startswith(theirs) or _BRIDGED.fullmatch(name))
        )

    def _docker_networks(self) -> frozenset[str]:
        return frozenset(
            line
            for line in self.docker("network", "ls", "--format", "{{.Name}} {{.ID}}").splitlines()
            # The engine makes its own networks anew, under new ids, where it starts without them,
            # and another bridge whenever it joins a Swarm.
            if not line.startswith(("bridge ", "docker_gwbridge ", "host ", "none "))
        )


def _seen(looks: Mapping[str, Look]) -> Seen:
    """All looks at once."""
    with ThreadPoolExecutor(len(looks)) as workers:
        futures = {name: workers.submit(look) for name, look in looks.items()}
        return {name: future.result() for name, future in futures.items()}


def difference(before: Seen, after: Seen) -> str:
    """What came and what went, one line each; empty where nothing did."""
    lines = []
    for what, was in before.items():
        lines += [f"{what}: new   {line}" for line in sorted(after[what] - was)]
        lines += [f"{what}: gone  {line}" for line in sorted(was - after[what])]
    return "\n".join(lines)
