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
from kurier.model.ids import EndpointId, PortId, PortKey
from kurier.model.likeness import lost_word
from kurier.model.neutron import Port, PortFilter
from kurier.model.port import IN_USE, POOLED, PortRecord, Stage, user_of
from kurier.model.trouble import Kind, Trouble
from kurier.model.upkeep import Plan, Snapshot, Suspect, astray, orphans, plan, trouble_of
from kurier.model.wiring import Plugged
from kurier.service.context import Context
from kurier.service.exposure import Exposure
from kurier.service.forgotten import Forgotten
from kurier.service.mending import Mending
from kurier.service.outbox import JobKind, Outbox
from kurier.service.pools import Pools
from kurier.service.ports import Ports
from kurier.service.rebuilding import Rebuilding
from kurier.service.stock import Stock
from kurier.service.titles import Titles

LOG = logging.getLogger(__name__)
_GONE = "was deleted in Neutron, and nothing reaches the container: restart it to give it another."
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class PassReport:
    """What one pass saw and did, for logs and `kurier reconcile`."""

    at: datetime
    released: tuple[str, ...] = ()
    unplugged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    """What only people can mend."""
    unknown: tuple[str, ...] = field(default=())
    """Whose answer did not come; nothing was concluded there."""


@dataclass(frozen=True, slots=True)
class Hands:
    """The use cases through which a pass looks and acts."""

    ports: Ports
    stock: Stock
    mending: Mending
    exposure: Exposure
    rebuilding: Rebuilding
    titles: Titles
    pools: Pools
    forgotten: Forgotten


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

    def troubles(self) -> tuple[Trouble, ...]:
        """What the last pass found that only people can mend."""
        return () if self.last is None else self.last.troubles

    async def turn(self) -> PassReport:
        """One pass."""
        async with self._one:
            snapshot, unknown = await self._look()
            grace = timedelta(seconds=self._context.settings.reconcile_grace)
            decided = plan(snapshot, self._seen, grace)
            self._remember(snapshot, decided)
            self._carry_out(decided)
            troubles = [
                *decided.troubles,
                *await self._of_containers(decided, snapshot),
                *(await _asked("engine", self._hands.forgotten.look()) or ()),
            ]
            await self._replace(decided.replace)
            await self._hands.rebuilding.rebuild(decided.rebuild, snapshot)
            await self._hands.titles.learn()
            self._hands.pools.forget_forsaken()
            self.last = _report(snapshot, decided, troubles, unknown)
            return self.last

    async def _look(self) -> tuple[Snapshot, tuple[str, ...]]:
        at_work = self._at_work()
        begun = self._context.clock.now()
        # The ledger is read last: what the others saw and it does not know is then truly unknown.
        plugged = await _asked("switch", self._context.datapath.plugged())
        living = await _asked("engine", self._context.engine.living())
        ports = await _asked("Neutron", self._own_ports(plugged or ()))
        unworn = await _asked("Neutron", self._hands.exposure.unworn())
        answers = {"switch": plugged, "engine": living, "Neutron": ports}
        unknown = tuple(name for name, answer in answers.items() if answer is None)
        snapshot = Snapshot(
            self._context.clock.now(),
            tuple(self._ledger.ports()),
            None if plugged is None else tuple(plugged),
            living,
            None if ports is None else tuple(ports),
            at_work | self._at_work(),
            begun,
            unworn,
        )
        return snapshot, unknown

    def _at_work(self) -> frozenset[PortKey]:
        return frozenset(self._hands.stock.under_way)

    async def _own_ports(self, plugged: Iterable[Plugged]) -> list[Port]:
        """This host's, of every environment that it was in; and those that containers have here, of
        which neither their tags nor the ledger tells.
        """
        host = tags.host_tag(await self._context.host())
        found: dict[PortId, Port] = {}
        for environment in await self._context.environment.all():
            marks = (tags.environment_tag(environment), host)
            ports = await self._context.cloud.ports(PortFilter(tags=marks))
            found |= {port.id: port for port in ports}
        held = {one.port_id for one in plugged if one.link_present and not one.peer_present}
        known = {port.port_id for port in self._ledger.ports()}
        untold = tuple(one for one in held - known - found.keys() if one)
        if untold:
            ports = await self._context.cloud.ports(PortFilter(ids=untold))
            found |= {port.id: port for port in ports}
        return [port for port in found.values() if tags.RESERVED not in port.tags]

    def _remember(self, snapshot: Snapshot, decided: Plan) -> None:
        """Keeps since when a suspect was seen; one that a pass cleared begins anew."""
        self._seen = {one: self._seen.get(one, snapshot.now) for one in decided.suspects}

    def _carry_out(self, decided: Plan) -> None:
        for key in decided.release:
            lease = self._ledger.port(key)
            if lease is not None and lease.stage in IN_USE:
                self._hands.ports.release(lease)
        self._hands.mending.plug_anew(decided.replug)
        for key in decided.settle:
            if self._ledger.job(JobKind.SETTLE, key) is None:
                self._outbox.add(JobKind.SETTLE, key)
        for device in decided.unplug:
            self._outbox.add(JobKind.DROP_PLUG, device)
        for port_id in decided.delete:
            self._outbox.add(JobKind.DROP_STRAY, port_id)
        for group in decided.drop_groups:
            self._outbox.add(JobKind.DROP_GROUP, group)
        for port in self._ledger.ports():
            if port.stage is Stage.RELEASING:
                self._hands.ports.release(port)  # where its job was lost

    async def _of_containers(self, decided: Plan, snapshot: Snapshot) -> list[Trouble]:
        """Puts ports of containers right, and tells what is beyond that of those that run."""
        cut_off = await _asked("switch", self._hands.mending.restore(decided.restore)) or []
        gone = [await self._missed(key) for key in decided.miss]
        running = {
            user_of(port) for port in snapshot.known if port.endpoint in (snapshot.living or ())
        }
        found = [one for one in (*cut_off, *gone) if one is not None and one.whom in running]
        return found + [await self._orphan(*one) for one in orphans(snapshot)]

    async def _orphan(self, endpoint: EndpointId, port_id: PortId) -> Trouble:
        facts = await _asked("engine", self._context.engine.container_of(endpoint))
        whom = f"container {facts.name}" if facts else f"endpoint {endpoint}"
        return Trouble(Kind.PORT_GONE, whom, f"Port {port_id} of {whom} {_GONE}")

    async def _missed(self, key: PortKey) -> Trouble | None:
        """By Neutron's word on the port itself: one that only lost its tags gets them again."""
        port = self._ledger.port(key)
        if port is None or port.stage is not Stage.LEASED or port.port_id is None:
            return None
        try:
            found = await self._context.cloud.port(port.port_id)
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                return None
            return trouble_of(
                port,
                Kind.PORT_GONE,
                _GONE,
            )
        if port.before is None and lost_word(port, found):
            self._outbox.add(JobKind.SETTLE, key)
        return None

    async def _replace(self, strays: Iterable[PortKey]) -> None:
        for key in strays:
            port = self._ledger.port(key)
            if port is None or port.stage not in POOLED:
                continue
            reason = await self._proven(port)
            if reason and self._ledger.port(key) == port:
                self._hands.stock.drop(port, reason)

    async def _proven(self, port: PortRecord) -> str:
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


def _report(
    snapshot: Snapshot, decided: Plan, troubles: list[Trouble], unknown: tuple[str, ...]
) -> PassReport:
    return PassReport(
        snapshot.now,
        tuple(decided.release),
        decided.unplug,
        tuple(decided.delete),
        tuple(f"{one.kind} {one.key}: {one.reason}" for one in decided.suspects),
        tuple(troubles),
        unknown,
    )
