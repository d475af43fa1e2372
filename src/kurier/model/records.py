# SPDX-License-Identifier: Apache-2.0
"""What the ledger keeps beside ports: pools, networks and the outbox's jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kurier.model.ids import (
    DockerNetworkId,
    IPAddress,
    IPNetwork,
    NetworkId,
    PoolId,
    PortId,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
    SubnetPoolId,
)
from kurier.model.options import NetworkOptions


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """One RequestPool: a range that the engine asked for, and the network that it came to serve.

    The engine does not say at RequestPool for which network it asks; `network` is None until a
    CreateNetwork with this range and gateway comes.
    """

    id: PoolId
    cidr: IPNetwork
    requested_at: datetime
    ip_range: IPNetwork | None = None
    gateway: IPAddress | None = None
    gateway_chosen: bool = False
    """Whether the user named the gateway; else Kurier answered the first address of the range."""
    auxiliary: tuple[IPAddress, ...] = ()
    options: NetworkOptions = field(default_factory=NetworkOptions)
    network: DockerNetworkId | None = None
    subnet_id: SubnetId | None = None
    held_network: NetworkId | None = None
    """The Neutron network made to draw a range from a subnet pool, before the engine named one."""
    subnet_pool_id: SubnetPoolId | None = None
    unbounded: bool = False
    """Whether the engine left the range to Kurier."""
    waiting: bool = False
    """Whether nobody asked for it yet: it was drawn beforehand."""


@dataclass(frozen=True, slots=True)
class SubnetRecord:
    """A subnet that serves an engine network."""

    id: SubnetId
    cidr: IPNetwork
    made: bool
    pool_id: PoolId | None = None
    gateway: IPAddress | None = None
    routes: tuple[tuple[IPNetwork, IPAddress], ...] = ()
    auxiliary: tuple[IPAddress, ...] = ()


class NetworkState(StrEnum):
    """An engine network's life: made, in use, taken away."""

    CREATING = "creating"
    ACTIVE = "active"
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """An engine network and the Neutron network behind it."""

    id: DockerNetworkId
    state: NetworkState
    created_at: datetime
    name: str = ""
    neutron_id: NetworkId | None = None
    made: bool = False
    mtu: int = 1500
    internal: bool = False
    gateway_service: bool = False
    subnets: tuple[SubnetRecord, ...] = ()
    tags: tuple[str, ...] = ()
    """Tags that this mapping put on the Neutron network; exactly these are taken off."""
    reserved_ports: tuple[PortId, ...] = ()
    """Ports that only keep auxiliary addresses out of an existing subnet's pool."""
    security_groups: tuple[SecurityGroupId, ...] | None = None
    qos_policy_id: QosPolicyId | None = None
    port_security: bool | None = None
    pool_minimum: int | None = None
    """How many ports the pool keeps ready; None: as configured."""
    pool_maximum: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """Unsettled work of the outbox, one row per kind and key; repeating a job is harmless."""

    kind: str
    key: str
    due: datetime
    attempts: int = 0
    created_at: datetime | None = None
    last_error: str = ""
    payload: dict[str, str] = field(default_factory=dict)
