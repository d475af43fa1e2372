# SPDX-License-Identifier: Apache-2.0
"""Puts back what somebody took out of the switch, by notice or when a pass sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from kurier.model.errors import KurierError
from kurier.model.ids import PortKey
from kurier.model.port import Event, PortRecord, Stage
from kurier.model.trouble import Kind, Trouble
from kurier.model.upkeep import Snapshot, cut_off, trouble_of, unserved
from kurier.model.wiring import plug_of
from kurier.service.context import Context
from kurier.service.stock import Stock

LOG = logging.getLogger(__name__)
_BREATH = 0.2
"""Seconds between a notice and the look: what was lost together is put back together."""


class Mending:
    """Keeps containers and ready ports in the switch."""

    def __init__(self, context: Context, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self._stock = stock

    async def run(self) -> None:
        """Looks whenever the switch tells of a loss; cancel it to stop."""
        while True:
            await self._context.datapath.lost()
            await asyncio.sleep(_BREATH)
            try:
                await self.look()
            except KurierError as error:
                LOG.info("what the switch lost is looked for later: %s", error.sentence)

    async def look(self) -> None:
        """Compares the ledger with the switch alone."""
        begun = self._context.clock.now()
        at_work = frozenset(self._stock.under_way)
        plugged = tuple(await self._context.datapath.plugged())
        snapshot = Snapshot(
            self._context.clock.now(),
            tuple(self._ledger.ports()),
            plugged,
            None,
            None,
            at_work | self._stock.under_way,
            begun,
        )
        self.plug_anew(unserved(snapshot))
        await self.restore(cut_off(snapshot))

    def plug_anew(self, waiting: Iterable[PortKey]) -> None:
        """Ready ports that nobody may take before the keeper has plugged them again."""
        for key in waiting:
            port = self._ledger.port(key)
            if port is not None and port.stage is Stage.READY:
                self._stock.put(port, Event.UNPLUGGED, "the switch did not serve it")

    async def restore(self, cut_off: Iterable[PortKey]) -> list[Trouble]:
        """Puts ports of containers back; tells those whose device is gone."""
        return [
            trouble_of(
                port,
                Kind.CUT_OFF,
                f"has lost its device {port.device} on this host: restart the container.",
            )
            for key in cut_off
            if (port := self._ledger.port(key)) is not None and not await self._restored(port)
        ]

    async def _restored(self, port: PortRecord) -> bool:
        network = self._ledger.network(port.network)
        if port.stage is not Stage.LEASED or network is None or port.id in self._stock.under_way:
            return True
        with self._stock.working_on([port]):
            there = await self._context.datapath.replug(plug_of(port, network.mtu))
        if there:
            LOG.warning(
                "port %s of %s was not in the switch any more, and is put back",
                port.port_id,
                port.container or port.endpoint,
            )
        return there or self._ledger.port(port.id) != port
