# SPDX-License-Identifier: Apache-2.0
"""What sessions that were killed left behind, taken away before the next one compares."""

from __future__ import annotations

import contextlib
import re

from openstack.connection import Connection
from openstack.exceptions import ConflictException

from kurier.model.tags import MADE, host_tag
from tests.cloud.stage.engine import Docker
from tests.cloud.stage.machine import Machine, leased_interfaces
from tests.cloud.stage.stage import LABEL


def sweep(machine: Machine, neutron: Connection, prefix: str) -> None:
    """Takes away what sessions on this host named: containers, networks."""
    docker = Docker(machine)
    dead = docker("ps", "-aq", "--filter", f"label={LABEL}").split()
    if dead:
        docker("rm", "-f", *dead)
    for name in docker("network", "ls", "--format", "{{.Name}}").split():
        if name.startswith("kt-"):
            docker("network", "rm", name, check=False)
    ours = re.compile(rf"{prefix}-[0-9a-f]{{4}}-")
    for network in neutron.network.networks():
        if ours.match(network.name):
            for port in neutron.network.ports(network_id=network.id):
                if not port.device_owner.startswith("network:"):
                    neutron.network.delete_port(port.id)
            neutron.network.delete_network(network.id)


def sweep_groups(neutron: Connection, prefix: str) -> None:
    """Takes away the security groups that sessions on this host named, once no port wears them."""
    ours = re.compile(rf"{prefix}-[0-9a-f]{{4}}-")
    for group in neutron.network.security_groups():
        if ours.match(group.name):
            neutron.network.delete_security_group(group.id)


def sweep_cloud(machine: Machine, neutron: Connection) -> None:
    """Takes away all that Kurier made on this host and in its cloud.

    For a local cloud that a session has to itself. A daemon that was killed in the middle of its
    work leaves ports, which the next one clears up in its own time: a test that looks in between
    would see them go, and blame itself.
    """
    mark = host_tag(machine.hostname)
    for port in neutron.network.ports(tags=[mark]):
        neutron.network.delete_port(port.id)
    for network in neutron.network.networks(tags=[MADE]):
        with contextlib.suppress(ConflictException):  # another host's ports are on it
            neutron.network.delete_network(network.id)
    for group in neutron.network.security_groups(tags=[MADE]):
        with contextlib.suppress(ConflictException):  # another host's ports wear it
            neutron.network.delete_security_group(group.id)
    for name in leased_interfaces(machine):
        machine.vsctl("--if-exists", "del-port", name)
        machine.run(["ip", "link", "del", name], check=False)
