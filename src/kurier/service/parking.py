# SPDX-License-Identifier: Apache-2.0
"""Takes off a port in Neutron, when it went back to its pool, what Kurier told of its container."""

from __future__ import annotations

from dataclasses import replace

from kurier.model.ids import PortKey
from kurier.model.likeness import ready_tags, undressing
from kurier.model.neutron import Kind
from kurier.model.port import POOLED, PortRecord
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.outbox import JobKind, Outbox
from kurier.service.stock import Stock


class Parking:
    """What the outbox does to settle a port that waits."""

    def __init__(self, context: Context, outbox: Outbox, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._outbox = outbox
        self._stock = stock

    async def park(self, key: PortKey) -> None:
        """Has Neutron know the port as one that waits."""
        parked = self._ledger.port(key)
        if parked is None or parked.port_id is None or parked.stage not in POOLED:
            return
        port = await unless_gone(self._cloud.port(parked.port_id))
        if port is None:
            self._stock.drop(parked, "it was deleted in Neutron")
            return
        change = undressing(parked, port)
        if not change.is_empty():
            insisted = None if change.security_groups is None else port.revision
            port = await self._cloud.update_port(port.id, change, insisted)
        wanted = ready_tags(parked, port)
        if wanted != port.tags:
            await self._cloud.replace_tags(Kind.PORT, port.id, sorted(wanted))
        self._undressed(parked)

    def _undressed(self, parked: PortRecord) -> None:
        """Notes that the group for exposed ports is off; its last wearer removes it."""
        if parked.exposing_group is None:
            self._stock.changed.set()
            return
        current = self._ledger.port(parked.id)
        with self._ledger.transaction():
            if current is not None and current.exposing_group == parked.exposing_group:
                self._ledger.put_port(replace(current, exposing_group=None))
            self._outbox.add(JobKind.DROP_GROUP, parked.exposing_group)
        self._stock.changed.set()
