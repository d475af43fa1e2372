# SPDX-License-Identifier: Apache-2.0
"""What an engine asks and what it is answered, free of the wire's spelling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

from kurier.model.ids import DockerNetworkId, EndpointId, IPAddress, IPNetwork, PoolId
from kurier.model.neutron import Rule

IPInterface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class PoolAsk:
    """RequestPool. `cidr` None leaves the range to Kurier; `ip_range` is `--ip-range`."""

    space: str
    cidr: IPNetwork | None
    ip_range: IPNetwork | None
    options: Mapping[str, str]
    v6: bool


@dataclass(frozen=True, slots=True)
class PoolAnswer:
    """The pool; with `gateway` the engine does not ask for one, unless its user names another."""

    pool_id: PoolId
    cidr: IPNetwork
    gateway: IPInterface | None = None


@dataclass(frozen=True, slots=True)
class AddressAsk:
    """RequestAddress. `gateway` where the engine says that it asks for the gateway."""

    pool_id: PoolId
    address: IPAddress | None
    gateway: bool = False


@dataclass(frozen=True, slots=True)
class PoolData:
    """One range of a CreateNetwork."""

    cidr: IPNetwork
    gateway: IPAddress | None = None
    auxiliary: Mapping[str, IPAddress] = field(default_factory=dict)
    ours: bool = False
    """Whether Kurier's own IPAM driver gave the range out."""


@dataclass(frozen=True, slots=True)
class NetworkAsk:
    """CreateNetwork."""

    id: DockerNetworkId
    options: Mapping[str, str]
    internal: bool
    ipv6: bool
    pools: tuple[PoolData, ...]
    name: str = ""
    """Its name, where that is known beforehand: a network's for a whole Swarm."""


@dataclass(frozen=True, slots=True)
class EndpointAsk:
    """CreateEndpoint. Empty fields were left to the driver."""

    network: DockerNetworkId
    endpoint: EndpointId
    address_v4: IPv4Interface | None = None
    address_v6: IPv6Interface | None = None
    mac: str = ""
    policy_options: Mapping[str, str] = field(default_factory=dict)
    exposed: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """Only what the driver adds: an engine refuses to be told what it told."""

    mac: str | None = None
    address_v4: IPv4Interface | None = None
    address_v6: IPv6Interface | None = None


@dataclass(frozen=True, slots=True)
class JoinAsk:
    """Join. `sandbox` is any path."""

    network: DockerNetworkId
    endpoint: EndpointId
    sandbox: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """A static route; without `next_hop` it is on the link."""

    destination: IPNetwork
    next_hop: IPAddress | None


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """What the engine shall set up in the sandbox."""

    device: str
    prefix: str
    gateway_v4: IPAddress | None
    gateway_v6: IPAddress | None
    routes: tuple[RouteAnswer, ...]
    disable_gateway_service: bool
