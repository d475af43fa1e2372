# SPDX-License-Identifier: Apache-2.0
"""Puts an engine network together in Neutron: makes or adopts network and subnets, tags them.

Every step is in the ledger before the next begins, so that whatever stops the making, the removal
knows what there is to take away.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import IPAddress, NetworkId
from kurier.model.naming import (
    network_description,
    network_name,
    reserving_key,
)
from kurier.model.neutron import (
    FixedIpRequest,
    Kind,
    Network,
    NetworkSpec,
    PortFilter,
    PortSpec,
)
from kurier.model.options import (
    NetworkOptions,
)
from kurier.model.records import NetworkRecord, NetworkState, SubnetRecord
from kurier.model.swarm import has_rivals, is_definition, taken
from kurier.service.context import DEVICE_OWNER, Context
from kurier.service.doing import doing
from kurier.service.lookup import find_groups, find_network, find_qos, find_subnet
from kurier.service.making import Making
from kurier.service.network_tags import NetworkTags
from kurier.service.part import Part
from kurier.service.shared_assembly import SharedAssembly
from kurier.service.subnet_claims import SubnetClaims
from kurier.service.subnets import Subnets

LOG = logging.getLogger(__name__)
_TRIES = 5


class Assembly:
    """Builds networks, step by step."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._tags = NetworkTags(context)
        self._subnets = Subnets(context)
        self._claims = SubnetClaims(context)
        self._shared = SharedAssembly(context, self._tags, self._subnets)

    async def build(
        self, record: NetworkRecord, options: NetworkOptions, parts: tuple[Part, ...]
    ) -> NetworkRecord:
        """Makes everything and answers with the network in use; stores each step."""
        record = await self._with_policy(record, options)
        mapping = tags.Mapping(await self._context.environment.mark(), record.id)
        network = await self._existing(record, options, parts)
        if network is None and has_rivals(record.id):
            await self._drop_held(parts)
            return await self._shared.build(record, options, parts, mapping)
        adopted = network is not None
        if network is not None and is_definition(record.id):
            record = await self._claimed(record, network, mapping)
        if network is None:
            network = await self._made(record, options, parts)
        record = self._store(
            replace(record, neutron_id=network.id, made=not adopted, mtu=network.mtu)
        )
        for part in parts:
            record = await self._with_subnet(record, network, part)
        record = await self._tags.put(record, network, mapping, adopted=adopted)
        return replace(record, state=NetworkState.ACTIVE)

    async def _claimed(
        self, record: NetworkRecord, network: Network, mapping: tags.Mapping
    ) -> NetworkRecord:
        """A definition on an operator's network is made by one manager: CONFLICT to the others."""
        tag = tags.mapping_tag(mapping)
        async with Making(self._context).turn(network.id, record.id):
            if tag in (await self._cloud.network(network.id)).tags:
                raise taken(record.name)
            record = self._store(replace(record, neutron_id=network.id, tags=(tag,)))
            await self._cloud.add_tag(Kind.NETWORK, network.id, tag)
        return record

    async def _with_subnet(
        self, record: NetworkRecord, network: Network, part: Part
    ) -> NetworkRecord:
        """The network with the subnet of a range, which may go between two looks with the last host
        that used it.
        """
        for _ in range(_TRIES):
            subnet = await self._subnets.have(record, network, part)
            found = self._store(replace(record, subnets=(*record.subnets, subnet)))
            if record.made or await self._claims.claim(found, subnet):
                return found if subnet.made else await self._reserve(found, subnet)
            LOG.info("subnet %s of network %s went while it was joined", part.cidr, network.id)
        raise KurierError(
            Code.CHANGED, f"Subnet {part.cidr} comes and goes on other hosts: try again."
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

    async def _reserve(self, record: NetworkRecord, subnet: SubnetRecord) -> NetworkRecord:
        """Keeps auxiliary addresses out of a pool that is not ours, by a port for each that no
        port has: the subnet itself is not touched.
        """
        for address in subnet.auxiliary:
            held = PortFilter(record.neutron_id, subnet_id=subnet.id, address=address)
            if await self._cloud.ports(held):
                continue
            spec = await self._reserving_spec(record, subnet, address)
            try:
                port = await self._cloud.create_port(spec)
            except KurierError as error:
                # Another host that joins at the same moment may have been quicker.
                if error.code is Code.ADDRESS_IN_USE and await self._cloud.ports(held):
                    continue
                raise
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

    def _store(self, record: NetworkRecord) -> NetworkRecord:
        self._ledger.put_network(record)
        return record


def _held(parts: tuple[Part, ...]) -> NetworkId | None:
    """The network held for a drawn range, if one alone was drawn."""
    held = [part.pool.held_network for part in parts if part.pool and part.pool.held_network]
    return held[0] if len(held) == 1 else None
