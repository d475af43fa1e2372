# SPDX-License-Identifier: Apache-2.0
"""Makes a port that a container gave back fit for the next one."""

from __future__ import annotations

from dataclasses import replace

from kurier.model.errors import KurierError
from kurier.model.port import Event, PortRecord
from kurier.model.records import NetworkRecord
from kurier.model.wiring import End, plug_of
from kurier.service.context import Context
from kurier.service.stock import Stock

_HELD = "its device is still in another network namespace"


class Recycling:
    """Ends the cooling of ports, one by one."""

    def __init__(self, context: Context, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self._stock = stock

    async def finish(self, port: PortRecord, network: NetworkRecord) -> None:
        """After its time: connection tracking forgotten, the sandbox's end as new, then ready.

        A port whose device somebody still holds waits on; one whose device is gone is plugged
        anew; one that cannot be made clean is given up.
        """
        end = await self._context.datapath.reset(plug_of(port, network.mtu))
        if end is End.AWAY:
            self._wait(port, _HELD)
            return
        try:
            await forget_flows(self._context, port)
        except KurierError as error:
            if self._unchanged(port):
                self._stock.drop(port, error.sentence)
            return
        if not self._unchanged(port):
            return
        if end is End.WAITING:
            self._stock.put(port, Event.COOLED)
        else:
            self._stock.put(port, Event.UNPLUGGED, "its device went with its container")

    def _unchanged(self, port: PortRecord) -> bool:
        return self._ledger.port(port.id) == port

    def _wait(self, port: PortRecord, reason: str) -> None:
        if port.reason != reason and self._unchanged(port):
            self._ledger.put_port(replace(port, reason=reason))


async def forget_flows(context: Context, port: PortRecord) -> None:
    """Has the switch forget what a port's former container was connected to; SWITCH_ERROR."""
    if port.port_id is not None:
        addresses = tuple(one.address for one in port.addresses)
        await context.datapath.forget_flows(port.port_id, addresses)
