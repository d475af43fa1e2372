# SPDX-License-Identifier: Apache-2.0
"""Tells Neutron of ports that went back to a pool, and takes away those that were given up."""

from __future__ import annotations

from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import LeaseId, PortId
from kurier.model.naming import port_name
from kurier.model.neutron import Kind, Port, PortChange, PortFilter
from kurier.model.records import Job
from kurier.model.stock import Stage, StockPort
from kurier.service.context import Context
from kurier.service.growth import ready_description
from kurier.service.keeper import Keeper
from kurier.service.outbox import JobKind, Outbox
from kurier.service.ports import unless_same


class Parking:
    """Carries out the outbox's jobs about ports of pools."""

    def __init__(self, context: Context, outbox: Outbox, keeper: Keeper) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._outbox = outbox
        self._keeper = keeper
        outbox.handle(JobKind.DROP_STOCK, self._drop)

    async def park(self, lease_id: LeaseId) -> None:
        """Takes off a port in Neutron all that its former container gave it."""
        parked = self._ledger.stock_port(lease_id)
        if parked is None or parked.port_id is None or parked.stage is Stage.DROPPING:
            return
        try:
            port = await self._cloud.port(parked.port_id)
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            self._keeper.stock.drop(parked, "it is gone from Neutron")
            return
        change = _change(parked, port)
        if not change.is_empty():
            await self._cloud.update_port(port.id, change)
        wanted = tags.with_role(port.tags, {tags.READY})
        if wanted != port.tags:
            await self._cloud.replace_tags(Kind.PORT, port.id, sorted(wanted))
        self._undressed(parked)

    def _undressed(self, parked: StockPort) -> None:
        """Notes that the group for exposed ports is off; its last wearer removes it."""
        if not parked.dressed:
            return
        current = self._ledger.stock_port(parked.id)
        with self._ledger.transaction():
            if current is not None and current.exposing_group == parked.exposing_group:
                undressed = replace(current, exposing_group=None, dressed=False, reason="")
                self._ledger.put_stock(undressed)
            if parked.exposing_group is not None:
                self._outbox.add(JobKind.DROP_GROUP, parked.exposing_group)
        self._keeper.stock.changed.set()

    async def _drop(self, job: Job) -> None:
        port = self._ledger.stock_port(LeaseId(job.key))
        if port is None or port.stage is not Stage.DROPPING:
            return
        await self._outbox.ended(JobKind.SETTLE, job.key)
        if port.device:
            await self._context.datapath.unplug(port.device)
        for port_id in await self._port_ids(port):
            await self._cloud.delete_port(port_id)
        if not self._outbox.last_look(job):
            return
        with self._ledger.transaction():
            self._ledger.drop_stock(port.id)
            if port.exposing_group is not None:
                self._outbox.add(JobKind.DROP_GROUP, port.exposing_group)
        self._keeper.grew_again(port.network)

    async def _port_ids(self, port: StockPort) -> list[PortId]:
        if port.port_id is not None:
            return [port.port_id]
        return [one.id for one in await self._cloud.ports(PortFilter(device_id=port.id))]


def _change(parked: StockPort, port: Port) -> PortChange:
    groups = parked.groups
    if groups is None:  # Neutron's default group, which is whatever is there but ours
        groups = tuple(one for one in port.security_groups if one != parked.exposing_group)
    same = set(groups) == set(port.security_groups) or not port.port_security
    return PortChange(
        name=unless_same(port.name, port_name(parked.id)),
        description=unless_same(port.description, ready_description(parked)),
        device_id=unless_same(port.device_id, parked.id),
        dns_name=unless_same(port.dns_name, ""),
        security_groups=None if same else groups,
    )
