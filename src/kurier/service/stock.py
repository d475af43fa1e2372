# SPDX-License-Identifier: Apache-2.0
"""Takes a ready port for an endpoint and takes it back: one transaction of the ledger each."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from kurier.model.ids import DockerNetworkId, IPAddress, PortKey, SubnetId
from kurier.model.port import IN_USE, POOLED, Event, PortAddress, PortRecord, Stage, move
from kurier.model.records import NetworkRecord, NetworkState, SubnetRecord
from kurier.model.stock import Counts, Demand, Limits, target
from kurier.model.swarm import is_definition
from kurier.service.context import Context
from kurier.service.outbox import LOST_ANSWER_DELAY, SETTLE_DELAY, UNANSWERED, JobKind, Outbox

LOG = logging.getLogger(__name__)
_DRAINED = "pool-drained"
_EVERYWHERE = "*"


class Stock:
    """This host's pools of ready ports, one for each engine network."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._settings = context.settings.pool
        self._ready: dict[DockerNetworkId, dict[PortKey, None]] = defaultdict(dict)
        """What may be taken, longest ready first."""
        self._demand: dict[DockerNetworkId, Demand] = {}
        self.changed = asyncio.Event()
        """Set whenever the keeper should look again."""
        self.under_way: set[PortKey] = set()
        """Ports at work: nobody else may move or judge them."""
        self.roomy: set[DockerNetworkId] = set()
        """Networks on which addresses became free since the keeper looked."""
        self._ended = asyncio.Event()
        for port in self._ledger.ports():
            self._shelve(port)

    # ── what an engine's call does ──

    def asked(self, network: DockerNetworkId) -> None:
        """One more start wants a port, whether or not one is ready: the pool's target rises."""
        demand = self._demand.get(network, Demand())
        now = self._context.clock.monotonic()
        self._demand[network] = demand.taken(now, self._settings.half_life)
        self.changed.set()

    def take(self, network: NetworkRecord, subnet: SubnetRecord) -> PortRecord | None:
        """A ready port with the subnet's address claimed; None where there is none.

        A port whose waiting end is not there any more is passed over.
        """
        for key in tuple(self._ready.get(network.id, ())):
            port = self._ledger.port(key)
            if port is None or port.stage is not Stage.READY:
                self._ready[network.id].pop(key, None)
            elif not self._context.datapath.end_waits(port.peer):
                self.put(port, Event.UNPLUGGED, "its device is gone from the host")
            elif any(one.subnet_id == subnet.id for one in port.addresses):
                return self._taken(port, subnet, warm=True)
        return None

    def holder(self, subnet_id: SubnetId, address: IPAddress) -> PortRecord | None:
        """The port of a pool of this host that has an address, or had it and is given up."""
        for port in self._ledger.ports():
            if port.stage not in IN_USE:
                for one in port.addresses:
                    if (one.subnet_id, one.address) == (subnet_id, address):
                        return port
        return None

    def take_named(self, port: PortRecord, subnet: SubnetRecord, address: IPAddress) -> PortRecord:
        """The port with an address that the user named. One that is ready is taken as it is; any
        other is plugged anew by the endpoint.
        """
        warm = port.stage is Stage.READY and self._context.datapath.end_waits(port.peer)
        return self._taken(port, subnet, address, warm=warm)

    def takes_back(self, port: PortRecord) -> bool:
        """Whether a port goes back to its pool rather than away.

        A port in hand is worth more than those that Neutron was asked for and may never make.
        """
        if not (self._settings.recycle and port.recycle and port.device and port.made):
            return False
        network = self._ledger.network(port.network)
        limits = None if network is None else self.limits(network)
        counts = self.counts(port.network)
        return limits is not None and counts.total - counts.making < limits.maximum

    def take_back(self, port: PortRecord) -> None:
        """The use of a port ends and it begins to cool; call it inside a transaction or alone."""
        # Neutron has it as a container's; but for one of the pool that no endpoint came for.
        untouched = port.warm and port.stage is not Stage.LEASED
        with self._ledger.transaction():
            self.put(
                replace(
                    port,
                    addresses=tuple(replace(one, claimed=False) for one in port.addresses),
                    endpoint=None,
                    container="",
                    container_id="",
                    exposed=(),
                    warm=False,
                ),
                Event.GIVEN_BACK,
            )
            if not untouched:
                self._outbox.add(JobKind.SETTLE, port.id, delay=SETTLE_DELAY)

    # ── what the keeper does ──

    def put(self, port: PortRecord, event: Event, reason: str = "") -> PortRecord:
        """Moves a port and stores it; READY ones may be taken from then on."""
        now = self._context.clock.now()
        moved = replace(port, stage=move(port.stage, event), since=now, reason=reason)
        self._ledger.put_port(moved)
        self._shelve(moved)
        self.changed.set()
        return moved

    def drop(self, port: PortRecord, reason: str) -> None:
        """Gives a port of a pool up: the outbox unplugs and deletes it."""
        unanswered = port.stage is Stage.MAKING
        why = {UNANSWERED: "create port"} if unanswered else {}
        LOG.info("port %s of network %s leaves the pool: %s", port.port_id, port.network, reason)
        with self._ledger.transaction():
            self.put(port, Event.RELEASED, reason)
            delay = LOST_ANSWER_DELAY if unanswered else 0.0
            self._outbox.add(JobKind.DROP_PORT, port.id, delay=delay, **why)

    def drop_all(self, ports: Iterable[PortRecord], reason: str) -> None:
        """As :meth:`drop`, by one write to the disk: a thousand would keep the engine waiting."""
        with self._ledger.transaction():
            for port in ports:
                self.drop(port, reason)

    def has_room_again(self, network: DockerNetworkId) -> None:
        """Addresses became free: a pool that rests may grow at once."""
        self.roomy.add(network)
        self.changed.set()

    def pooled(self, network: DockerNetworkId | None = None) -> list[PortRecord]:
        """The ports of a network's pool, or of all."""
        return [port for port in self._ledger.ports(network) if port.stage in POOLED]

    def limits(self, network: NetworkRecord) -> Limits | None:
        """How many ports a network's pool may have here; None where it has no pool."""
        settings = self._settings
        maximum = settings.maximum if network.pool_maximum is None else network.pool_maximum
        minimum = settings.minimum if network.pool_minimum is None else network.pool_minimum
        if network.pool_maximum is None:
            maximum = max(maximum, minimum)
        served = network.state is NetworkState.ACTIVE and network.neutron_id is not None
        if not served or not settings.enabled or maximum <= 0 or self.drained(network.id):
            return None
        if is_definition(network.id) or not any(subnet.pool_id for subnet in network.subnets):
            return None
        return Limits(min(minimum, maximum), maximum, settings.batch)

    def counts(self, network: DockerNetworkId) -> Counts:
        """A pool's ports by stage."""
        return count(self._ledger.ports(network))

    def level(self, network: DockerNetworkId) -> float:
        """How many ports were taken lately."""
        demand = self._demand.get(network, Demand())
        return demand.faded(self._context.clock.monotonic(), self._settings.half_life)

    def target(self, network: NetworkRecord) -> int:
        """How many ports should be ready; 0 where there is no pool."""
        limits = self.limits(network)
        return 0 if limits is None else target(limits, self.level(network.id))

    def ready(self, network: DockerNetworkId) -> int:
        """How many may be taken now."""
        return len(self._ready.get(network, ()))

    def cooled_at(self, port: PortRecord) -> float:
        """Seconds until a cooling port's time is over; 0 where it is."""
        over = port.since + timedelta(seconds=self._settings.cooling)
        return max(0.0, (over - self._context.clock.now()).total_seconds())

    # ── work on ports ──

    @contextmanager
    def working_on(self, ports: Iterable[PortRecord]) -> Iterator[None]:
        """In this block nobody else moves or judges these ports."""
        mine = {port.id for port in ports}
        self.under_way |= mine
        try:
            yield
        finally:
            self.under_way -= mine
            self._ended.set()
            self.changed.set()

    async def grown(self, network: DockerNetworkId) -> None:
        """Waits until no port that is or was of a network's pool is at work."""
        while any(
            port.id in self.under_way and port.stage not in IN_USE
            for port in self._ledger.ports(network)
        ):
            self._ended.clear()
            await self._ended.wait()

    # ── draining ──

    def drained(self, network: DockerNetworkId) -> bool:
        """Whether an operator emptied this pool, or all of the host."""
        names = self.drained_names()
        return _EVERYWHERE in names or network in names

    def drained_names(self) -> frozenset[str]:
        """The engine networks whose pools are drained; `*` for all of this host."""
        return frozenset(json.loads(self._ledger.meta(_DRAINED) or "[]"))

    def drain(self, networks: Iterable[DockerNetworkId] | None = None) -> None:
        """Empties pools, or all of this host, and keeps them so until :meth:`resume`."""
        more = {_EVERYWHERE} if networks is None else set(networks)
        self._set_drained(self.drained_names() | more)

    def resume(self) -> None:
        """Ends every drain."""
        self._set_drained(frozenset())

    def _set_drained(self, names: frozenset[str]) -> None:
        self._ledger.set_meta(_DRAINED, json.dumps(sorted(names)))
        self.changed.set()

    def discard(self, which: Callable[[PortRecord], bool], reason: str) -> int:
        """Gives up every port of a pool that answers the description; how many these were."""
        settled = [one for one in self.pooled() if one.stage is not Stage.MAKING]
        found = [one for one in settled if which(one)]
        self.drop_all(found, reason)
        return len(found)

    def _taken(
        self,
        port: PortRecord,
        subnet: SubnetRecord,
        named: IPAddress | None = None,
        *,
        warm: bool,
    ) -> PortRecord:
        return self.put(
            replace(
                port,
                addresses=tuple(_claimed(one, subnet, named) for one in port.addresses),
                recycle=named is None,
                warm=warm,
            ),
            Event.TAKEN,
        )

    def _shelve(self, port: PortRecord) -> None:
        if port.stage is Stage.READY:
            self._ready[port.network][port.id] = None
        else:
            self._ready[port.network].pop(port.id, None)


def count(ports: Iterable[PortRecord]) -> Counts:
    """A pool's ports by stage; those in use and those that go count nowhere."""
    found: dict[Stage, int] = defaultdict(int)
    for port in ports:
        found[port.stage] += 1
    return Counts(found[Stage.MAKING], found[Stage.BOUND], found[Stage.READY], found[Stage.COOLING])


def _claimed(one: PortAddress, subnet: SubnetRecord, named: IPAddress | None) -> PortAddress:
    if one.subnet_id != subnet.id or named not in (None, one.address):
        return one
    return replace(one, claimed=True, pool_id=subnet.pool_id)
