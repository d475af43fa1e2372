# SPDX-License-Identifier: Apache-2.0
"""Networks that the engine does not know any more: removed while Kurier was stopped, or by an
engine that died before it said so.
"""

from __future__ import annotations

import logging

from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId
from kurier.model.port import IN_USE, user_of
from kurier.model.records import NetworkRecord, NetworkState
from kurier.model.swarm import is_definition
from kurier.model.trouble import Kind, Trouble
from kurier.service.context import Context
from kurier.service.networks import Networks
from kurier.service.pools import Pools
from kurier.service.titles import called

LOG = logging.getLogger(__name__)
_ENGINE = "engine"
"""Where the ledger keeps the id of the engine that its networks are of."""
_LEAST = 20.0
"""Seconds after which an engine that makes or removes a network has surely said so."""


class Forgotten:
    """Takes such networks away, after whole lists of the same engine's that lack them."""

    def __init__(self, context: Context, networks: Networks, pools: Pools) -> None:
        self._context = context
        self._ledger = context.ledger
        self._networks = networks
        self._pools = pools
        self._missing_since: dict[DockerNetworkId, float] = {}
        """In seconds of the monotonic clock."""

    async def look(self) -> list[Trouble]:
        """One look; tells of each network that the engine does not know."""
        before = self._candidates()
        listed = await self._context.engine.networks()
        same = await self._is_same_engine()
        # One that is being made is listed when that was answered; and no engine is without networks
        # of its own.
        if self._pools.creating or not listed:
            self._missing_since.clear()
            return []
        still = [one for one in self._candidates() if one in before and one.id not in listed]
        now = self._context.clock.monotonic()
        self._missing_since = {one.id: self._missing_since.get(one.id, now) for one in still}
        return [trouble for one in still if (trouble := self._judge(one, now, same)) is not None]

    async def forget(self, name: str) -> str:
        """What an operator asks for: the network's id. NOT_FOUND; CONFLICT where the engine knows
        it or a container has a port of it.
        """
        record = called(self._candidates(), name, "kurier network list")
        shown = record.name or record.id
        if record.id in await self._context.engine.networks():
            raise KurierError(
                Code.CONFLICT,
                f"Docker knows network {shown}: remove it with `docker network rm {shown}`.",
            )
        users = self._users(record)
        if users:
            raise KurierError(
                Code.CONFLICT,
                f"Network {shown} is used by {', '.join(users)}: stop them first.",
            )
        await self._networks.remove(record)
        return record.id

    def _judge(self, record: NetworkRecord, now: float, same: bool) -> Trouble | None:
        name = record.name or record.id
        users = self._users(record)
        left = max(_LEAST, self._context.settings.reconcile_grace) - (
            now - self._missing_since[record.id]
        )
        if not same:
            why = (
                "is of another Docker engine than the one that runs here now: take it away with "
                f"`kurier network forget {name}`, or start that engine again."
            )
        elif users:
            why = f"is not known to Docker any more, but {', '.join(users)} still have ports of it."
        elif left > 0:
            why = f"is not known to Docker any more: it is taken away in {left:.0f} s."
        else:
            LOG.warning("network %s is taken away: the engine does not know it any more", name)
            self._networks.schedule_removal(record)
            return None
        return Trouble(Kind.NETWORK_FORGOTTEN, f"network {name}", f"Network {name} {why}")

    def _candidates(self) -> list[NetworkRecord]:
        return [
            record
            for record in self._ledger.networks()
            if record.state is NetworkState.ACTIVE and not is_definition(record.id)
        ]

    def _users(self, record: NetworkRecord) -> list[str]:
        return sorted(
            user_of(port) for port in self._ledger.ports(record.id) if port.stage in IN_USE
        )

    async def _is_same_engine(self) -> bool:
        identity = await self._context.engine.identity()
        known = self._ledger.meta(_ENGINE)
        if known is None:
            self._ledger.set_meta(_ENGINE, identity)
        return known in (None, identity)
