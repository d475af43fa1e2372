# SPDX-License-Identifier: Apache-2.0
"""Gives this node the config-only networks of the Swarm's networks, as Neutron's tags tell them.

A node that joins the Swarm looks at once, since its first task needs them moments later; else every
node looks at an interval, and whenever this one made a Swarm's network itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import KurierError
from kurier.model.ids import DockerNetworkId, EnvironmentId, NetworkId
from kurier.model.neutron import Kind
from kurier.model.swarm import (
    Definition,
    config_name,
    definitions_of,
    is_internal,
    marker,
    node_options,
    node_tag,
)
from kurier.service.context import Context
from kurier.service.protocols import NodeNetwork, NodeRange

LOG = logging.getLogger(__name__)
_CONFIGURED = "swarm-configured"


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
            with suppress(TimeoutError):
                pause = self._context.settings.swarm_interval
                await asyncio.wait_for(self._environment.changed.wait(), pause)

    async def turn(self) -> None:
        """One look. Where the engine is in no Swarm, Neutron is asked only if it was in one."""
        async with self._one:
            if not self._context.engine.in_swarm and not self._remembered():
                return
            there = await self._engine.configured()
            wanted = {one.id: one for one in await self.definitions()}
            for definition in wanted.values():
                await self._have(definition, there)
            await self._give_up({one: there[one] for one in there.keys() - wanted.keys()})
            await self._forget(self._remembered().keys() - wanted.keys())

    async def definitions(self) -> list[Definition]:
        """The Swarm's networks of this environment, without their subnets."""
        environment: EnvironmentId = await self._environment.require()
        networks = await self._cloud.networks(tags=(marker(environment),))
        return [one for network in networks for one in definitions_of(environment, network)]

    async def with_subnets(self, definition: Definition) -> Definition:
        """The definition with the subnets that were made or named for it."""
        listed = await self._cloud.subnets(network_id=definition.network.id)
        mine = tuple(one for one in listed if tags.serves(one.tags, definition.id))
        return replace(definition, subnets=mine)

    async def _have(self, definition: Definition, there: Mapping[DockerNetworkId, str]) -> None:
        host = await self._context.host()
        if definition.id not in there:
            await self._engine.configure(self._node_network(await self.with_subnets(definition)))
            LOG.info("this node has network %s of the Swarm now", definition.name)
        if tags.host_mark(host) not in definition.nodes:
            self._remember({**self._remembered(), definition.id: definition.network.id})
            tag = node_tag(definition.id, host)
            await self._cloud.add_tag(Kind.NETWORK, definition.network.id, tag)

    def _node_network(self, definition: Definition) -> NodeNetwork:
        return NodeNetwork(
            definition.id,
            config_name(definition.name),
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

    def _remembered(self) -> dict[DockerNetworkId, str]:
        """The Neutron network of each definition that this host's tag may be on."""
        found: dict[DockerNetworkId, str] = json.loads(self._ledger.meta(_CONFIGURED) or "{}")
        return found

    def _remember(self, which: dict[DockerNetworkId, str]) -> None:
        self._ledger.set_meta(_CONFIGURED, json.dumps(which))
