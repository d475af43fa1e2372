# SPDX-License-Identifier: Apache-2.0
"""The whole of a Neutron in memory: its effects come at once; its faces make them take time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from ipaddress import ip_address, ip_network
from random import Random

from kurier.model.errors import Code, KurierError
from kurier.model.ids import (
    NetworkId,
    PortId,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
    SubnetPoolId,
)
from kurier.model.neutron import (
    Capabilities,
    FixedIpRequest,
    Kind,
    Network,
    NetworkSpec,
    Port,
    Rule,
    SecurityGroup,
    Subnet,
    SubnetPool,
    SubnetSpec,
)
from tests.host.neutron.networks import Networks
from tests.host.neutron.ports import Ports
from tests.host.neutron.store import Store

AnyStore = Store[Network] | Store[Subnet] | Store[SubnetPool] | Store[Port] | Store[SecurityGroup]
PROJECT = "0123456789abcdef0123456789abcdef"


class Neutron:
    """One cloud. Tests reach into it as an operator does."""

    def __init__(self, chance: Random, now: Callable[[], datetime]) -> None:
        self.security_groups: Store[SecurityGroup] = Store("security group", chance)
        self.default_group = self.make_group("default")
        self.net = Networks(chance, PROJECT)
        self.port = Ports(chance, now, self.net, self.security_groups, self.default_group)
        self.dead: set[str] = set()
        """Hosts whose agents were not heard of lately."""
        self.policies: dict[QosPolicyId, str] = {}
        self.tags_on_create = True
        """Whether a port's create takes tags."""
        self.capabilities = Capabilities(
            dns=True, qos=True, port_security=True, revision_if_match=True
        )
        self._stores: dict[Kind, AnyStore] = {
            Kind.NETWORK: self.net.networks,
            Kind.SUBNET: self.net.subnets,
            Kind.SUBNET_POOL: self.net.pools,
            Kind.PORT: self.port.store,
            Kind.SECURITY_GROUP: self.security_groups,
        }

    # ── what there is ──

    @property
    def networks(self) -> dict[NetworkId, Network]:
        return self.net.networks.there

    @property
    def subnets(self) -> dict[SubnetId, Subnet]:
        return self.net.subnets.there

    @property
    def ports(self) -> dict[PortId, Port]:
        return self.port.store.there

    @property
    def groups(self) -> dict[SecurityGroupId, SecurityGroup]:
        return self.security_groups.there

    @property
    def chassis(self) -> set[str]:
        return self.port.chassis

    def tagged(self, kind: Kind) -> AnyStore:
        """The resources of a kind."""
        return self._stores[kind]

    def wired(self, port_id: PortId, host: str, up: bool) -> None:
        """OVN's word on a port."""
        self.port.wired(port_id, host, up)

    # ── what hangs together ──

    def begin_delete_network(self, network_id: NetworkId, revision: int | None) -> bool:
        """IN_USE, CHANGED; whether there is anything to delete."""
        there = self.net.begin_delete_network(network_id, revision)
        self._refuse_used_network(network_id)
        return there

    def end_delete_network(self, network_id: NetworkId) -> None:
        """IN_USE where a port came since."""
        self._refuse_used_network(network_id)
        self.net.end_delete_network(network_id)

    def begin_delete_subnet(self, subnet_id: SubnetId, revision: int | None) -> bool:
        """IN_USE, CHANGED; whether there is anything to delete."""
        users = [
            port
            for port in self.ports.values()
            if any(ip.subnet_id == subnet_id for ip in port.fixed_ips)
        ]
        if users:
            raise KurierError(Code.IN_USE, f"Subnet {subnet_id} is used by {users[0].id}.")
        return self.net.begin_delete_subnet(subnet_id, revision)

    def delete_group(self, group_id: SecurityGroupId) -> None:
        if any(group_id in port.security_groups for port in self.ports.values()):
            raise KurierError(Code.IN_USE, f"Security group {group_id} is worn by a port.")
        self.groups.pop(group_id, None)

    def set_rules(self, group_id: SecurityGroupId, rules: Sequence[Rule]) -> None:
        """All of them at once; BAD_REQUEST."""
        for one in rules:
            if (one.port_min or 0) > (one.port_max or 65535):
                raise KurierError(Code.BAD_REQUEST, f"Port {one.port_min} is after the last one.")
        self.security_groups.change(group_id, rules=tuple(rules))

    def _refuse_used_network(self, network_id: NetworkId) -> None:
        users = [port for port in self.ports.values() if port.network_id == network_id]
        if any(not port.device_owner.startswith("network:") for port in users):
            raise KurierError(Code.IN_USE, f"Network {network_id} has {len(users)} ports.")

    # ── an operator's hand ──

    def make_group(
        self,
        name: str,
        description: str = "",
        rules: Sequence[Rule] = (),
    ) -> SecurityGroupId:
        """QUOTA."""
        self.security_groups.require_room()
        identity = SecurityGroupId(self.security_groups.new_id())
        self.security_groups.add(SecurityGroup(identity, name, description, rules=tuple(rules)))
        return identity

    def make_network(self, name: str, *ranges: str, shared: bool = False) -> Network:
        """A network of an operator's, with a subnet for each range."""
        network = self.net.create_network(NetworkSpec(name, "", shared or None))
        for one in ranges:
            cidr = ip_network(one)
            spec = SubnetSpec(network.id, f"{name}-{cidr.version}", cidr.version, cidr=cidr)
            self.net.check_subnet(spec)
            self.net.make_subnet(spec)
        return network

    def requests(self, subnet: Subnet, address: str) -> tuple[FixedIpRequest, ...]:
        """One address of a subnet, for a port to make."""
        return (FixedIpRequest(subnet.id, ip_address(address)),)

    def make_subnet_pool(
        self, name: str, prefix: str, length: int, default: bool = False
    ) -> SubnetPoolId:
        """A subnet pool of an operator's."""
        cidr = ip_network(prefix)
        identity = SubnetPoolId(self.net.pools.new_id())
        self.net.pools.add(SubnetPool(identity, name, cidr.version, (cidr,), default))
        self.net.prefix_lengths[identity] = length
        return identity
