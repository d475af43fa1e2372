# SPDX-License-Identifier: Apache-2.0
"""The reconciler: makes ledger, Neutron, switch and engine agree again, for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import LeaseId, PortId
from kurier.model.neutron import Port, PortFilter
from kurier.model.records import LeaseState
from kurier.model.stock import Stage, StageEvent, StockPort
from kurier.model.upkeep import Plan, Snapshot, Suspect, astray, plan
from kurier.service.context import Context
from kurier.service.exposure import Exposure
from kurier.service.growth import Growth
from kurier.service.outbox import JobKind, Outbox
from kurier.service.pools import Pools
from kurier.service.ports import Ports
from kurier.service.rebuilding import Rebuilding
from kurier.service.stock import Stock
from kurier.service.titles import Titles

LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass saw and did, for logs and `kurier reconcile`."""

    at: datetime
    released: tuple[str, ...] = ()
    unplugged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    unknown: tuple[str, ...] = field(default=())
    """Whose answer did not come; nothing was concluded there."""


@dataclass(frozen=True, slots=True)
class Hands:
    """The use cases through which a pass looks and acts."""

    ports: Ports
    stock: Stock
    growth: Growth
    exposure: Exposure
    rebuilding: Rebuilding
    titles: Titles
    pools: Pools


class Reconciler:
    """Passes at an interval, or when asked."""

    def __init__(self, context: Context, outbox: Outbox, hands: Hands) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._hands = hands
        self._seen: dict[Suspect, datetime] = {}
        self._one = asyncio.Lock()
        self.last: PassReport | None = None

    async def run(self) -> None:
        """Passes for ever; cancel it to stop."""
        while True:
            try:
                await self.turn()
            except Exception:
                LOG.exception("reconcile pass failed")
            await asyncio.sleep(self._context.settings.reconcile_interval)

    async def turn(self) -> PassReport:
        """One pass."""
        async with self._one:
            snapshot, unknown = await self._look()
            grace = timedelta(seconds=self._context.settings.reconcile_grace)
            decided = plan(snapshot, self._seen, grace)
            self._remember(snapshot, decided)
            self._carry_out(decided)
            await self._replace(decided.replace)
            await self._hands.rebuilding.rebuild(decided.rebuild, snapshot)
            await self._hands.titles.learn()
            self._hands.pools.forget_forsaken()
            self.last = _report(snapshot, decided, unknown)
            return self.last

    async def _look(self) -> tuple[Snapshot, tuple[str, ...]]:
        at_work = self._at_work()
        begun = self._context.clock.now()
        # The ledger is read last: what the others saw and it does not know is then truly unknown.
        plugged = await _asked("switch", self._context.datapath.plugged())
        endpoints = await _asked("engine", self._context.engine.endpoints())
        ports = await _asked("Neutron", self._own_ports())
        unworn = await _asked("Neutron", self._hands.exposure.unworn())
        answers = {"switch": plugged, "engine": endpoints, "Neutron": ports}
        unknown = tuple(name for name, answer in answers.items() if answer is None)
        snapshot = Snapshot(
            self._context.clock.now(),
            tuple(self._ledger.leases()),
            None if plugged is None else tuple(plugged),
            endpoints,
            None if ports is None else tuple(ports),
            at_work | self._at_work(),
            tuple(self._ledger.stock()),
            begun,
            unworn,
        )
        return snapshot, unknown

    def _at_work(self) -> frozenset[LeaseId]:
        return frozenset(self._hands.ports.under_way | self._hands.growth.under_way)

    async def _own_ports(self) -> list[Port]:
        """This host's, of every environment that it was in."""
        host = tags.host_tag(await self._context.host())
        found: dict[PortId, Port] = {}
        for environment in await self._context.environment.all():
            marks = (tags.environment_tag(environment), host)
            ports = await self._context.cloud.ports(PortFilter(tags=marks))
            found |= {port.id: port for port in ports}
        return [port for port in found.values() if tags.RESERVED not in port.tags]

    def _remember(self, snapshot: Snapshot, decided: Plan) -> None:
        """Keeps since when a suspect was seen; one that a pass cleared begins anew."""
        self._seen = {one: self._seen.get(one, snapshot.now) for one in decided.suspects}

    def _carry_out(self, decided: Plan) -> None:
        for lease_id in decided.release:
            lease = self._ledger.lease(lease_id)
            if lease is not None and lease.state is not LeaseState.RELEASING:
                self._hands.ports.release(lease)
        self._plug_anew(decided.replug)
        for device in decided.unplug:
            self._outbox.add(JobKind.DROP_PLUG, device)
        for port_id in decided.delete:
            self._outbox.add(JobKind.DROP_PORT, port_id)
        for group in decided.drop_groups:
            self._outbox.add(JobKind.DROP_GROUP, group)
        for lease in self._ledger.leases():
            forgotten = self._ledger.job(JobKind.DROP_LEASE, lease.id) is None
            if lease.state is LeaseState.RELEASING and forgotten:
                self._outbox.add(JobKind.DROP_LEASE, lease.id)

    def _plug_anew(self, waiting: Iterable[LeaseId]) -> None:
        for lease_id in waiting:
            port = self._ledger.stock_port(lease_id)
            if port is not None and port.stage is Stage.READY:
                self._hands.stock.put(port, StageEvent.UNPLUGGED, "the switch did not serve it")

    async def _replace(self, strays: Iterable[LeaseId]) -> None:
        for lease_id in strays:
            port = self._ledger.stock_port(lease_id)
            if port is None or port.stage in (Stage.MAKING, Stage.DROPPING):
                continue
            reason = await self._proven(port)
            if reason and self._ledger.stock_port(lease_id) == port:
                self._hands.stock.drop(port, reason)

    async def _proven(self, port: StockPort) -> str:
        """What is wrong with a port of a pool by Neutron's word on the port itself: two lists in a
        row may lack what is there.
        """
        if port.port_id is None:
            return ""
        try:
            found = await self._context.cloud.port(port.port_id)
        except KurierError as error:
            return "it was deleted in Neutron" if error.code is Code.NOT_FOUND else ""
        if not await self._is_marked(found):
            return "it lost its tags in Neutron"
        return astray(port, found)

    async def _is_marked(self, port: Port) -> bool:
        """Whether a port has this host's tag, and that of an environment it was ever in."""
        known = {tags.environment_tag(one) for one in await self._context.environment.all()}
        return tags.host_tag(await self._context.host()) in port.tags and bool(known & port.tags)


async def _asked(whom: str, answer: Awaitable[_Answer]) -> _Answer | None:
    try:
        return await answer
    except KurierError as error:
        LOG.info("reconcile: %s did not answer: %s", whom, error.sentence)
        return None


def _report(snapshot: Snapshot, decided: Plan, unknown: tuple[str, ...]) -> PassReport:
    return PassReport(
        snapshot.now,
        tuple(decided.release),
        decided.unplug,
        tuple(decided.delete),
        tuple(f"{one.kind} {one.key}: {one.reason}" for one in decided.suspects),
        decided.reports,
        unknown,
    )
