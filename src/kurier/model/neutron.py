# SPDX-License-Identifier: Apache-2.0
"""Neutron's resources as values: what Kurier reads of them and what it asks for.

Field names follow the Networking API v2.0 reference (https://docs.openstack.org/api-ref/network/v2/).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from kurier.model.ids import (
    IPAddress,
    IPNetwork,
    NetworkId,
    PortId,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
    SubnetPoolId,
)


class Kind(StrEnum):
    """The collections that Neutron tags, as they stand in its URLs."""

    NETWORK = "networks"
    SUBNET = "subnets"
    SUBNET_POOL = "subnetpools"
    PORT = "ports"
    SECURITY_GROUP = "security-groups"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this cloud offers, read once from `/v2.0/extensions`."""

    dns: bool = False
    qos: bool = False
    port_security: bool = False
    revision_if_match: bool = False
    standard_attr_tag: bool = True
    floating_ips: bool = False
    port_forwardings: bool = False
    """Whether a list of floating IPs tells their port forwardings."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One of Neutron's agents, and whether it was heard of lately (its `agent_down_time`)."""

    host: str
    alive: bool


@dataclass(frozen=True, slots=True)
class Network:
    """A Neutron network. `mtu` in bytes; `revision` for If-Match."""

    id: NetworkId
    name: str
    description: str = ""
    mtu: int = 1500
    tags: frozenset[str] = frozenset()
    revision: int = 0
    shared: bool = False
    project_id: str = ""
    port_security: bool = True


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network to create; `description` carries the ownership, as Neutron takes no tags here."""

    name: str
    description: str
    shared: bool | None = None
    port_security: bool | None = None


@dataclass(frozen=True, slots=True)
class HostRoute:
    """A subnet's extra route (RFC 3442)."""

    destination: IPNetwork
    next_hop: IPAddress


@dataclass(frozen=True, slots=True)
class Range:
    """An allocation pool, both ends included."""

    start: IPAddress
    end: IPAddress


@dataclass(frozen=True, slots=True)
class Subnet:
    """A Neutron subnet."""

    id: SubnetId
    network_id: NetworkId
    name: str
    cidr: IPNetwork
    gateway: IPAddress | None = None
    allocation_pools: tuple[Range, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    subnet_pool_id: SubnetPoolId | None = None
    tags: frozenset[str] = frozenset()
    revision: int = 0
    address_mode: str = ""
    """`ipv6_address_mode`; `slaac` and `dhcpv6-stateless` derive addresses from MACs."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class SubnetSpec:
    """A subnet to create; `cidr` None takes the next range of `subnet_pool_id`."""

    network_id: NetworkId
    name: str
    ip_version: int
    description: str = ""
    cidr: IPNetwork | None = None
    gateway: IPAddress | None = None
    no_gateway: bool = False
    allocation_pools: tuple[Range, ...] = ()
    subnet_pool_id: SubnetPoolId | None = None
    enable_dhcp: bool = True


@dataclass(frozen=True, slots=True)
class SubnetPool:
    """A Neutron subnet pool."""

    id: SubnetPoolId
    name: str
    ip_version: int
    prefixes: tuple[IPNetwork, ...] = ()
    is_default: bool = False
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FixedIp:
    """One address of a port."""

    subnet_id: SubnetId
    address: IPAddress


@dataclass(frozen=True, slots=True)
class FixedIpRequest:
    """One address to ask for: any of the subnet's where `address` is None."""

    subnet_id: SubnetId
    address: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A Neutron port. Binding fields are empty where the caller's role may not see them."""

    id: PortId
    network_id: NetworkId
    mac: str
    fixed_ips: tuple[FixedIp, ...] = ()
    name: str = ""
    description: str = ""
    status: str = ""
    device_id: str = ""
    device_owner: str = ""
    host_id: str = ""
    vif_type: str = ""
    vif_hybrid_plug: bool = False
    bound_driver: str = ""
    """`binding:vif_details.bound_drivers` of the last level, e.g. ``ovn`` or ``openvswitch``."""
    security_groups: tuple[SecurityGroupId, ...] = ()
    qos_policy_id: QosPolicyId | None = None
    port_security: bool = True
    dns_name: str = ""
    tags: frozenset[str] = frozenset()
    created_at: str = ""
    revision: int = 0
    others: tuple[tuple[str, str], ...] = ()
    """Every further field that an operator may set and that says something, with its value as JSON,
    by name: what Kurier does not know of must not go unnoticed.
    """


@dataclass(frozen=True, slots=True)
class PortSpec:
    """A port to create. What is None is left to Neutron; `host_id` empty asks for no binding."""

    network_id: NetworkId
    name: str
    device_id: str
    device_owner: str
    host_id: str
    fixed_ips: tuple[FixedIpRequest, ...]
    mac: str | None = None
    security_groups: tuple[SecurityGroupId, ...] | None = None
    qos_policy_id: QosPolicyId | None = None
    port_security: bool | None = None
    description: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PortChange:
    """Fields to change on a port; None leaves a field as it is.

    An empty `qos_policy_id` string takes the policy away.
    """

    name: str | None = None
    description: str | None = None
    device_id: str | None = None
    device_owner: str | None = None
    host_id: str | None = None
    mac: str | None = None
    fixed_ips: tuple[FixedIpRequest, ...] | None = None
    security_groups: tuple[SecurityGroupId, ...] | None = None
    qos_policy_id: str | None = None
    port_security: bool | None = None
    dns_name: str | None = None

    def is_empty(self) -> bool:
        """Whether there is nothing to change."""
        return self == PortChange()


@dataclass(frozen=True, slots=True)
class PortFilter:
    """Which ports to list; every given field must match."""

    network_id: NetworkId | None = None
    device_id: str | None = None
    device_owner: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    subnet_id: SubnetId | None = None
    address: IPAddress | None = None
    device_ids: tuple[str, ...] = ()
    """Any of these; empty asks for none in particular. Some hundred at most: they go into a URL."""
    ids: tuple[PortId, ...] = ()
    """The same of the ports' own ids."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One ingress permission: an IP protocol by its IANA name and an inclusive port range."""

    protocol: str
    port_min: int | None
    port_max: int | None
    ethertype: str = "IPv4"


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group, as far as Kurier needs it."""

    id: SecurityGroupId
    name: str
    description: str = ""
    tags: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = field(default=())
