# SPDX-License-Identifier: Apache-2.0
"""Compares ports that containers had with how they were made, before others get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kurier.model.ids import PortId
from kurier.model.likeness import unlike
from kurier.model.neutron import Port, PortFilter
from kurier.model.port import POOLED, PortRecord, Stage
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.outbox import JobKind
from kurier.service.stock import Stock

AT_ONCE = 50
"""Ports that one look may be at: their ids go into a URL."""
_OWED = "Neutron does not know yet that its container is gone"


class Inspection:
    """What an operator did to a container's port ends with the container."""

    def __init__(self, context: Context, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self._stock = stock

    async def look(self, ports: Sequence[PortRecord]) -> None:
        """Has each of these be as new, or go; one that Neutron has not been told of yet waits on.

        Two questions to Neutron for all of them. A port that a list lacks is asked for by itself.
        """
        made = [port for port in ports if port.port_id is not None]
        told = [port for port in made if self._is_parked(port)][:AT_ONCE]
        if not told:
            return
        found = await self._seen(told)
        led_to = await self._context.cloud.led_to(_ids(told))
        for port in told:
            if port.port_id is not None:
                seen = found.get(port.port_id)
                seen = seen or await unless_gone(self._context.cloud.port(port.port_id))
                self._judge(port, seen, led_to)

    async def look_at_ready(self) -> None:
        """Gives up every ready port that Neutron shows otherwise than it was made: what the ledger
        says may be older than what an earlier life told Neutron.
        """
        # One of an earlier release, which did not remember how it was made, the passes replace.
        waiting = [
            port
            for port in self._stock.pooled()
            if port.stage is Stage.READY and port.made is not None
        ]
        for first in range(0, len(waiting), AT_ONCE):
            some = waiting[first : first + AT_ONCE]
            found = await self._seen(some)
            for port in some:
                seen = found.get(port.port_id)
                fault = unlike(port, seen) if seen is not None else ""
                if fault and self._ledger.port(port.id) == port:
                    self._stock.drop(port, fault)

    async def _seen(self, ports: Sequence[PortRecord]) -> dict[PortId | None, Port]:
        """These ports as one list of Neutron's shows them."""
        found = await self._context.cloud.ports(PortFilter(ids=_ids(ports)))
        return {port.id: port for port in found}

    def _is_parked(self, port: PortRecord) -> bool:
        job = self._ledger.job(JobKind.SETTLE, port.id)
        if job is None:
            return True
        if job.attempts and port.reason != _OWED and self._ledger.port(port.id) == port:
            self._ledger.put_port(replace(port, reason=_OWED))
        return False

    def _judge(self, port: PortRecord, seen: Port | None, led_to: frozenset[PortId]) -> None:
        current = self._ledger.port(port.id)
        if current is None or current.stage not in POOLED or current.since != port.since:
            return  # it was taken, or given up, meanwhile
        if seen is None:
            self._stock.drop(current, "it was deleted in Neutron")
        elif fault := unlike(current, seen):
            self._stock.drop(current, fault)
        elif seen.id in led_to:
            self._stock.drop(current, "a floating IP leads to it")
        else:
            self._ledger.put_port(replace(current, used=False, reason=""))
            self._stock.changed.set()


def _ids(ports: Sequence[PortRecord]) -> tuple[PortId, ...]:
    return tuple(port.port_id for port in ports if port.port_id is not None)
