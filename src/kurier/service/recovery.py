# SPDX-License-Identifier: Apache-2.0
"""Recovers networks and pools from Neutron's tags: Kurier's own, and kuryr-libnetwork's."""

from __future__ import annotations

from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import (
    DockerNetworkId,
    NetworkId,
    PoolId,
    QosPolicyId,
    SecurityGroupId,
    SubnetPoolId,
)
from kurier.model.neutron import Network, Subnet
from kurier.model.records import NetworkRecord, NetworkState, PoolRecord, SubnetRecord
from kurier.model.swarm import is_definition, own_tags
from kurier.service.context import Context


class Recovery:
    """Reads back what the ledger does not know."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud

    async def network(self, network_id: DockerNetworkId) -> NetworkRecord:
        """The network, taken into the ledger with its pools; NOT_FOUND where no tag tells it."""
        record = await self.read(network_id)
        with self._ledger.transaction():
            self._ledger.put_network(record)
            for subnet in record.subnets:
                if subnet.pool_id is not None:
                    self._ledger.put_pool(self._pool_record(subnet, record))
        return record

    async def read(self, network_id: DockerNetworkId) -> NetworkRecord:
        """The network as Neutron tells it, the ledger untouched."""
        network, mapping = await self._tagged(network_id)
        subnets = await self._cloud.subnets(network_id=network.id)
        host = await self._context.host()
        mine = await self._marks(network, mapping, host)
        record = NetworkRecord(
            network_id,
            NetworkState.ACTIVE,
            self._context.clock.now(),
            neutron_id=network.id,
            made=not tags.is_existing(network.tags),
            mtu=network.mtu,
            subnets=tuple(
                _subnet_record(one, network_id, host)
                for one in subnets
                if _pool_of(one, network_id, host)
            ),
            tags=tuple(sorted((network.tags & mine) | tags.attributes(network.tags, network_id))),
        )
        return _with_attributes(record, network)

    async def pool(self, pool_id: PoolId) -> PoolRecord:
        """The pool, taken into the ledger with its network; NOT_FOUND where no tag tells it."""
        for subnet in await self._subnets_of(pool_id):
            network = await self._cloud.network(subnet.network_id)
            for network_id in await self._mapped_here(network):
                record = self._ledger.network(network_id) or await self.network(network_id)
                for one in record.subnets:
                    if one.id == subnet.id:
                        pool = replace(self._pool_record(one, record), id=pool_id)
                        self._ledger.put_pool(pool)
                        return pool
        raise KurierError(
            Code.NOT_FOUND,
            f"Range {pool_id} is unknown to Kurier and to Neutron's tags: remove the Docker "
            "network and create it again.",
        )

    async def on(self, neutron_id: NetworkId) -> list[NetworkRecord]:
        """This host's networks on a Neutron network; the ledger learns those it lacks."""
        network = await self._cloud.network(neutron_id)
        return [
            self._ledger.network(one) or await self.network(one)
            for one in await self._mapped_here(network)
        ]

    async def _marks(self, network: Network, mapping: tags.Mapping, host: str) -> frozenset[str]:
        """Every tag that a mapping may have put on its network, beside its attributes."""
        if is_definition(mapping.network):
            known = await self._context.environment.all()
            own = own_tags(known, network.tags, mapping.network)
            return own | {tags.mapping_tag(mapping)}
        marks = frozenset((*tags.network_tags(mapping, existing=True), tags.KURYR_EXISTING))
        if tags.is_shared(mapping.network):
            return marks | {tags.attendance_tag(mapping, host)}
        return marks

    async def _tagged(self, network_id: DockerNetworkId) -> tuple[Network, tags.Mapping]:
        """The network with the mapping that tells it, in whichever environment this host was."""
        mappings = [
            tags.Mapping(mark, network_id) for mark in await self._context.environment.marks()
        ]
        for mapping in mappings:
            found = await self._cloud.networks(tags=(tags.mapping_tag(mapping),))
            if found:
                return found[0], mapping
        found = await self._cloud.networks(tags=tags.kuryr_network_tags(network_id))
        if found:
            return found[0], mappings[0]
        raise KurierError(
            Code.NOT_FOUND,
            f"Docker network {network_id} is unknown to Kurier and to Neutron's tags: remove it "
            "with `docker network rm` and create it again.",
        )

    async def _subnets_of(self, pool_id: PoolId) -> list[Subnet]:
        """Subnets with our tag; for kuryr-libnetwork's pools, those of the subnet pool itself."""
        if "-" not in pool_id:
            return await self._cloud.subnets(tags=(tags.pool_tag(pool_id),))
        tagged = await self._cloud.subnets(tags=(pool_id,))
        return tagged or await self._cloud.subnets(subnet_pool_id=SubnetPoolId(pool_id))

    async def _mapped_here(self, network: Network) -> list[DockerNetworkId]:
        """The engine networks on a Neutron network, of the environments this host was in."""
        marks = await self._context.environment.marks()
        own = [
            one.network
            for one in tags.mappings(network.tags)
            if one.environment in marks and not is_definition(one.network)
        ]
        return own or _kuryr_ids(network.tags)

    def _pool_record(self, subnet: SubnetRecord, record: NetworkRecord) -> PoolRecord:
        return PoolRecord(
            subnet.pool_id or PoolId(""),
            subnet.cidr,
            self._context.clock.now(),
            gateway=subnet.gateway,
            network=record.id,
            subnet_id=subnet.id,
        )


def _kuryr_ids(found: frozenset[str]) -> list[DockerNetworkId]:
    """The Docker network that kuryr-libnetwork's tags tell, where they tell one without doubt."""
    low = [tag.removeprefix(tags.KURYR_LH) for tag in found if tag.startswith(tags.KURYR_LH)]
    high = [tag.removeprefix(tags.KURYR_UH) for tag in found if tag.startswith(tags.KURYR_UH)]
    if len(low) == 1 and len(high) <= 1:
        return [DockerNetworkId(low[0] + (high[0] if high else ""))]
    return []


def _pool_of(subnet: Subnet, network_id: DockerNetworkId, host: str) -> PoolId | None:
    """The pool that a subnet serves: by our tags, by kuryr-libnetwork's tag, or its subnet pool."""
    serving = tags.pool_serving(subnet.tags, network_id, host)
    if serving is not None or any(map(tags.is_serving, subnet.tags)):
        return serving
    for tag in sorted(subnet.tags):
        pool = tags.parse_pool(tag)
        if pool:
            return pool
    for tag in sorted(subnet.tags):
        if len(tag) == 36 and tag.count("-") == 4:
            return PoolId(tag)
    return PoolId(subnet.subnet_pool_id) if subnet.subnet_pool_id else None


def _subnet_record(subnet: Subnet, network_id: DockerNetworkId, host: str) -> SubnetRecord:
    made = tags.MADE in subnet.tags or subnet.name.startswith("kuryr-subnet-")
    return SubnetRecord(
        subnet.id,
        subnet.cidr,
        made,
        pool_id=_pool_of(subnet, network_id, host),
        gateway=subnet.gateway,
        routes=tuple((route.destination, route.next_hop) for route in subnet.host_routes),
    )


def _with_attributes(record: NetworkRecord, network: Network) -> NetworkRecord:
    def values(key: str) -> tuple[str, ...]:
        return tags.attribute_values(network.tags, record.id, key)

    def number(key: str) -> int | None:
        found = values(key)
        return int(found[0]) if found and found[0].isdigit() else None

    groups, qos, security = values("sg"), values("qos"), values("ps")
    return replace(
        record,
        security_groups=tuple(SecurityGroupId(one) for one in groups) or None,
        qos_policy_id=QosPolicyId(qos[0]) if qos else None,
        port_security=(security[0] == "1") if security else None,
        internal=bool(values("internal")),
        gateway_service=bool(values("gws")),
        pool_minimum=number("pmin"),
        pool_maximum=number("pmax"),
    )
