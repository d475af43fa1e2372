# SPDX-License-Identifier: Apache-2.0
"""The answers of the admin socket, and whom it asks for them. Times are aware UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from kurier.model.trouble import Trouble
from kurier.service.census import AttachmentView
from kurier.service.hosts import HostLeftovers, HostView
from kurier.service.reconcile import PassReport
from kurier.service.swarm_networks import SwarmAsk, SwarmView
from kurier.service.waiting_networks import WaitingNetworks


class Health(StrEnum):
    """How a part of Kurier's world is."""

    OK = "ok"
    AWAY = "away"
    UNKNOWN = "unknown"
    """Not spoken to yet."""


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """Neutron. `since` is when it went away, or when it answered last."""

    state: Health
    url: str = ""
    since: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class SwitchStatus:
    """This host's Open vSwitch."""

    state: Health
    hostname: str = ""
    bridge: str = ""
    userspace: bool = False
    wired_by: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The container engine."""

    state: Health
    id: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """The ledger's file and how it was found: fresh, existing or damaged."""

    path: str
    opened: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class FailingJob:
    """Unsettled work that failed at least once."""

    kind: str
    key: str
    attempts: int
    due: datetime
    error: str


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """Work that Neutron or the switch has still to be told; `oldest_seconds` is the lag."""

    depth: int
    oldest_seconds: float = 0.0
    failing: tuple[FailingJob, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The daemon and its world."""

    version: str
    host: str
    environment: str | None
    cloud: CloudStatus
    switch: SwitchStatus
    engine: EngineStatus
    ledger: LedgerStatus
    leases: dict[str, int]
    outbox: OutboxStatus
    pools: list[PoolRow] = field(default_factory=list)
    left_standing: dict[str, str] = field(default_factory=dict)
    """By engine network: what was left in Neutron, and why."""
    troubles: tuple[Trouble, ...] = ()
    """What only people can mend, as the last pass saw it."""
    reconciled: PassReport | None = None
    """The last pass of the reconciler."""


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One engine network. `made_by` is `kurier`, or `others` for one that was there before;
    `environment` the mark of the one that it was made in, as tags carry it.
    """

    docker_id: str
    neutron_id: str | None
    name: str
    made_by: str
    subnets: tuple[str, ...]
    environment: str
    state: str
    note: str


@dataclass(frozen=True, slots=True)
class PortRow:
    """One lease."""

    port_id: str | None
    endpoint: str | None
    network: str
    addresses: tuple[str, ...]
    mac: str
    device: str
    state: str
    container: str


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool of ready ports of this host."""

    network: str
    name: str
    minimum: int
    maximum: int
    target: int
    ready: int
    coming: int
    cooling: int
    drained: bool
    note: str


@dataclass(frozen=True, slots=True)
class ReadyPorts:
    """The ready ports of one host on one Neutron network, as Neutron's tags tell them."""

    host: str
    neutron_network: str
    ports: int


@dataclass(frozen=True, slots=True)
class Freed:
    """What was drained to free a resource."""

    networks: tuple[str, ...]
    ports: int
    note: str


class Views(Protocol):
    """Whom the admin socket asks. May raise KurierError."""

    async def status(self) -> Status: ...
    def networks(self) -> list[NetworkRow]: ...

    async def network_forget(self, name: str) -> dict[str, str]:
        """Takes away a network (id, its beginning, or name) that the engine does not know."""

    async def environment_networks(self) -> list[AttachmentView]:
        """Every network of this host's environment, whichever host uses it."""

    async def all_networks(self) -> list[AttachmentView]:
        """Of every environment."""

    def ports(self) -> list[PortRow]: ...

    def pools(self) -> list[PoolRow]: ...

    async def ready_ports(self) -> list[ReadyPorts]:
        """Of every host of this environment."""

    async def hosts(self) -> list[HostView]:
        """Every host with traces of Kurier's in Neutron."""

    async def host_look(self, host: str, force: bool) -> HostLeftovers:
        """What forgetting a host would take away."""

    async def host_forget(self, host: str, force: bool) -> HostLeftovers:
        """Takes away what a host that died for good has left."""

    async def drain(self, networks: tuple[str, ...]) -> list[PoolRow]:
        """Empties the pools of these engine networks (id, its beginning, or name); all if none."""

    async def resume(self) -> list[PoolRow]:
        """Ends every drain."""

    async def waiting_networks(self, count: int | None = None) -> WaitingNetworks:
        """The networks that wait; with `count`, has so many wait from now on."""

    async def free(self, resource: str) -> Freed:
        """Takes every waiting port off a security group, QoS policy or subnet."""

    async def swarm_networks(self) -> list[SwarmView]:
        """Every network of this host's Swarm."""

    async def swarm_create(self, ask: SwarmAsk) -> SwarmView:
        """Makes a network for the whole Swarm."""

    async def swarm_remove(self, name: str) -> dict[str, str]:
        """Removes one everywhere."""

    async def reconcile(self) -> PassReport:
        """One pass, now."""

    def metrics(self) -> tuple[bytes, str]:
        """Prometheus' text and its media type."""
