# SPDX-License-Identifier: Apache-2.0
"""The names that operators see in Neutron and on the host."""

from __future__ import annotations

import re

from kurier.model.ids import DockerNetworkId, EnvironmentId, IPNetwork, PoolId, PortKey
from kurier.model.swarm import is_definition
from kurier.model.tags import Mapping, environment_mark, host_mark

BID_PREFIX = "kuryr-bid-"
_GOING = "~going~"
_DESCRIBED = re.compile(r"Kurier: Docker network (\S+) of environment (.+)\Z")
_HELD = "Kurier: held for pool "
_LABEL = re.compile(r"[^a-z0-9-]+")


def network_name(prefix: str, network: DockerNetworkId, name: str = "") -> str:
    """A created network's name, as kuryr-libnetwork names its own: prefix and eight digits. One
    for a whole Swarm has its name instead of the digits.
    """
    return f"{prefix}{name if name and is_definition(network) else network[:8]}"


def bid_name(network: DockerNetworkId, host: str) -> str:
    """A network's name while several hosts may be making it at once; each host has its own."""
    return f"{BID_PREFIX}{network[:8]}-{host_mark(host)}"


def is_bid_of(name: str, host: str) -> bool:
    """Whether a network's name is this host's while it may be making one."""
    return name.startswith(BID_PREFIX) and lasting_name(name).endswith(f"-{host_mark(host)}")


def going_name(name: str, mark: str) -> str:
    """A network's name while its last user deletes it: whoever comes now must not use it.

    `mark` makes each try's name another one, so that Neutron counts it as a change.
    """
    return f"{name}{_GOING}{mark}"


def is_going(name: str) -> bool:
    """Whether a network's name says that it is being deleted."""
    return _GOING in name


def lasting_name(name: str) -> str:
    """The name before :func:`going_name`."""
    return name.partition(_GOING)[0]


def reserving_key(network: DockerNetworkId) -> str:
    """The `device_id` of ports that only keep an engine network's auxiliary addresses."""
    return f"aux-{network[:32]}"


def network_description(environment: str, network: DockerNetworkId) -> str:
    """A created network's description: the whole key to find it by when an answer was lost."""
    return f"Kurier: Docker network {network} of environment {environment}"


def subnet_description(network: DockerNetworkId) -> str:
    """A created subnet's description: whose it is before it has its tags."""
    return f"Kurier: Docker network {network}"


def described_mapping(description: str) -> Mapping | None:
    """What :func:`network_description` says of a network, or None where it says nothing."""
    found = _DESCRIBED.match(description)
    if not found:
        return None
    return Mapping(environment_mark(EnvironmentId(found[2])), DockerNetworkId(found[1]))


def held_name(pool: PoolId) -> str:
    """The name of a network that only holds a range drawn from a subnet pool."""
    return f"kuryr-held-{pool[:8]}"


def held_description(pool: PoolId) -> str:
    """The description of such a network: the whole key to find it by."""
    return f"{_HELD}{pool}"


def held_pool(description: str) -> PoolId | None:
    """The pool for which a network holds a range, or None where it holds none."""
    _, found, pool = description.partition(_HELD)
    return PoolId(pool) if found and pool else None


def subnet_name(cidr: IPNetwork) -> str:
    """A created subnet's name, as kuryr-libnetwork names its own."""
    return f"kuryr-subnet-{cidr}"


def port_name(lease: PortKey) -> str:
    """A port's name until its container is known."""
    return f"kuryr-{lease[:8]}"


def ready_description(network: DockerNetworkId) -> str:
    """What operators read on a port that waits."""
    return f"Kurier: ready for Docker network {network}"


def dns_label(hostname: str) -> str:
    """A host name as Neutron's `dns_name` takes it (RFC 1123 label); empty if nothing is left."""
    label = _LABEL.sub("-", hostname.split(".", maxsplit=1)[0].lower()).strip("-")
    return label[:63].strip("-")
