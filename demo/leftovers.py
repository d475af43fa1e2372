# SPDX-License-Identifier: Apache-2.0
"""Takes away what the story made, at its end and, if one was cut off, before the next."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import openstack

from demo.daemon import settled
from demo.place import Place
from demo.telling import Teller
from localcloud.guests import records

CONTAINERS = ("demo-a", "demo-b", "demo-client", "demo-phone")
NETWORKS = ("demo-blue", "demo-prod", "demo-metal")
VM = "demo-vm"
METAL = "demo-bm"
PROD = "kurier-demo-prod"
PROVIDER = "kurier-demo-metal"
GROUP = "kurier-demo-vm"


def remove_docker(teller: Teller) -> bool:
    """Containers, then networks, through the daemon; tells whether there was anything."""
    containers = _there(teller, "ps", "--all", "--format", "{{.Names}}", ours=CONTAINERS)
    if containers:
        teller.quietly("docker", "rm", "--force", *containers)
    networks = _there(teller, "network", "ls", "--format", "{{.Name}}", ours=NETWORKS)
    for network in networks:
        teller.quietly("docker", "network", "rm", network)
    if containers or networks:
        settled(teller)
    return bool(containers or networks)


def remove_guests(place: Place) -> None:
    """The VM and the bare-metal host, as they were written down when they were started."""
    if place.host is None:
        return
    layout = place.host.place.layout
    for record in list(records.all_records(layout)):
        if record.name in (VM, METAL) and record.host_index == place.host.place.index:
            record.remove(layout)


def remove_neutron() -> None:
    """Networks with all that is on them, and the VM's security group."""
    network = openstack.connect(cloud=os.environ.get("OS_CLOUD")).network
    for name in (PROD, PROVIDER):
        for one in network.networks(name=name):
            for port in network.ports(network_id=one.id):
                network.delete_port(port)
            network.delete_network(one)
    _delete(network.security_groups(name=GROUP), network.delete_security_group)


def _delete(found: Iterable[Any], delete: Callable[[Any], object]) -> None:
    for one in found:
        delete(one)


def _there(teller: Teller, *arguments: str, ours: tuple[str, ...]) -> list[str]:
    return [one for one in teller.quietly("docker", *arguments).split() if one in ours]
