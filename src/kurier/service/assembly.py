# SPDX-License-Identifier: Apache-2.0
"""Puts an engine network together in Neutron: makes or adopts network and subnets, tags them.

Every step is in the ledger before the next begins, so that whatever stops the making, the removal
knows what there is to take away.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import IPAddress, IPNetwork, NetworkId
from kurier.model.naming import (
    bid_name,
    is_going,
    lasting_name,
    network_description,
    network_name,
    reserving_key,
    subnet_name,
)
from kurier.model.neutron import (
    FixedIpRequest,
    Kind,
    Network,
    NetworkSpec,
    PortFilter,
    PortSpec,
    Subnet,
    SubnetSpec,
)
from kurier.model.options import (
    NetworkOptions,
    NetworkReference,
    PoolReference,
    SubnetReference,
)
from kurier.model.ranges import allocation_ranges
from kurier.model.records import NetworkRecord, NetworkState, PoolRecord, SubnetRecord
from kurier.model.swarm import definition_tags, is_definition
from kurier.service.context import DEVICE_OWNER, Context
from kurier.service.doing import doing
from kurier.service.election import Candidate, Election
from kurier.service.lookup import find_groups, find_network, find_pool, find_qos, find_subnet

LOG = logging.getLogger(__name__)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One range of a network to make, with all that the user said of it."""

    cidr: IPNetwork
    gateway: IPAddress | None
    pool: PoolRecord | None
    subnet: SubnetReference
    subnet_pool: PoolReference
    network: NetworkReference
    auxiliary: tuple[IPAddress, ...] = ()

    @property
    def kept_out(self) -> tuple[IPAddress, ...]:
        """Addresses that no container may get by chance."""
        return (*self.auxiliary, *((self.gateway,) if self.gateway else ()))


class Assembly:
    """Builds networks, step by step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._election = Election(context.cloud, context.clock)

    async def build(
        self, record: NetworkRecord, options: NetworkOptions, parts: tuple[Part, ...]
    ) -> NetworkRecord:
        """Makes everything and answers with the network in use; stores each step."""
        record = await self._with_policy(record, options)
        mapping = tags.Mapping(await self._context.environment.mark(), record.id)
        network = await self._existing(record, options, parts)
        if network is None and tags.is_shared(record.id):
            return await self._shared(record, options, parts, mapping)
        adopted = network is not None
        if network is None:
            network = await self._made(record, options, parts)
        record = self._store(
            replace(record, neutron_id=network.id, made=not adopted, mtu=network.mtu)
        )
        for part in parts:
            subnet = await self._subnet(record, network, part)
            record = self._store(replace(record, subnets=(*record.subnets, subnet)))
            if not subnet.made:
                record = await self._reserve(record, subnet)
        record = await self._tag(record, network, mapping, adopted=adopted)
        return replace(record, state=NetworkState.ACTIVE)

    async def _shared(
        self,
        record: NetworkRecord,
        options: NetworkOptions,
        parts: tuple[Part, ...],
        mapping: tags.Mapping,
    ) -> NetworkRecord:
        """A network that every host of the environment would make: one of them does, the others
        join it. It may go between two looks, with the last host that used it.
        """
        await self._drop_held(parts)
        self._store(record)
        candidate = await self._candidate(record, options, parts, mapping)
        for _ in range(_TRIES):
            try:
                network = await self._election.run(candidate)
                return await self._joined(record, network, parts, mapping)
            except KurierError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
                LOG.info("network %s went while it was joined: %s", record.id, error.sentence)
        raise KurierError(
            Code.CHANGED, f"Network {record.id} comes and goes on other hosts: try again."
        )

    async def _candidate(
        self,
        record: NetworkRecord,
        options: NetworkOptions,
        parts: tuple[Part, ...],
        mapping: tags.Mapping,
    ) -> Candidate:
        environment, host = await self._context.environment.require(), await self._context.host()
        attendance = tags.attendance_tag(mapping, host)

        def entered(bid: Network) -> None:
            self._store(replace(record, neutron_id=bid.id, made=True, tags=(attendance,)))

        async def build(bid: Network) -> None:
            for part in parts:
                await self._subnet(replace(record, made=True), bid, part)
            # What is claimed is attended: who joins later never finds it with nobody on it.
            await self._cloud.add_tag(Kind.NETWORK, bid.id, attendance)

        return Candidate(
            NetworkSpec(
                network_name(self._context.settings.network_prefix, record.id),
                network_description(environment, record.id),
                options.shared,
                options.policy.port_security,
            ),
            bid_name(record.id, host),
            entered,
            mapping,
            build,
        )

    async def _joined(
        self,
        record: NetworkRecord,
        network: Network,
        parts: tuple[Part, ...],
        mapping: tags.Mapping,
    ) -> NetworkRecord:
        """The claimed network as this host uses it."""
        subnets = []
        for part in parts:
            found = await self._subnet_there(network, part)
            if found is None:
                raise await self._other_ranges(network, part)
            _check_existing(found, part)
            subnets.append(_subnet_record(found, part, made=True))
        joined = replace(
            record, neutron_id=network.id, made=True, mtu=network.mtu, subnets=tuple(subnets)
        )
        joined = await self._tag(joined, network, mapping, adopted=False)
        return replace(joined, state=NetworkState.ACTIVE)

    async def _other_ranges(self, network: Network, part: Part) -> KurierError:
        found = await self._cloud.subnets(network_id=network.id)
        if not found:
            # What is claimed has its subnets; somebody took its maker for dead, or is the last one.
            return KurierError(Code.NOT_FOUND, f"Neutron network {network.id} is being removed.")
        there = ", ".join(sorted(str(one.cidr) for one in found))
        return KurierError(
            Code.CONFLICT,
            f"This network has range {there} on the other hosts of the Swarm, not {part.cidr}: "
            f"give --subnet {there} in the config-only network of every host, or use `kurier "
            "swarm network create`.",
        )

    async def _with_policy(self, record: NetworkRecord, options: NetworkOptions) -> NetworkRecord:
        policy = options.policy.over(self._context.settings.policy)
        if policy.port_security is False and options.policy.security_groups:
            raise bad_request(
                "kurier.port_security=false takes all security groups off: leave "
                "kurier.security_groups out, or port security on."
            )
        return replace(
            record,
            security_groups=(
                None if policy.port_security is False else await find_groups(self._cloud, policy)
            ),
            qos_policy_id=await find_qos(self._cloud, policy),
            port_security=policy.port_security,
        )

    async def _existing(
        self, record: NetworkRecord, options: NetworkOptions, parts: tuple[Part, ...]
    ) -> Network | None:
        """The network that the user named, by itself or by one of its subnets."""
        reference = options.network or next((p.network for p in parts if p.network), None)
        if reference:
            network = await find_network(self._cloud, reference)
            await self._drop_held(parts)
            return network
        for part in parts:
            if part.subnet:
                subnet = await find_subnet(self._cloud, part.subnet, None, part.cidr.version)
                return await self._cloud.network(subnet.network_id)
        return None

    async def _drop_held(self, parts: tuple[Part, ...]) -> None:
        """A range drawn from a subnet pool goes back to it, to be made on the network named."""
        for part in parts:
            if part.pool is not None and part.pool.held_network is not None:
                await self._cloud.delete_network(part.pool.held_network)
                self._ledger.put_pool(replace(part.pool, held_network=None, subnet_id=None))

    async def _made(
        self, record: NetworkRecord, options: NetworkOptions, parts: tuple[Part, ...]
    ) -> Network:
        environment = await self._context.environment.require()
        name = network_name(self._context.settings.network_prefix, record.id, record.name)
        description = network_description(environment, record.id)
        held = _held(parts)
        if held is not None and options.shared is None:
            self._store(replace(record, neutron_id=held, made=True))
            return await self._cloud.rename_network(held, name, description)
        await self._drop_held(parts)
        self._store(record)
        doing("Neutron was making the network")
        return await self._cloud.create_network(
            NetworkSpec(name, description, options.shared, options.policy.port_security)
        )

    async def _subnet(self, record: NetworkRecord, network: Network, part: Part) -> SubnetRecord:
        found = await self._subnet_there(network, part)
        if found is None:
            doing(f"Neutron was making subnet {part.cidr}")
            made = await self._cloud.create_subnet(await self._subnet_spec(record, network, part))
            return _subnet_record(made, part, made=True)
        if record.made and part.pool is not None and part.pool.subnet_id == found.id:
            if record.internal and found.gateway is not None:
                found = await self._cloud.set_subnet_gateway(found.id, None)
            return _subnet_record(found, part, made=True)
        _check_existing(found, part)
        return _subnet_record(found, part, made=False)

    async def _subnet_there(self, network: Network, part: Part) -> Subnet | None:
        if part.subnet:
            subnet = await find_subnet(self._cloud, part.subnet, network, part.cidr.version)
            if subnet.cidr != part.cidr:
                raise bad_request(
                    f"Subnet {subnet.name or subnet.id} has range {subnet.cidr}, not {part.cidr}: "
                    f"give --subnet {subnet.cidr}."
                )
            return subnet
        found = await self._cloud.subnets(network_id=network.id, cidr=part.cidr)
        return found[0] if found else None

    async def _subnet_spec(self, record: NetworkRecord, network: Network, part: Part) -> SubnetSpec:
        pool_id = part.pool.subnet_pool_id if part.pool else None
        if part.subnet_pool:
            pool_id = (await find_pool(self._cloud, part.subnet_pool, part.cidr.version)).id
        ip_range = part.pool.ip_range if part.pool else None
        return SubnetSpec(
            network.id,
            subnet_name(part.cidr),
            part.cidr.version,
            description=f"Kurier: Docker network {record.id}",
            cidr=part.cidr,
            gateway=None if record.internal else part.gateway,
            no_gateway=record.internal or part.gateway is None,
            allocation_pools=(
                allocation_ranges(part.cidr, ip_range, part.kept_out)
                if ip_range is not None or part.auxiliary
                else ()
            ),
            subnet_pool_id=pool_id,
            enable_dhcp=self._context.settings.enable_dhcp,
        )

    async def _reserve(self, record: NetworkRecord, subnet: SubnetRecord) -> NetworkRecord:
        """Keeps auxiliary addresses out of a pool that is not ours, by a port for each that no
        port has: the subnet itself is not touched.
        """
        for address in subnet.auxiliary:
            held = PortFilter(record.neutron_id, subnet_id=subnet.id, address=address)
            if await self._cloud.ports(held):
                continue
            spec = await self._reserving_spec(record, subnet, address)
            port = await self._cloud.create_port(spec)
            record = self._store(replace(record, reserved_ports=(*record.reserved_ports, port.id)))
        return record

    async def _reserving_spec(
        self, record: NetworkRecord, subnet: SubnetRecord, address: IPAddress
    ) -> PortSpec:
        if record.neutron_id is None:
            raise ValueError(f"network {record.id} has no Neutron network")
        return PortSpec(
            network_id=record.neutron_id,
            name=f"kuryr-aux-{address}",
            device_id=reserving_key(record.id),
            device_owner=DEVICE_OWNER,
            host_id="",
            fixed_ips=(FixedIpRequest(subnet.id, address),),
            description=f"Kurier: --aux-address of Docker network {record.id}",
            tags=(*await self._context.port_tags(), tags.RESERVED),
        )

    async def _tag(
        self, record: NetworkRecord, network: Network, mapping: tags.Mapping, *, adopted: bool
    ) -> NetworkRecord:
        """Subnets first: a network that somebody leaves keeps the subnets that its tags say are
        used.
        """
        wanted = (*await self._mapping_tags(record, mapping, adopted), *_attributes(record))
        shared = tags.is_shared(record.id)
        # A shared network's tags are there when the second host comes, and are his as well.
        mine = tuple(tag for tag in wanted if shared or tag not in network.tags)
        record = self._store(replace(record, tags=mine))
        doing("Neutron was tagging the network")
        await self._tag_subnets(record)
        await self._add_tags(network, (*mine, *(() if adopted else (tags.MADE,))))
        if shared or (adopted and tags.MADE in network.tags):
            await self._see_standing(network, mine)
        return record

    async def _mapping_tags(
        self, record: NetworkRecord, mapping: tags.Mapping, adopted: bool
    ) -> tuple[str, ...]:
        own = tags.network_tags(mapping, existing=adopted)
        if is_definition(record.id):
            environment = await self._context.environment.require()
            return (tags.mapping_tag(mapping), *definition_tags(environment, record.name))
        if tags.is_shared(record.id):
            return (tags.attendance_tag(mapping, await self._context.host()), *own)
        return own

    async def _tag_subnets(self, record: NetworkRecord) -> None:
        for subnet in record.subnets:
            marks = [tags.MADE] if subnet.made else []
            if subnet.pool_id:
                marks += [
                    tags.pool_tag(subnet.pool_id),
                    tags.serving_tag(record.id, subnet.pool_id),
                ]
            for tag in marks:
                await self._cloud.add_tag(Kind.SUBNET, subnet.id, tag)

    async def _see_standing(self, network: Network, mine: tuple[str, ...]) -> None:
        """Looks again after the tags are on: others may be leaving a network that Kurier made.

        One that left as the last one for all it knew may have taken shared tags off meanwhile;
        one that deletes the network says so by its name. NOT_FOUND where it goes.
        """
        for _ in range(_TRIES):
            network = await self._cloud.network(network.id)
            if is_going(network.name):
                for tag in mine:
                    await self._cloud.remove_tag(Kind.NETWORK, network.id, tag)
                raise KurierError(
                    Code.NOT_FOUND,
                    f"Neutron network {lasting_name(network.name)} ({network.id}) is being removed "
                    "by its last user: name another one.",
                )
            if network.tags.issuperset(mine):
                return
            await self._add_tags(network, mine)

    async def _add_tags(self, network: Network, wanted: tuple[str, ...]) -> None:
        for tag in wanted:
            if tag not in network.tags:
                await self._cloud.add_tag(Kind.NETWORK, network.id, tag)

    def _store(self, record: NetworkRecord) -> NetworkRecord:
        self._ledger.put_network(record)
        return record


def _held(parts: tuple[Part, ...]) -> NetworkId | None:
    """The network held for a drawn range, if one alone was drawn."""
    held = [part.pool.held_network for part in parts if part.pool and part.pool.held_network]
    return held[0] if len(held) == 1 else None


def _attributes(record: NetworkRecord) -> tuple[str, ...]:
    """What a host without its ledger must know of the network to serve it rightly."""
    found: list[tuple[str, str]] = [("sg", group) for group in record.security_groups or ()]
    if record.qos_policy_id:
        found.append(("qos", record.qos_policy_id))
    if record.port_security is not None:
        found.append(("ps", str(int(record.port_security))))
    if record.pool_minimum is not None:
        found.append(("pmin", str(record.pool_minimum)))
    if record.pool_maximum is not None:
        found.append(("pmax", str(record.pool_maximum)))
    plain = [("internal", record.internal), ("gws", record.gateway_service)]
    return (
        *(tags.attribute_tag(record.id, key, value) for key, value in found),
        *(tags.attribute_tag(record.id, key) for key, there in plain if there),
    )


def _check_existing(subnet: Subnet, part: Part) -> None:
    # A gateway that nobody named is the first address by default; the subnet's own goes before it.
    named = part.gateway is not None and (part.pool is None or part.pool.gateway_chosen)
    if named and subnet.gateway is not None and part.gateway != subnet.gateway:
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet {subnet.name or subnet.id} has gateway {subnet.gateway}, not {part.gateway}: "
            f"give --gateway {subnet.gateway}.",
        )
    ip_range = part.pool.ip_range if part.pool else None
    if ip_range is None:
        return
    if any(one.start not in ip_range or one.end not in ip_range for one in subnet.allocation_pools):
        pools = ", ".join(f"{one.start}-{one.end}" for one in subnet.allocation_pools)
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet {subnet.name or subnet.id} exists and allocates {pools}: --ip-range "
            f"{ip_range} cannot narrow a subnet that Kurier did not make; leave it out.",
        )


def _subnet_record(subnet: Subnet, part: Part, *, made: bool) -> SubnetRecord:
    return SubnetRecord(
        subnet.id,
        subnet.cidr,
        made,
        pool_id=part.pool.id if part.pool else None,
        gateway=subnet.gateway,
        routes=tuple((route.destination, route.next_hop) for route in subnet.host_routes),
        auxiliary=part.auxiliary or (part.pool.auxiliary if part.pool else ()),
    )
