# SPDX-License-Identifier: Apache-2.0
"""One host at a time makes subnets on a network that is not Kurier's own.

Neutron does not see that two subnets overlap whose creates are under way at the same moment, and
two of the same range would give out the same addresses. So whoever would make one says so by a tag
on the network, and looks after that: of two, at least the later one sees the other. Who sees nobody
goes ahead. Who sees others takes the tag off again and waits, but for the lowest tag's host: it
keeps the tag and waits until the others stepped back or are done, since one of them may have looked
before. A tag that stands still is a dead host's, and is taken off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kurier.model import tags
from kurier.model.ids import DockerNetworkId, NetworkId
from kurier.model.neutron import Kind
from kurier.service.context import Context
from kurier.service.doing import doing
from kurier.service.standing import Standing

LOG = logging.getLogger(__name__)
_PACE = 0.3


class Making:
    """Takes turns with other hosts, of whatever environment, and with others of this host."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cloud = context.cloud

    @asynccontextmanager
    async def turn(
        self, network_id: NetworkId, engine_network: DockerNetworkId
    ) -> AsyncIterator[None]:
        """Nobody else makes a subnet of the network within the block, for whichever engine network.

        Where the call is cancelled in it, the tag is left to the removal of what was half made.
        """
        mapping = tags.Mapping(await self._context.environment.mark(), engine_network)
        mine = tags.making_tag(mapping, await self._context.host())
        try:
            await self._enter(network_id, mine)
            yield
        except Exception:
            await self._cloud.remove_tag(Kind.NETWORK, network_id, mine)
            raise
        await self._cloud.remove_tag(Kind.NETWORK, network_id, mine)

    async def _enter(self, network_id: NetworkId, mine: str) -> None:
        standing = Standing(self._context.clock)
        while True:
            await self._cloud.add_tag(Kind.NETWORK, network_id, mine)
            others = await self._others(network_id, mine)
            while others and mine < min(others):
                others = await self._wait_for(network_id, mine, others, standing)
            if not others:
                return
            await self._cloud.remove_tag(Kind.NETWORK, network_id, mine)
            while others:
                others = await self._wait_for(network_id, mine, others, standing)

    async def _others(self, network_id: NetworkId, mine: str) -> set[str]:
        network = await self._cloud.network(network_id)
        return {tag for tag in network.tags if tags.is_making(tag)} - {mine}

    async def _wait_for(
        self, network_id: NetworkId, mine: str, others: set[str], standing: Standing
    ) -> set[str]:
        """Whose tags stand a moment later."""
        doing("another host was making a subnet of the network")
        for tag in standing.dead(others):
            LOG.warning("%s of network %s stands still: it is taken off", tag, network_id)
            await self._cloud.remove_tag(Kind.NETWORK, network_id, tag)
        await asyncio.sleep(_PACE)
        return await self._others(network_id, mine)
