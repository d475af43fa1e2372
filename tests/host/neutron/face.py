# SPDX-License-Identifier: Apache-2.0
"""One host's way to the Neutron in memory: fulfils `kurier.service.protocols.Cloud`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kurier.model.errors import Code, KurierError
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
from kurier.model.neutron import (
    Agent,
    Capabilities,
    Kind,
    Network,
    NetworkSpec,
    Port,
    PortChange,
    PortFilter,
    PortSpec,
    Rule,
    SecurityGroup,
    Subnet,
    SubnetPool,
    SubnetSpec,
)
from tests.host.gate import Gate
from tests.host.neutron.state import Neutron


class NeutronFace:
    """Each call passes the gate; those that are several of Neutron's pass it as often."""

    def __init__(self, neutron: Neutron, gate: Gate) -> None:
        self._neutron = neutron
        self._net = neutron.net
        self._call = gate.call
        self._whole = gate.whole

    async def capabilities(self) -> Capabilities:
        return self._neutron.capabilities

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network:
        return await self._call("network", lambda: self._net.networks.get(network_id))

    async def networks(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Network]:
        def find() -> list[Network]:
            return [
                one
                for one in self._neutron.networks.values()
                if name in (None, one.name)
                and description in (None, one.description)
                and one.tags.issuperset(tags)
            ]

        return await self._call("networks", find)

    async def create_network(self, spec: NetworkSpec) -> Network:
        return await self._call("create_network", lambda: self._net.create_network(spec))

    async def rename_network(
        self, network_id: NetworkId, name: str, description: str, revision: int | None = None
    ) -> Network:
        def rename() -> Network:
            return self._net.rename_network(network_id, name, description, revision)

        return await self._call("rename_network", rename)

    async def delete_network(self, network_id: NetworkId, revision: int | None = None) -> None:
        await self._whole(self._delete_network(network_id, revision))

    async def _delete_network(self, network_id: NetworkId, revision: int | None) -> None:
        def begin() -> bool:
            return self._neutron.begin_delete_network(network_id, revision)

        if await self._call("delete_network", begin):
            await self._call("network_goes", lambda: self._neutron.end_delete_network(network_id))

    # ── subnets ──

    async def subnet(self, subnet_id: SubnetId) -> Subnet:
        return await self._call("subnet", lambda: self._net.subnets.get(subnet_id))

    async def subnets(
        self,
        *,
        network_id: NetworkId | None = None,
        name: str | None = None,
        cidr: IPNetwork | None = None,
        subnet_pool_id: SubnetPoolId | None = None,
        tags: Sequence[str] = (),
    ) -> list[Subnet]:
        def find() -> list[Subnet]:
            return [
                one
                for one in self._neutron.subnets.values()
                if network_id in (None, one.network_id)
                and name in (None, one.name)
                and cidr in (None, one.cidr)
                and subnet_pool_id in (None, one.subnet_pool_id)
                and one.tags.issuperset(tags)
            ]

        return await self._call("subnets", find)

    async def create_subnet(self, spec: SubnetSpec) -> Subnet:
        return await self._whole(self._create_subnet(spec))

    async def _create_subnet(self, spec: SubnetSpec) -> Subnet:
        await self._call("check_subnet", lambda: self._net.check_subnet(spec))
        return await self._call("create_subnet", lambda: self._net.make_subnet(spec))

    async def set_subnet_gateway(self, subnet_id: SubnetId, gateway: IPAddress | None) -> Subnet:
        return await self._call(
            "set_subnet_gateway", lambda: self._net.set_gateway(subnet_id, gateway)
        )

    async def delete_subnet(self, subnet_id: SubnetId, revision: int | None = None) -> None:
        await self._whole(self._delete_subnet(subnet_id, revision))

    async def _delete_subnet(self, subnet_id: SubnetId, revision: int | None) -> None:
        def begin() -> bool:
            return self._neutron.begin_delete_subnet(subnet_id, revision)

        if await self._call("delete_subnet", begin):
            await self._call("subnet_goes", lambda: self._net.end_delete_subnet(subnet_id))

    async def subnet_pool(self, pool_id: SubnetPoolId) -> SubnetPool:
        return await self._call("subnet_pool", lambda: self._net.pools.get(pool_id))

    async def subnet_pools(
        self,
        *,
        name: str | None = None,
        default: bool | None = None,
        ip_version: int | None = None,
    ) -> list[SubnetPool]:
        def find() -> list[SubnetPool]:
            return [
                one
                for one in self._net.pools.there.values()
                if name in (None, one.name)
                and default in (None, one.is_default)
                and ip_version in (None, one.ip_version)
            ]

        return await self._call("subnet_pools", find)

    async def delete_subnet_pool(self, pool_id: SubnetPoolId) -> None:
        await self._call("delete_subnet_pool", lambda: self._net.delete_pool(pool_id))

    # ── ports ──

    async def port(self, port_id: PortId) -> Port:
        return await self._call("port", lambda: self._neutron.port.store.get(port_id))

    async def ports(self, which: PortFilter) -> list[Port]:
        return await self._call("ports", lambda: self._neutron.port.find(which))

    async def create_port(self, spec: PortSpec) -> Port:
        (port,) = await self.create_ports((spec,))
        return port

    async def create_ports(self, specs: Sequence[PortSpec]) -> list[Port]:
        return await self._whole(self._create_ports(specs))

    async def _create_ports(self, specs: Sequence[PortSpec]) -> list[Port]:
        """As `kurier.cloud.ports`: tags in the body, or one by one with all taken back else."""
        if not specs:
            return []
        sent = specs if self._neutron.tags_on_create else [replace(one, tags=()) for one in specs]
        half = sent[: len(sent) // 2]
        name = "create_port" if len(specs) == 1 else "create_ports"
        made = await self._call(
            name,
            lambda: self._neutron.port.create_all(sent),
            (lambda: self._neutron.port.create_all(half)) if half else None,
        )
        if self._neutron.tags_on_create:
            return made
        try:
            return [await self._tagged(port, spec) for port, spec in zip(made, specs, strict=True)]
        except KurierError as error:
            if error.code not in (Code.CLOUD_AWAY, Code.CREDENTIALS):
                for port in made:
                    await self.delete_port(port.id)
            raise

    async def update_port(
        self, port_id: PortId, change: PortChange, revision: int | None = None
    ) -> Port:
        if change.is_empty():
            return await self.port(port_id)

        def update() -> Port:
            self._neutron.port.store.compare(port_id, revision)
            return self._neutron.port.update(port_id, change)

        return await self._call("update_port", update)

    async def led_to(self, ports: Sequence[PortId]) -> frozenset[PortId]:
        def find() -> frozenset[PortId]:
            return frozenset(self._neutron.port.floating.values()) & frozenset(ports)

        return await self._call("led_to", find)

    async def delete_port(self, port_id: PortId) -> None:
        await self._call("delete_port", lambda: self._neutron.port.delete(port_id))

    async def _tagged(self, port: Port, spec: PortSpec) -> Port:
        await self.replace_tags(Kind.PORT, port.id, spec.tags)
        return replace(port, tags=frozenset(spec.tags))

    # ── tags ──

    async def replace_tags(self, kind: Kind, resource_id: str, tags: Sequence[str]) -> None:
        store = self._neutron.tagged(kind)
        await self._call("replace_tags", lambda: store.set_tags(resource_id, tags))

    async def add_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        store = self._neutron.tagged(kind)
        await self._call("add_tag", lambda: store.add_tag(resource_id, tag))

    async def remove_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        store = self._neutron.tagged(kind)
        await self._call("remove_tag", lambda: store.remove_tag(resource_id, tag))

    # ── what guards ports ──

    async def security_groups(
        self, *, name: str | None = None, tags: Sequence[str] = ()
    ) -> list[SecurityGroup]:
        def find() -> list[SecurityGroup]:
            return [
                one
                for one in self._neutron.groups.values()
                if name in (None, one.name) and one.tags.issuperset(tags)
            ]

        return await self._call("security_groups", find)

    async def security_group(self, group_id: SecurityGroupId) -> SecurityGroup:
        return await self._call(
            "security_group", lambda: self._neutron.security_groups.get(group_id)
        )

    async def create_security_group(
        self, name: str, description: str, rules: Sequence[Rule], tags: Sequence[str]
    ) -> SecurityGroup:
        return await self._whole(self._create_group(name, description, rules, tags))

    async def _create_group(
        self, name: str, description: str, rules: Sequence[Rule], tags: Sequence[str]
    ) -> SecurityGroup:
        """Group, rules and tags are three writes."""
        neutron = self._neutron
        made = await self._call(
            "create_security_group", lambda: neutron.make_group(name, description)
        )
        try:
            await self._call(
                "create_rules",
                lambda: neutron.set_rules(made, rules),
            )
            await self.replace_tags(Kind.SECURITY_GROUP, made, tags)
            return SecurityGroup(made, name, description, frozenset(tags), tuple(rules))
        except KurierError:
            await self.delete_security_group(made)
            raise

    async def delete_security_group(self, group_id: SecurityGroupId) -> None:
        await self._call("delete_security_group", lambda: self._neutron.delete_group(group_id))

    async def agents(self) -> list[Agent]:
        def find() -> list[Agent]:
            dead = self._neutron.dead
            return [Agent(host, host not in dead) for host in sorted(self._neutron.chassis)]

        return await self._call("agents", find)

    async def qos_policies(self, name: str) -> list[QosPolicyId]:
        def find() -> list[QosPolicyId]:
            return [one for one, called in self._neutron.policies.items() if called == name]

        return await self._call("qos_policies", find)

    async def qos_policy(self, policy_id: QosPolicyId) -> QosPolicyId:
        def get() -> QosPolicyId:
            if policy_id not in self._neutron.policies:
                raise KurierError(Code.NOT_FOUND, f"There is no QoS policy {policy_id}.")
            return policy_id

        return await self._call("qos_policy", get)
