# SPDX-License-Identifier: Apache-2.0
"""Fulfils `Views` from the service and its world."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kurier import __version__
from kurier.admin.views import (
    CloudStatus,
    EngineStatus,
    FailingJob,
    Freed,
    Health,
    LedgerStatus,
    NetworkRow,
    OutboxStatus,
    PoolRow,
    PortRow,
    ReadyPorts,
    Status,
    SwitchStatus,
)
from kurier.model.errors import KurierError
from kurier.model.port import POOLED, PortRecord
from kurier.model.records import Job, NetworkRecord
from kurier.model.tags import environment_of
from kurier.service.census import AttachmentView
from kurier.service.driver import Driver
from kurier.service.hosts import HostLeftovers, HostView
from kurier.service.keeper import PoolView
from kurier.service.outbox import is_owed
from kurier.service.protocols import Ledger
from kurier.service.reconcile import PassReport
from kurier.service.swarm_networks import SwarmAsk, SwarmView
from kurier.service.waiting_networks import WaitingNetworks

_PATIENCE = 2.0
_Answer = TypeVar("_Answer")


class Report:
    """What the daemon can tell of itself. `cloud` looks at the cloud's health without a call."""

    def __init__(
        self,
        driver: Driver,
        cloud: Callable[[], CloudStatus],
        ledger: LedgerStatus,
        registry: CollectorRegistry,
    ) -> None:
        self._driver = driver
        self._context = driver.context
        self._cloud = cloud
        self._ledger = ledger
        self._registry = registry

    async def status(self) -> Status:
        """Asks the switch and the engine, each for two seconds at most."""
        switch, engine = await asyncio.gather(self._switch(), self._engine())
        return Status(
            version=__version__,
            host=self._context.settings.host or switch.hostname or socket.gethostname(),
            environment=self._context.environment.id,
            cloud=self._cloud(),
            switch=switch,
            engine=engine,
            ledger=self._ledger,
            pools=self.pools(),
            leases=dict(leases_by_stage(self._context.ledger)),
            outbox=outbox_status(self._context.ledger.jobs(), self._context.clock.now()),
            left_standing=self._driver.networks.left_standing(),
            troubles=self._driver.reconciler.troubles(),
            reconciled=self._driver.reconciler.last,
        )

    def networks(self) -> list[NetworkRow]:
        """Every engine network that the ledger knows."""
        return [_network_row(record) for record in self._context.ledger.networks()]

    async def network_forget(self, name: str) -> dict[str, str]:
        """Takes away a network that the engine does not know any more."""
        return {"forgotten": await self._driver.forgotten.forget(name)}

    async def environment_networks(self) -> list[AttachmentView]:
        """Every network of this host's environment, as Neutron's tags tell them."""
        return await self._driver.census.of_environment()

    async def all_networks(self) -> list[AttachmentView]:
        """Of every environment."""
        return await self._driver.census.everywhere()

    def ports(self) -> list[PortRow]:
        """Every port of the ledger that is not a pool's."""
        ports = self._context.ledger.ports()
        return [_port_row(port) for port in ports if port.stage not in POOLED]

    def pools(self) -> list[PoolRow]:
        """Every pool of this host."""
        return [_pool_row(view) for view in self._driver.keeper.views()]

    async def ready_ports(self) -> list[ReadyPorts]:
        """Of every host of this environment, as Neutron's tags tell them."""
        return [
            ReadyPorts(host, network, number)
            for (host, network), number in sorted(
                (await self._driver.draining.everywhere()).items()
            )
        ]

    async def hosts(self) -> list[HostView]:
        """Every host with traces of Kurier's in Neutron."""
        return await self._driver.hosts.views()

    async def host_look(self, host: str, force: bool) -> HostLeftovers:
        """What forgetting a host would take away."""
        return await self._driver.hosts.look(host, force=force)

    async def host_forget(self, host: str, force: bool) -> HostLeftovers:
        """Takes away what a host that died for good has left."""
        return await self._driver.hosts.forget(host, force=force)

    async def drain(self, networks: tuple[str, ...]) -> list[PoolRow]:
        """Empties pools; leases stay."""
        self._driver.draining.drain(networks)
        return self.pools()

    async def resume(self) -> list[PoolRow]:
        """Ends every drain."""
        self._driver.stock.resume()
        return self.pools()

    async def waiting_networks(self, count: int | None = None) -> WaitingNetworks:
        """The networks that wait; with `count`, has so many wait from now on."""
        if count is not None:
            self._driver.network_keeper.want(count)
        return self._driver.network_keeper.view()

    async def free(self, resource: str) -> Freed:
        """Drains every pool whose ports hold a resource."""
        networks, ports = await self._driver.draining.free(resource)
        note = (
            "These pools stay drained until `kurier pool resume`."
            if networks
            else "No pool of this host holds it; ports in use may."
        )
        return Freed(networks, ports, note)

    async def swarm_networks(self) -> list[SwarmView]:
        """Every network of this host's Swarm."""
        return await self._driver.swarm_networks.views()

    async def swarm_create(self, ask: SwarmAsk) -> SwarmView:
        """Makes a network for the whole Swarm."""
        return await self._driver.swarm_networks.create(ask)

    async def swarm_remove(self, name: str) -> dict[str, str]:
        """Removes one everywhere."""
        await self._driver.swarm_networks.remove(name)
        return {"removed": name}

    async def reconcile(self) -> PassReport:
        """One pass, now."""
        return await self._driver.reconciler.turn()

    def metrics(self) -> tuple[bytes, str]:
        """All metrics of the registry."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    async def _switch(self) -> SwitchStatus:
        facts, error = await _patiently(self._context.datapath.facts())
        if facts is None:
            return SwitchStatus(Health.AWAY, error=error)
        return SwitchStatus(
            Health.OK, facts.hostname, facts.bridge, facts.userspace, facts.wired_by.value
        )

    async def _engine(self) -> EngineStatus:
        identity, error = await _patiently(self._context.engine.identity())
        if identity is None:
            return EngineStatus(Health.AWAY, error=error)
        return EngineStatus(Health.OK, identity)


def leases_by_stage(ledger: Ledger) -> Counter[str]:
    """How many ports are in use or given up, by stage; pools are told apart."""
    return Counter(port.stage.value for port in ledger.ports() if port.stage not in POOLED)


def outbox_status(jobs: list[Job], now: datetime) -> OutboxStatus:
    """How much work is unsettled and how long its oldest part has been."""
    owed = [job for job in jobs if is_owed(job)]
    ages = [(now - job.created_at).total_seconds() for job in owed if job.created_at]
    failing = (
        FailingJob(str(job.kind), job.key, job.attempts, job.due, job.last_error)
        for job in owed
        if job.attempts
    )
    return OutboxStatus(len(owed), round(max(ages, default=0.0), 1), tuple(failing))


async def _patiently(answer: Awaitable[_Answer]) -> tuple[_Answer | None, str]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await answer, ""
    except KurierError as error:
        return None, error.sentence
    except TimeoutError:
        return None, f"No answer within {_PATIENCE:g} s."


def _network_row(record: NetworkRecord) -> NetworkRow:
    return NetworkRow(
        docker_id=record.id,
        neutron_id=record.neutron_id,
        name=record.name,
        made_by="kurier" if record.made else "others",
        subnets=tuple(str(subnet.cidr) for subnet in record.subnets),
        environment=environment_of(record.tags, record.id),
        state=record.state.value,
        note=record.note,
    )


def _pool_row(view: PoolView) -> PoolRow:
    note = view.reason
    if note and view.resting:
        note = f"{note} Next try in {view.resting:.0f} s."
    return PoolRow(
        network=view.network,
        name=view.name,
        minimum=view.minimum,
        maximum=view.maximum,
        target=view.target,
        ready=view.counts.ready,
        coming=view.counts.coming,
        cooling=view.counts.cooling,
        drained=view.drained,
        note=note,
    )


def _port_row(lease: PortRecord) -> PortRow:
    return PortRow(
        port_id=lease.port_id,
        endpoint=lease.endpoint,
        network=lease.network,
        addresses=tuple(str(one.address) for one in lease.addresses),
        mac=lease.mac,
        device=lease.device,
        state=lease.stage.value,
        container=lease.container,
    )
