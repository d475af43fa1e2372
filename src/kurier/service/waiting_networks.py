# SPDX-License-Identifier: Apache-2.0
"""Networks made beforehand, for `docker network create` without `--subnet`.

Neutron gives a range only to a subnet, and a subnet needs a network: both wait together, drawn from
the default IPv4 subnet pool, and are renamed and tagged when somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from kurier.model.errors import KurierError
from kurier.model.records import PoolRecord
from kurier.service.context import Context
from kurier.service.lookup import default_pool
from kurier.service.outbox import JobKind, Outbox
from kurier.service.pools import Pools

LOG = logging.getLogger(__name__)
_TARGET = "waiting-networks"
_PACE = 5.0
_REST = 30.0
_LONGEST_REST = 600.0


@dataclass(frozen=True, slots=True)
class WaitingNetworks:
    """What waits, as people are told of it."""

    target: int
    ranges: tuple[str, ...]
    note: str = ""


class NetworkKeeper:
    """Keeps so many networks waiting as the configuration, or an operator, says."""

    def __init__(self, context: Context, outbox: Outbox, pools: Pools) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._pools = pools
        self._note = ""

    async def run(self) -> None:
        """Works for ever; cancel it to stop."""
        pause = _PACE
        while True:
            self._pools.asked.clear()
            try:
                await self.turn()
                pause, self._note = _PACE, ""
            except KurierError as error:
                pause = min(max(pause * 2, _REST), _LONGEST_REST)
                self._note = error.sentence
                LOG.warning("no network waits: %s Next try in %.0f s.", error.sentence, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._pools.asked.wait(), pause)

    async def turn(self) -> None:
        """Makes what lacks and gives up what is too much."""
        waiting, target = self._waiting(), self.target
        for record in waiting[target:]:
            with self._ledger.transaction():
                self._ledger.drop_pool(record.id)
                self._outbox.add(JobKind.DROP_POOL, record.id)
        for _ in range(target - len(waiting)):
            configured = self._context.settings.default_pool_v4
            pool = await default_pool(self._context.cloud, configured, 4)
            self._pools.keep(await self._pools.draw(pool))

    @property
    def target(self) -> int:
        """How many should wait: as an operator said, else as configured."""
        told = self._ledger.meta(_TARGET)
        return self._context.settings.pool.networks if told is None else int(told)

    def view(self) -> WaitingNetworks:
        """What waits."""
        ranges = tuple(str(record.cidr) for record in self._waiting())
        return WaitingNetworks(self.target, ranges, self._note)

    def want(self, number: int) -> None:
        """Has so many wait from now on, also after a restart."""
        self._ledger.set_meta(_TARGET, str(number))
        self._pools.asked.set()

    def _waiting(self) -> list[PoolRecord]:
        found = [record for record in self._ledger.pools() if record.waiting]
        return sorted(found, key=lambda record: record.requested_at)
