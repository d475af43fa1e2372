# SPDX-License-Identifier: Apache-2.0
"""Takes a ready port for an endpoint and takes it back: one transaction of the ledger each."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

from kurier.model.ids import DockerNetworkId, IPAddress, LeaseId, SubnetId
from kurier.model.records import (
    LeasedAddress,
    LeaseRecord,
    LeaseState,
    NetworkRecord,
    NetworkState,
    SubnetRecord,
)
from kurier.model.stock import (
    Counts,
    Demand,
    Limits,
    Stage,
    StageEvent,
    StockPort,
    move_stage,
    target,
)
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
        self._ready: dict[DockerNetworkId, dict[LeaseId, None]] = defaultdict(dict)
        """What may be taken, longest ready first."""
        self._demand: dict[DockerNetworkId, Demand] = {}
        self.changed = asyncio.Event()
        """Set whenever the keeper should look again."""
        for port in self._ledger.stock():
            if port.stage is Stage.READY:
                self._ready[port.network][port.id] = None

    # ── what an engine's call does ──

    def asked(self, network: DockerNetworkId) -> None:
        """One more start wants a port, whether or not one is ready: the pool's target rises."""
        demand = self._demand.get(network, Demand())
        now = self._context.clock.monotonic()
        self._demand[network] = demand.taken(now, self._settings.half_life)
        self.changed.set()

    def take(self, network: NetworkRecord, subnet: SubnetRecord) -> LeaseRecord | None:
        """A ready port as a lease that has the subnet's address claimed; None where there is none.

        A port whose waiting end is not there any more is passed over.
        """
        for lease_id in tuple(self._ready.get(network.id, ())):
            port = self._ledger.stock_port(lease_id)
            if port is None or port.stage is not Stage.READY:
                self._ready[network.id].pop(lease_id, None)
            elif not self._context.datapath.end_waits(port.peer):
                self.put(port, StageEvent.UNPLUGGED, "its device is gone from the host")
            elif any(one.subnet_id == subnet.id for one in port.addresses):
                return self._leased(port, subnet)
        return None

    def holder(self, subnet_id: SubnetId, address: IPAddress) -> StockPort | None:
        """The port of a pool of this host that has an address."""
        for port in self._ledger.stock():
            for one in port.addresses:
                if (one.subnet_id, one.address) == (subnet_id, address):
                    return port
        return None

    def take_named(self, port: StockPort, subnet: SubnetRecord, address: IPAddress) -> LeaseRecord:
        """The port with an address that the user named. One that is ready is taken as it is; any
        other is plugged anew by the endpoint.
        """
        warm = port.stage is Stage.READY and self._context.datapath.end_waits(port.peer)
        return self._leased(port, subnet, address, warm=warm)

    def takes_back(self, lease: LeaseRecord) -> bool:
        """Whether a lease's port goes back to its pool rather than away.

        A port in hand is worth more than those that Neutron was asked for and may never make.
        """
        if not (self._settings.recycle and lease.recycle and lease.device and lease.port_id):
            return False
        network = self._ledger.network(lease.network)
        limits = None if network is None else self.limits(network)
        counts = self.counts(lease.network)
        return limits is not None and counts.total - counts.making < limits.maximum

    def take_back(self, lease: LeaseRecord) -> None:
        """The lease ends and its port begins to cool; call it inside a transaction or alone."""
        now = self._context.clock.now()
        port = StockPort(
            lease.id,
            Stage.COOLING,
            lease.network,
            lease.neutron_network,
            now,
            lease.port_id,
            lease.mac,
            tuple(replace(one, claimed=False) for one in lease.addresses),
            lease.device,
            lease.peer,
            lease.groups,
            lease.exposing_group,
            dressed=bool(lease.exposed),
        )
        with self._ledger.transaction():
            self._ledger.drop_lease(lease.id)
            self._ledger.put_stock(port)
            # Neutron has it as a container's; but for one of the pool that no endpoint came for.
            if lease.state is LeaseState.LEASED or not lease.warm:
                self._outbox.add(JobKind.SETTLE, lease.id, delay=SETTLE_DELAY)
        self.changed.set()

    # ── what the keeper does ──

    def put(self, port: StockPort, event: StageEvent, reason: str = "") -> StockPort:
        """Moves a port and stores it; READY ones may be taken from then on."""
        now = self._context.clock.now()
        moved = replace(port, stage=move_stage(port.stage, event), since=now, reason=reason)
        self._ledger.put_stock(moved)
        self._shelve(moved)
        self.changed.set()
        return moved

    def drop(self, port: StockPort, reason: str) -> None:
        """Gives a port up: the outbox unplugs and deletes it."""
        unanswered = port.stage is Stage.MAKING
        why = {UNANSWERED: "create port"} if unanswered else {}
        LOG.info("port %s of network %s leaves the pool: %s", port.port_id, port.network, reason)
        with self._ledger.transaction():
            self.put(port, StageEvent.DROPPED, reason)
            delay = LOST_ANSWER_DELAY if unanswered else 0.0
            self._outbox.add(JobKind.DROP_STOCK, port.id, delay=delay, **why)

    def drop_all(self, ports: Iterable[StockPort], reason: str) -> None:
        """As :meth:`drop`, by one write to the disk: a thousand would keep the engine waiting."""
        with self._ledger.transaction():
            for port in ports:
                self.drop(port, reason)

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
        return count(port for port in self._ledger.stock() if port.network == network)

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

    def cooled_at(self, port: StockPort) -> float:
        """Seconds until a cooling port's time is over; 0 where it is."""
        over = port.since + timedelta(seconds=self._settings.cooling)
        return max(0.0, (over - self._context.clock.now()).total_seconds())

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

    def discard(self, which: Callable[[StockPort], bool], reason: str) -> int:
        """Gives up every port that answers the description; how many these were."""
        found = [one for one in self._ledger.stock() if one.stage in _SETTLED and which(one)]
        self.drop_all(found, reason)
        return len(found)

    def _leased(
        self,
        port: StockPort,
        subnet: SubnetRecord,
        named: IPAddress | None = None,
        *,
        warm: bool = True,
    ) -> LeaseRecord:
        lease = LeaseRecord(
            port.id,
            LeaseState.ALLOCATED,
            port.network,
            port.neutron_network,
            self._context.clock.now(),
            tuple(_claimed(one, subnet, named) for one in port.addresses),
            port.port_id,
            port.mac,
            device=port.device,
            peer=port.peer,
            groups=port.groups,
            exposing_group=port.exposing_group,
            recycle=named is None,
            warm=warm,
        )
        with self._ledger.transaction():
            self._ledger.drop_stock(port.id)
            self._ledger.put_lease(lease)
        self._ready[port.network].pop(port.id, None)
        self.changed.set()
        return lease

    def _shelve(self, port: StockPort) -> None:
        if port.stage is Stage.READY:
            self._ready[port.network][port.id] = None
        else:
            self._ready[port.network].pop(port.id, None)


_SETTLED = (Stage.BOUND, Stage.READY, Stage.COOLING)


def count(ports: Iterable[StockPort]) -> Counts:
    """Ports by stage; those that go count nowhere."""
    found: dict[Stage, int] = defaultdict(int)
    for port in ports:
        found[port.stage] += 1
    return Counts(found[Stage.MAKING], found[Stage.BOUND], found[Stage.READY], found[Stage.COOLING])


def _claimed(one: LeasedAddress, subnet: SubnetRecord, named: IPAddress | None) -> LeasedAddress:
    if one.subnet_id != subnet.id or named not in (None, one.address):
        return one
    return replace(one, claimed=True, pool_id=subnet.pool_id)
