# SPDX-License-Identifier: Apache-2.0
"""Neutron's JSON as typed structs, and from them the model's values.

Fields that a role may not see, or that an extension brings, have defaults: their absence is
normal. What the API promises to everybody has none, and its absence is an error.
"""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import msgspec
from msgspec import Struct, field

from kurier.model.ids import (
    NetworkId,
    PortId,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
    SubnetPoolId,
)
from kurier.model.neutron import (
    Agent,
    FixedIp,
    HostRoute,
    Network,
    Port,
    Range,
    Rule,
    SecurityGroup,
    Subnet,
    SubnetPool,
)


class WireNetwork(Struct):
    id: str
    name: str
    description: str | None = None
    mtu: int | None = None
    tags: list[str] = []
    revision_number: int = 0
    shared: bool = False
    project_id: str | None = None
    port_security_enabled: bool | None = None

    def value(self) -> Network:
        return Network(
            id=NetworkId(self.id),
            name=self.name,
            description=self.description or "",
            mtu=self.mtu or 1500,
            tags=frozenset(self.tags),
            revision=self.revision_number,
            shared=self.shared,
            project_id=self.project_id or "",
            port_security=self.port_security_enabled is not False,
        )


class WireRoute(Struct):
    destination: str
    nexthop: str


class WireRange(Struct):
    start: str
    end: str


class WireSubnet(Struct):
    id: str
    network_id: str
    name: str
    cidr: str
    gateway_ip: str | None = None
    allocation_pools: list[WireRange] = []
    host_routes: list[WireRoute] = []
    subnetpool_id: str | None = None
    tags: list[str] = []
    revision_number: int = 0
    ipv6_address_mode: str | None = None
    description: str | None = None

    def value(self) -> Subnet:
        return Subnet(
            id=SubnetId(self.id),
            network_id=NetworkId(self.network_id),
            name=self.name,
            cidr=ip_network(self.cidr),
            gateway=ip_address(self.gateway_ip) if self.gateway_ip else None,
            allocation_pools=tuple(
                Range(ip_address(pool.start), ip_address(pool.end))
                for pool in self.allocation_pools
            ),
            host_routes=tuple(
                HostRoute(ip_network(route.destination), ip_address(route.nexthop))
                for route in self.host_routes
            ),
            subnet_pool_id=SubnetPoolId(self.subnetpool_id) if self.subnetpool_id else None,
            tags=frozenset(self.tags),
            revision=self.revision_number,
            address_mode=self.ipv6_address_mode or "",
            description=self.description or "",
        )


class WireSubnetPool(Struct):
    id: str
    name: str
    ip_version: int
    prefixes: list[str] = []
    is_default: bool = False
    tags: list[str] = []

    def value(self) -> SubnetPool:
        return SubnetPool(
            id=SubnetPoolId(self.id),
            name=self.name,
            ip_version=self.ip_version,
            prefixes=tuple(ip_network(prefix) for prefix in self.prefixes),
            is_default=self.is_default,
            tags=frozenset(self.tags),
        )


class WireFixedIp(Struct):
    subnet_id: str
    ip_address: str

    def value(self) -> FixedIp:
        return FixedIp(SubnetId(self.subnet_id), ip_address(self.ip_address))


class WireVif(Struct):
    """What Kurier reads of `binding:vif_details`; each mechanism driver adds its own."""

    ovs_hybrid_plug: bool = False
    bound_drivers: dict[str, str] = {}

    def lowest_driver(self) -> str:
        """The driver of the last binding level, which is the one that wires this host."""
        levels = sorted(self.bound_drivers, key=lambda level: int(level) if level.isdigit() else 0)
        return self.bound_drivers[levels[-1]] if levels else ""


_NOT_AN_OPERATORS = frozenset(
    {
        "binding:vif_details",
        "binding:vif_type",
        "created_at",
        "dns_assignment",
        "fixed_ips",
        "id",
        "ip_allocation",
        "mac_address",
        "network_id",
        "project_id",
        "qos_network_policy_id",
        "resource_request",
        "standard_attr_id",
        "status",
        "tenant_id",
        "updated_at",
    }
)
"""Fields of a port that Neutron itself sets, or that never change."""


class WirePort(Struct):
    id: str
    network_id: str
    mac_address: str
    fixed_ips: list[WireFixedIp] = []
    name: str | None = None
    description: str | None = None
    status: str | None = None
    device_id: str | None = None
    device_owner: str | None = None
    host_id: str | None = field(default=None, name="binding:host_id")
    vif_type: str | None = field(default=None, name="binding:vif_type")
    vif: WireVif | None = field(default=None, name="binding:vif_details")
    security_groups: list[str] = []
    qos_policy_id: str | None = None
    port_security_enabled: bool | None = None
    dns_name: str | None = None
    tags: list[str] = []
    created_at: str | None = None
    revision_number: int = 0
    others: tuple[tuple[str, str], ...] = field(default=(), name="not of the wire")

    def keep(self, fields: dict[str, msgspec.Raw]) -> None:
        """Takes the fields that the struct has no place for; those that say nothing are left."""
        found = {name: msgspec.json.decode(fields[name]) for name in fields.keys() - _NOT_OTHERS}
        self.others = tuple(
            (name, json.dumps(value, sort_keys=True))
            for name, value in sorted(found.items())
            if value not in (None, "", [], {})
        )

    def value(self) -> Port:
        vif = self.vif or WireVif()
        return Port(
            id=PortId(self.id),
            network_id=NetworkId(self.network_id),
            mac=self.mac_address,
            fixed_ips=tuple(fixed.value() for fixed in self.fixed_ips),
            name=self.name or "",
            description=self.description or "",
            status=self.status or "",
            device_id=self.device_id or "",
            device_owner=self.device_owner or "",
            host_id=self.host_id or "",
            vif_type=self.vif_type or "",
            vif_hybrid_plug=vif.ovs_hybrid_plug,
            bound_driver=vif.lowest_driver(),
            security_groups=tuple(SecurityGroupId(group) for group in self.security_groups),
            qos_policy_id=QosPolicyId(self.qos_policy_id) if self.qos_policy_id else None,
            port_security=self.port_security_enabled is not False,
            dns_name=self.dns_name or "",
            tags=frozenset(self.tags),
            created_at=self.created_at or "",
            revision=self.revision_number,
            others=self.others,
        )


_NOT_OTHERS = _NOT_AN_OPERATORS | {one.encode_name for one in msgspec.structs.fields(WirePort)}


class WireRule(Struct):
    id: str
    direction: str
    ethertype: str | None = None
    protocol: str | int | None = None
    port_range_min: int | None = None
    port_range_max: int | None = None

    def value(self) -> Rule:
        return Rule(
            protocol=str(self.protocol if self.protocol is not None else "any"),
            port_min=self.port_range_min,
            port_max=self.port_range_max,
            ethertype=self.ethertype or "IPv4",
        )


class WireSecurityGroup(Struct):
    id: str
    name: str
    description: str | None = None
    tags: list[str] = []
    security_group_rules: list[WireRule] = []

    def value(self) -> SecurityGroup:
        return SecurityGroup(
            id=SecurityGroupId(self.id),
            name=self.name,
            description=self.description or "",
            tags=frozenset(self.tags),
            rules=tuple(
                rule.value() for rule in self.security_group_rules if rule.direction == "ingress"
            ),
        )

    def egress(self) -> tuple[str, ...]:
        """The ids of the rules that let traffic out."""
        return tuple(rule.id for rule in self.security_group_rules if rule.direction == "egress")


class WireQosPolicy(Struct):
    id: str

    def value(self) -> QosPolicyId:
        return QosPolicyId(self.id)


class WireForwarding(Struct):
    internal_port_id: str = ""


class WireFloatingIp(Struct):
    id: str
    port_id: str | None = None
    port_forwardings: list[WireForwarding] = []

    def value(self) -> frozenset[PortId]:
        """The ports that it leads to."""
        told = [self.port_id, *(one.internal_port_id for one in self.port_forwardings)]
        return frozenset(PortId(one) for one in told if one)


class WireAgent(Struct):
    id: str
    host: str
    alive: bool = False

    def value(self) -> Agent:
        return Agent(self.host, self.alive)


class WireExtension(Struct):
    alias: str

    def value(self) -> str:
        return self.alias


class Link(Struct):
    """A link of a list that came in pages."""

    rel: str
    href: str = ""


Page = dict[str, msgspec.Raw]
"""A list's answer: the items under the collection's name, links under ``…_links``."""
