# SPDX-License-Identifier: Apache-2.0
"""Networks for a whole Swarm, made and removed by one command on one manager.

The Neutron network is made (or adopted) as an engine's is, through the same steps, under the id of
its definition. From then on Neutron's tags are the definition: the ledger forgets it, since any
manager may remove it, and every node reads it there (`swarm_nodes`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import DockerNetworkId, IPAddress, IPNetwork, PoolId
from kurier.model.records import NetworkRecord
from kurier.model.swarm import Definition, check_name, config_name, definition_id, taken
from kurier.service.addresses import Addresses
from kurier.service.context import Context
from kurier.service.networks import Networks
from kurier.service.pools import Pools
from kurier.service.protocols import SwarmNetwork
from kurier.service.requests import AddressAsk, NetworkAsk, PoolAnswer, PoolAsk, PoolData
from kurier.service.swarm_nodes import SwarmNodes

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RangeAsk:
    """One `--subnet` with what belongs to it; without `cidr` a subnet pool's next range."""

    cidr: IPNetwork | None
    ip_range: IPNetwork | None = None
    gateway: IPAddress | None = None
    auxiliary: Mapping[str, IPAddress] = field(default_factory=dict)
    v6: bool = False


@dataclass(frozen=True, slots=True)
class SwarmAsk:
    """`kurier swarm network create`."""

    name: str
    ranges: tuple[RangeAsk, ...]
    options: Mapping[str, str]
    ipam_options: Mapping[str, str]
    internal: bool = False
    attachable: bool = False


@dataclass(frozen=True, slots=True)
class SwarmView:
    """One network of the Swarm as people are told of it."""

    name: str
    neutron_id: str
    neutron_name: str
    ranges: tuple[str, ...]
    nodes_ready: int
    """Nodes whose daemon has made its config-only network."""
    nodes: int | None
    """Ready nodes of the Swarm; None where this node is no manager."""


class SwarmNetworks:
    """The Swarm's networks."""

    def __init__(
        self,
        context: Context,
        pools: Pools,
        addresses: Addresses,
        networks: Networks,
        nodes: SwarmNodes,
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._engine = context.swarm
        self._pools = pools
        self._addresses = addresses
        self._networks = networks
        self._nodes = nodes
        self._one = asyncio.Lock()

    async def create(self, ask: SwarmAsk) -> SwarmView:
        """Makes the network in Neutron, on this node and in the Swarm; nothing half-made stays.

        BAD_REQUEST, CONFLICT where the name is taken, UNSUPPORTED on a node that is no manager.
        """
        check_name(ask.name)
        async with self._one:
            await self._require_manager()
            identity = definition_id(await self._context.environment.require(), ask.name)
            if any(one.id == identity for one in await self._nodes.definitions()):
                raise taken(ask.name)
            made = await self._define(identity, ask)
            try:
                await self._nodes.turn()
                await self._engine.create(self._swarm_network(identity, ask))
            except BaseException:
                # What was made here, and nothing else: another manager may have made its like.
                await self._networks.take_back(made)
                await self._nodes.turn()
                raise
        return await self._view_of(identity)

    async def remove(self, name: str) -> None:
        """Removes it from the Swarm and from Neutron. NOT_FOUND, UNSUPPORTED, IN_USE where the
        engine uses it or Neutron must keep what others use.
        """
        async with self._one:
            await self._require_manager()
            definition = await self._named(name)
            if not await self._engine.remove(name):
                raise KurierError(
                    Code.IN_USE,
                    f"Network {name} is in use: remove the services and containers on it first "
                    "(`docker service ls`, `docker network inspect`).",
                )
            try:
                await self._networks.delete(definition.id)
            finally:
                await self._nodes.turn()

    async def views(self) -> list[SwarmView]:
        """Every network of this Swarm."""
        nodes = await self._engine.nodes()
        found = await self._nodes.definitions()
        return [_view(one, nodes) for one in sorted(found, key=lambda one: one.name)]

    async def _define(self, identity: DockerNetworkId, ask: SwarmAsk) -> NetworkRecord:
        """What an engine's `network create` does, under the definition's id."""
        drawn: list[PoolId] = []
        try:
            data = [await self._range(one, ask, drawn) for one in ask.ranges]
            await self._networks.create(
                NetworkAsk(
                    identity,
                    ask.options,
                    ask.internal,
                    any(one.cidr.version == 6 for one in data),
                    tuple(data),
                    name=ask.name,
                )
            )
        except BaseException:
            for pool in drawn:
                await self._pools.release(pool)
            raise
        made = self._ledger.network(identity)
        if made is None:
            raise KurierError(Code.CHANGED, f"Network {ask.name} was removed while it was made.")
        self._forget(identity)
        return made

    async def _range(self, ask: RangeAsk, whole: SwarmAsk, drawn: list[PoolId]) -> PoolData:
        options = whole.ipam_options
        answer: PoolAnswer = await self._pools.request(
            PoolAsk("", ask.cidr, ask.ip_range, options, ask.v6)
        )
        drawn.append(answer.pool_id)
        gateway = answer.gateway.ip if answer.gateway and ask.gateway is None else ask.gateway
        asked = AddressAsk(answer.pool_id, gateway, gateway=True)
        gateway = (await self._addresses.request(asked)).ip
        return PoolData(answer.cidr, gateway, ask.auxiliary)

    def _forget(self, identity: DockerNetworkId) -> None:
        with self._ledger.transaction():
            for pool in self._ledger.pools():
                if pool.network == identity:
                    self._ledger.drop_pool(pool.id)
            self._ledger.drop_network(identity)

    def _swarm_network(self, identity: DockerNetworkId, ask: SwarmAsk) -> SwarmNetwork:
        return SwarmNetwork(
            ask.name,
            config_name(ask.name, identity),
            self._context.settings.swarm_driver,
            ask.attachable,
        )

    async def _require_manager(self) -> None:
        if not self._context.engine.in_swarm:
            raise bad_request(
                "This engine is in no Swarm: begin one with `docker swarm init`, or join one."
            )
        if await self._engine.nodes() is None:
            raise KurierError(
                Code.UNSUPPORTED,
                "This node is no manager of its Swarm: run the command on one of those that "
                "`docker node ls` calls a manager.",
            )

    async def _named(self, name: str) -> Definition:
        for definition in await self._nodes.definitions():
            if definition.name == name:
                return definition
        raise KurierError(
            Code.NOT_FOUND,
            f"The Swarm has no network {name} of Kurier's: see `kurier swarm network list`.",
        )

    async def _view_of(self, identity: DockerNetworkId) -> SwarmView:
        for definition in await self._nodes.definitions():
            if definition.id == identity:
                return _view(definition, await self._engine.nodes())
        raise KurierError(Code.CHANGED, "The network was removed by another manager meanwhile.")


def _view(definition: Definition, nodes: int | None) -> SwarmView:
    return SwarmView(
        definition.name,
        definition.network.id,
        definition.network.name,
        tuple(str(one.cidr) for one in definition.subnets),
        len(definition.nodes),
        nodes,
    )
