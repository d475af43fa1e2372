# SPDX-License-Identifier: Apache-2.0
"""Puts a network together that every host of the environment would make: one of them does, the
others join it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.naming import bid_name, network_description, network_name
from kurier.model.neutron import Network, NetworkSpec
from kurier.model.options import NetworkOptions
from kurier.model.records import NetworkRecord, NetworkState
from kurier.model.swarm import is_definition, taken
from kurier.service.context import Context
from kurier.service.election import Candidate, Election
from kurier.service.network_tags import NetworkTags
from kurier.service.part import Part
from kurier.service.subnet_claims import SubnetClaims
from kurier.service.subnets import Subnets, check_existing, subnet_record

LOG = logging.getLogger(__name__)
_TRIES = 5


class SharedAssembly:
    """Builds, or joins, networks of a whole Swarm."""

    def __init__(self, context: Context, network_tags: NetworkTags, subnets: Subnets) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._tags = network_tags
        self._subnets = subnets
        self._claims = SubnetClaims(context)
        self._election = Election(context.cloud, context.clock)

    async def build(
        self,
        record: NetworkRecord,
        options: NetworkOptions,
        parts: tuple[Part, ...],
        mapping: tags.Mapping,
    ) -> NetworkRecord:
        """The network in use. It may go between two looks, with the last host that used it."""
        self._ledger.put_network(record)
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
        wanted = await self._tags.of(record, mapping, adopted=False)

        def entered(bid: Network) -> None:
            self._ledger.put_network(replace(record, neutron_id=bid.id, made=True, tags=wanted))

        return Candidate(
            NetworkSpec(
                network_name(self._context.settings.network_prefix, record.id, record.name),
                network_description(environment, record.id),
                options.shared,
                options.policy.port_security,
            ),
            bid_name(record.id, host),
            entered,
            mapping,
            self._builder(replace(record, made=True), parts, wanted),
        )

    def _builder(
        self, record: NetworkRecord, parts: tuple[Part, ...], wanted: tuple[str, ...]
    ) -> Callable[[Network], Awaitable[None]]:
        """What is claimed has its subnets and its tags, this host's own among them: who joins
        later never finds it with nobody on it.
        """

        async def build(bid: Network) -> None:
            made = [
                replace(await self._subnets.have(record, bid, part), made=True) for part in parts
            ]
            await self._tags.put_at_once(bid, wanted, replace(record, subnets=tuple(made)))

        return build

    async def _joined(
        self,
        record: NetworkRecord,
        network: Network,
        parts: tuple[Part, ...],
        mapping: tags.Mapping,
    ) -> NetworkRecord:
        """The claimed network as this host uses it; a definition is its maker's alone."""
        entered = self._ledger.network(record.id)
        if is_definition(record.id) and (entered is None or entered.neutron_id != network.id):
            raise taken(record.name)
        subnets = []
        for part in parts:
            found = await self._subnets.there(network, part)
            if found is None:
                raise await self._other_ranges(network, part)
            check_existing(found, part)
            subnets.append(subnet_record(found, part, made=True))
        joined = replace(
            record,
            neutron_id=network.id,
            made=True,
            mtu=network.mtu,
            subnets=tuple(subnets),
            tags=await self._tags.of(record, mapping, adopted=False),
        )
        self._ledger.put_network(joined)
        if is_definition(record.id):
            return replace(joined, state=NetworkState.ACTIVE)
        for subnet in joined.subnets:
            if not await self._claims.claim(joined, subnet):
                raise KurierError(Code.NOT_FOUND, f"Subnet {subnet.cidr} is being removed.")
        joined = await self._tags.put(joined, network, mapping, adopted=False)
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
