# SPDX-License-Identifier: Apache-2.0
"""Keeps every pool as full as its demand asks: makes, wires, cools and gives up ports.

One turn looks at everything and starts what is due, at most one growth for a Neutron network and
one piece of each other work for a pool at a time. A pool that Neutron refuses to grow (full subnet,
quota, policy) rests, ever longer, and leaves the others alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId
from kurier.model.port import Event, PortRecord, Stage
from kurier.model.records import NetworkRecord
from kurier.model.stock import Counts, lacking, surplus
from kurier.service.arrival import Arrival
from kurier.service.context import Context
from kurier.service.growth import Growth
from kurier.service.inspection import Inspection
from kurier.service.outbox import LOST_ANSWER_DELAY
from kurier.service.recycling import Recycling
from kurier.service.stock import Stock, count
from kurier.service.traffic import Traffic

LOG = logging.getLogger(__name__)
_LONG = {Code.EXHAUSTED, Code.QUOTA, Code.POLICY, Code.BAD_REQUEST, Code.NOT_FOUND}
"""What will not mend itself in seconds."""
_FIRST_REST = {True: 30.0, False: 2.0}
_LONGEST_REST = {True: 600.0, False: 30.0}
_HELD_AGAIN = 5.0
_LOOK_AGAIN = 1.0
_ENDS_IN_A_REST = ("cool ", "look ")
"""Work that says by itself when to look again."""
_IDLE = 5.0
_PACE = 0.2
"""Seconds between two turns at least: a burst sets the event for each start."""
_FIRST_BATCH = 4
_GROWING = 2
"""Growths at once on this host; each is one bulk create."""
_BOOT = "pool-boot"


@dataclass(frozen=True, slots=True)
class Rest:
    """A pool that Neutron refused to grow, or a switch that would not wire."""

    reason: str
    until: float
    """Seconds of the monotonic clock."""
    pause: float
    code: Code


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool as people are told of it."""

    network: DockerNetworkId
    minimum: int
    maximum: int
    target: int
    counts: Counts
    drained: bool
    reason: str = ""
    """Why it does not grow, if it does not."""
    resting: float = 0.0
    """Seconds until it tries again."""
    name: str = ""
    """The engine's name of the network, where it is known."""


class Keeper:
    """Turns at its own pace, or when the stock changed."""

    def __init__(
        self, context: Context, stock: Stock, growth: Growth, traffic: Traffic, arrival: Arrival
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._clock = context.clock
        self.stock = stock
        self._growth = growth
        self._recycling = Recycling(context, stock)
        self.inspection = Inspection(context, stock)
        self._traffic = traffic
        self._arrival = arrival
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._rests: dict[str, Rest] = {}
        self._busy_since: float | None = None

    def start(self) -> None:
        """At start: after a reboot no device is there any more, whatever the ledger says."""
        boot = self._context.settings.boot_id
        if self._ledger.meta(_BOOT) == boot:
            return
        with self._ledger.transaction():
            for port in self._ledger.ports():
                if port.stage in (Stage.READY, Stage.COOLING):
                    self.stock.put(port, Event.UNPLUGGED, "the host was started anew")
            self._ledger.set_meta(_BOOT, boot)

    async def run(self) -> None:
        """Works for ever; cancel it to stop."""
        while True:
            self.stock.changed.clear()
            pause = self.turn()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stock.changed.wait(), pause)
            await asyncio.sleep(_PACE)

    async def stop(self) -> None:
        """Ends what is under way; the ledger knows how far each port is."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def turn(self) -> float:
        """Starts what is due; tells the seconds until the next look."""
        ports: dict[DockerNetworkId, list[PortRecord]] = defaultdict(list)
        for port in self.stock.pooled():
            ports[port.network].append(port)
        networks = {record.id: record for record in self._ledger.networks()}
        room = self._context.settings.pool.host_maximum - sum(map(len, ports.values()))
        quiet = self._quiet_enough()
        for record in networks.values():
            self._tend(record, ports.pop(record.id, []), room, quiet)
        for orphans in ports.values():
            self._give_up(orphans, "its network is gone")
        return self._pause()

    def views(self) -> list[PoolView]:
        """Every pool, for people and metrics."""
        found = []
        for network in self._ledger.networks():
            limits = self.stock.limits(network)
            drained = self.stock.drained(network.id)
            if limits is None and not drained:
                continue
            rest = self._rest(network)
            found.append(
                PoolView(
                    network.id,
                    limits.minimum if limits else 0,
                    limits.maximum if limits else 0,
                    self.stock.target(network),
                    self.stock.counts(network.id),
                    drained,
                    rest.reason if rest else "",
                    max(0.0, rest.until - self._clock.monotonic()) if rest else 0.0,
                    network.name,
                )
            )
        return found

    async def filled(self, network: NetworkRecord, seconds: float) -> bool:
        """Waits until a pool has its minimum, or rests, or for so long."""
        limits = self.stock.limits(network)
        until = self._clock.monotonic() + seconds
        while limits is not None and self.stock.ready(network.id) < limits.minimum:
            if self._rest(network) is not None or self._clock.monotonic() >= until:
                return False
            await asyncio.sleep(0.05)
        return True

    async def grown(self, network: DockerNetworkId) -> None:
        """Waits until no port of a pool is being made or wired."""
        await self.stock.grown(network)

    def refusal(self, network: NetworkRecord) -> KurierError | None:
        """Why Neutron would refuse one more port, where it said so moments ago."""
        rest = self._rest(network)
        if rest is None or rest.code not in (Code.EXHAUSTED, Code.QUOTA):
            return None
        fresh = rest.pause - (rest.until - self._clock.monotonic()) < _HELD_AGAIN
        return KurierError(rest.code, rest.reason) if fresh else None

    # ── one pool ──

    def _tend(
        self, network: NetworkRecord, ports: list[PortRecord], room: int, quiet: bool
    ) -> None:
        limits = self.stock.limits(network)
        if limits is None:
            self._give_up(ports, "its pool is drained or ended")
            return
        idle = [port for port in ports if port.id not in self.stock.under_way]
        self._wire(network, [port for port in idle if port.stage is Stage.BOUND and not port.used])
        if self._arrival.over:
            self._inspect(network, [port for port in idle if port.used])
            self._cool(
                network, [port for port in idle if port.stage is Stage.COOLING and not port.used]
            )
        self._find(network, [port for port in idle if port.stage is Stage.MAKING])
        counts, level = count(ports), self.stock.level(network.id)
        low = counts.ready * 10 <= self.stock.target(network)
        more = lacking(replace(limits, room=max(0, room)), counts, level)
        if more and (quiet or low) and self._rest(network) is None:
            first = min(more, _FIRST_BATCH) if counts.ready == 0 else more
            self._grow(network, first)
        elif quiet and not more and self._arrival.over:
            less = surplus(limits, counts, level)
            ready = [port for port in ports if port.stage is Stage.READY]
            for port in sorted(ready, key=lambda one: one.since)[:less]:
                self.stock.drop(port, "more are ready than are asked for")

    def _grow(self, network: NetworkRecord, number: int) -> None:
        growing = sum(1 for name in self._tasks if name.startswith("grow "))
        name = f"grow {network.neutron_id}"
        if growing < _GROWING and name not in self._tasks:
            self._begin(name, network, lambda: self._grown(network, number))

    async def _grown(self, network: NetworkRecord, number: int) -> None:
        """Makes so many ports, or as many as there is room for: Neutron makes all of a bulk or
        none, and one address that is left is somebody's start.
        """
        while True:
            try:
                return await self._growth.make(network, number)
            except KurierError as error:
                if number == 1 or error.code not in (Code.EXHAUSTED, Code.QUOTA):
                    raise
            number //= 2

    def _wire(self, network: NetworkRecord, ports: list[PortRecord]) -> None:
        if ports and self._rest(network, "wire ") is None:
            batch = ports[: self._context.settings.pool.batch]
            self._begin(
                f"wire {network.id}", network, lambda: self._growth.wire(network, batch), "wire "
            )

    def _inspect(self, network: NetworkRecord, ports: list[PortRecord]) -> None:
        """Those whose time is over, and those that lost their device, before they are ready."""
        due = [
            port
            for port in ports
            if port.stage is Stage.BOUND
            or (port.stage is Stage.COOLING and self.stock.cooled_at(port) <= 0)
        ]
        if due and self._rest(network, "look ") is None:
            self._begin(
                f"look {network.id}", network, lambda: self._inspected(network, due), "look "
            )

    async def _inspected(self, network: NetworkRecord, due: list[PortRecord]) -> None:
        await self.inspection.look(due)
        if any(port.used for port in self.stock.pooled(network.id)):
            self._pause_pool(f"look {network.id}", "", Code.IN_USE, _LOOK_AGAIN)

    def _cool(self, network: NetworkRecord, ports: list[PortRecord]) -> None:
        due = [port for port in ports if self.stock.cooled_at(port) <= 0]
        if due and self._rest(network, "cool ") is None:
            self._begin(f"cool {network.id}", network, lambda: self._cooled(network, due), "cool ")

    async def _cooled(self, network: NetworkRecord, due: list[PortRecord]) -> None:
        waiting = False
        for port in due:
            await self._recycling.finish(port, network)
            current = self._ledger.port(port.id)
            waiting = waiting or (current is not None and current.stage is Stage.COOLING)
        if waiting:
            self._pause_pool(f"cool {network.id}", "", Code.IN_USE, _HELD_AGAIN)

    def _find(self, network: NetworkRecord, ports: list[PortRecord]) -> None:
        now = self._clock.now()
        lost = [port for port in ports if (now - port.since).total_seconds() >= LOST_ANSWER_DELAY]
        if lost and self._rest(network) is None:
            self._begin(f"find {network.id}", network, lambda: self._growth.look_for(network, lost))

    def _give_up(self, ports: list[PortRecord], reason: str) -> None:
        if not self._arrival.over:
            return
        self.stock.drop_all([port for port in ports if port.id not in self.stock.under_way], reason)

    # ── work in the background ──

    def _begin(
        self,
        name: str,
        network: NetworkRecord,
        work: Callable[[], Awaitable[None]],
        kind: str = "",
    ) -> None:
        if name not in self._tasks:
            task = asyncio.create_task(self._guarded(f"{kind}{network.id}", work), name=name)
            self._tasks[name] = task
            task.add_done_callback(lambda _: self._ended(name))

    def _ended(self, name: str) -> None:
        self._tasks.pop(name, None)
        self.stock.changed.set()

    async def _guarded(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except KurierError as error:
            self._refused(key, error.code, error.sentence)
        except Exception as error:
            LOG.exception("the pool of %s failed", key)
            self._refused(key, Code.INTERNAL, f"{type(error).__name__}: {error}")
        else:
            if not key.startswith(_ENDS_IN_A_REST):
                self._rests.pop(key, None)

    def _refused(self, key: str, code: Code, sentence: str) -> None:
        last, long = self._rests.get(key), code in _LONG
        pause = _FIRST_REST[long]
        if last is not None and last.code is code:
            pause = min(last.pause * 2, _LONGEST_REST[long])
        LOG.warning("pool of %s: %s Next try in %.0f s.", key, sentence, pause)
        self._pause_pool(key, sentence, code, pause)

    def _pause_pool(self, key: str, sentence: str, code: Code, pause: float) -> None:
        self._rests[key] = Rest(sentence, self._clock.monotonic() + pause, pause, code)

    def _rest(self, network: NetworkRecord, kind: str = "") -> Rest | None:
        if network.id in self.stock.roomy:
            self.stock.roomy.discard(network.id)
            self._rests.pop(network.id, None)
        rest = self._rests.get(f"{kind}{network.id}")
        return rest if rest is not None and rest.until > self._clock.monotonic() else None

    # ── when ──

    def _quiet_enough(self) -> bool:
        """Whether no container starts or stops, or has for so long that the work must go on."""
        if not self._traffic.quiet_in():
            self._busy_since = None
            return True
        now = self._clock.monotonic()
        self._busy_since = self._busy_since or now
        return now - self._busy_since >= self._context.settings.pool.lag

    def _pause(self) -> float:
        waits = [_IDLE, self._traffic.quiet_in() or _IDLE]
        waits += [rest.until - self._clock.monotonic() for rest in self._rests.values()]
        for port in self._ledger.ports():
            if port.stage is Stage.COOLING:
                waits.append(self.stock.cooled_at(port))
        return max(_PACE, min(wait for wait in waits if wait > 0))
