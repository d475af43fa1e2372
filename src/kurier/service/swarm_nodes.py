# SPDX-License-Identifier: Apache-2.0
"""Gives this node the config-only networks of the Swarm's networks, as Neutron's tags tell them.

A node that joins the Swarm looks at once, since its first task needs them moments later; else every
node looks at an interval, and whenever this one made a Swarm's network itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import KurierError
from kurier.model.ids import DockerNetworkId, EnvironmentId, NetworkId
from kurier.model.neutron import Kind, Network, Subnet
from kurier.model.swarm import (
    MARKER,
    Definition,
    config_name,
    definitions_of,
    is_internal,
    node_options,
    node_tag,
)
from kurier.service.context import Context
from kurier.service.protocols import NodeNetwork, NodeRange

LOG = logging.getLogger(__name__)
_CONFIGURED = "swarm-configured"
_MADE_FOR = "swarm-made-for"
_IDLE = 3
"""How many times slower a node looks that is in no Swarm, to know at once what it needs when it
joins one."""


class SwarmNodes:
    """This node's part of the Swarm's networks."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._engine = context.swarm
        self._environment = context.environment
        self._one = asyncio.Lock()
        self._unwanted: set[DockerNetworkId] = set()
        """Config-only networks that no definition told of at the last look."""
        self._seen: dict[NetworkId, tuple[Network, list[Subnet]]] = {}
        """Networks that have definitions, and their subnets, as Neutron told them last."""
        self._last_environment: EnvironmentId | None = None
        self._last_error = ""

    async def run(self) -> None:
        """Works for ever; cancel it to stop."""
        while True:
            self._environment.changed.clear()
            try:
                await self.turn()
                self._last_error = ""
            except KurierError as error:
                if error.sentence != self._last_error:
                    LOG.warning("the Swarm's networks are looked at later: %s", error.sentence)
                self._last_error = error.sentence
            pause = self._context.settings.swarm_interval
            with suppress(TimeoutError):
                slower = 1 if self._context.engine.in_swarm else _IDLE
                await asyncio.wait_for(self._environment.changed.wait(), pause * slower)

    async def turn(self) -> None:
        """One look at Neutron, and what it asks for.

        A node that has just joined first makes what the look before showed: its first task does
        not wait for Neutron.
        """
        async with self._one:
            environment = await self._environment.require()
            if environment != self._last_environment and self._context.engine.in_swarm:
                await self._make(await self._engine.configured(), self._of(environment))
            self._last_environment = environment
            await self._look()
            wanted = self._of(environment) if self._context.engine.in_swarm else []
            there = await self._engine.configured()
            await self._make(there, wanted)
            for definition in wanted:
                await self._tell(definition)
            kept = {one.id for one in wanted}
            await self._give_up({one: there[one] for one in there.keys() - kept})
            await self._forget(self._remembered().keys() - kept)

    async def definitions(self) -> list[Definition]:
        """The Swarm's networks of this environment, as Neutron tells them now."""
        await self._look()
        return self._of(await self._environment.require())

    def _of(self, environment: EnvironmentId) -> list[Definition]:
        return [
            replace(one, subnets=tuple(net for net in subnets if tags.serves(net.tags, one.id)))
            for network, subnets in self._seen.values()
            for one in definitions_of(environment, network)
        ]

    async def _look(self) -> None:
        """Learns every definition, of whatever environment this node may join. Subnets are asked
        for again where their network changed, which its revision tells.
        """
        seen: dict[NetworkId, tuple[Network, list[Subnet]]] = {}
        for network in await self._cloud.networks(tags=(MARKER,)):
            before = self._seen.get(network.id)
            if before is not None and before[0].revision == network.revision != 0:
                seen[network.id] = (network, before[1])
            else:
                seen[network.id] = (network, await self._cloud.subnets(network_id=network.id))
        self._seen = seen

    async def _make(
        self, there: Mapping[DockerNetworkId, str], wanted: Sequence[Definition]
    ) -> None:
        """What this node lacks; and anew what it made for a network that lost against another one
        of its name, which two managers made at the same moment.
        """
        standing: dict[DockerNetworkId, list[Definition]] = defaultdict(list)
        for definition in wanted:
            standing[definition.id].append(definition)
        for identity, several in standing.items():
            made_for = self._made_for().get(identity)
            if identity in there:
                if made_for in (None, *(one.network.id for one in several)):
                    continue
                if not await self._engine.remove(there[identity]):
                    LOG.info("config-only network %s is still in use", there[identity])
                    continue
            found = several[0]
            self._remember_made({**self._made_for(), identity: found.network.id})
            await self._engine.configure(self._node_network(found))
            LOG.info("this node has network %s of the Swarm now", found.name)

    async def _tell(self, definition: Definition) -> None:
        """Says in Neutron that this node has its part."""
        host = await self._context.host()
        if tags.host_mark(host) not in definition.nodes:
            self._remember({**self._remembered(), definition.id: definition.network.id})
            tag = node_tag(definition.id, host)
            await self._cloud.add_tag(Kind.NETWORK, definition.network.id, tag)

    def _node_network(self, definition: Definition) -> NodeNetwork:
        return NodeNetwork(
            definition.id,
            config_name(definition.name, definition.id),
            self._context.settings.swarm_driver,
            tuple(NodeRange(one.cidr, one.gateway) for one in definition.subnets),
            node_options(definition),
            is_internal(definition),
        )

    async def _give_up(self, gone: dict[DockerNetworkId, str]) -> None:
        """Removes config-only networks that nothing tells of in two looks: what one list of
        Neutron's leaves out may be there all the same.
        """
        for definition, engine_id in gone.items():
            if definition in self._unwanted and not await self._engine.remove(engine_id):
                LOG.info("config-only network %s is still in use", engine_id)
        self._unwanted = set(gone)

    async def _forget(self, gone: set[DockerNetworkId]) -> None:
        """Takes this host's tags off networks whose definition ended."""
        host, remembered = await self._context.host(), self._remembered()
        for definition in gone:
            tag, network = node_tag(definition, host), NetworkId(remembered[definition])
            await self._cloud.remove_tag(Kind.NETWORK, network, tag)
            del remembered[definition]
        if gone:
            self._remember(remembered)
            made_for = self._made_for()
            self._remember_made({key: made_for[key] for key in made_for.keys() - gone})

    def _made_for(self) -> dict[DockerNetworkId, str]:
        """The Neutron network for which each definition's config-only network was made."""
        found: dict[DockerNetworkId, str] = json.loads(self._ledger.meta(_MADE_FOR) or "{}")
        return found

    def _remember_made(self, which: dict[DockerNetworkId, str]) -> None:
        self._ledger.set_meta(_MADE_FOR, json.dumps(which))

    def _remembered(self) -> dict[DockerNetworkId, str]:
        """The Neutron network of each definition that this host's tag may be on."""
        found: dict[DockerNetworkId, str] = json.loads(self._ledger.meta(_CONFIGURED) or "{}")
        return found

    def _remember(self, which: dict[DockerNetworkId, str]) -> None:
        self._ledger.set_meta(_CONFIGURED, json.dumps(which))
