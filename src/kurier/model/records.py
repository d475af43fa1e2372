# SPDX-License-Identifier: Apache-2.0
"""What the ledger keeps: pools, networks, leases and the outbox's jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from kurier.model.ids import (
    DockerNetworkId,
    EndpointId,
    IPAddress,
    IPNetwork,
    LeaseId,
    NetworkId,
    PoolId,
    PortId,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
    SubnetPoolId,
)
from kurier.model.neutron import Rule
from kurier.model.options import NetworkOptions

_State = TypeVar("_State", bound=StrEnum)
_Event = TypeVar("_Event", bound=StrEnum)


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


class LeaseState(StrEnum):
    """A port's use, from the engine's first question to the last trace."""

    REQUESTED = "requested"
    """An address was promised (or a port asked for); Neutron may or may not have the port."""
    ALLOCATED = "allocated"
    """Neutron has the port; no endpoint yet."""
    LEASED = "leased"
    """An endpoint has it and it is plugged."""
    RELEASING = "releasing"
    """Given back by the engine; the outbox takes it away."""


class LeaseEvent(StrEnum):
    """What moves a lease."""

    PORT_MADE = "port-made"
    ATTACHED = "attached"
    DETACHED = "detached"
    RELEASED = "released"


MOVES: dict[tuple[LeaseState, LeaseEvent], LeaseState] = {
    (LeaseState.REQUESTED, LeaseEvent.PORT_MADE): LeaseState.ALLOCATED,
    (LeaseState.REQUESTED, LeaseEvent.RELEASED): LeaseState.RELEASING,
    (LeaseState.ALLOCATED, LeaseEvent.ATTACHED): LeaseState.LEASED,
    (LeaseState.ALLOCATED, LeaseEvent.RELEASED): LeaseState.RELEASING,
    (LeaseState.LEASED, LeaseEvent.DETACHED): LeaseState.ALLOCATED,
    (LeaseState.LEASED, LeaseEvent.RELEASED): LeaseState.RELEASING,
    (LeaseState.RELEASING, LeaseEvent.RELEASED): LeaseState.RELEASING,
}


class WrongMove(Exception):
    """Something was told what its state does not allow: a defect, not the user's fault."""


def move(state: LeaseState, event: LeaseEvent) -> LeaseState:
    """The state after an event; raises WrongMove where the table has none."""
    return next_state(MOVES, state, event)


def next_state(
    moves: Mapping[tuple[_State, _Event], _State], state: _State, event: _Event
) -> _State:
    """What a table of moves makes of a state and an event; raises WrongMove where it has none."""
    try:
        return moves[state, event]
    except KeyError:
        raise WrongMove(f"{event.value} is no move from {state.value}") from None


@dataclass(frozen=True, slots=True)
class LeasedAddress:
    """One address of a lease; `claimed` once an engine's RequestAddress was answered with it."""

    subnet_id: SubnetId
    address: IPAddress
    pool_id: PoolId | None = None
    claimed: bool = True


@dataclass(frozen=True, slots=True)
class PortBefore:
    """What an adopted port looked like, to give it back so."""

    name: str
    description: str
    device_id: str
    device_owner: str
    host_id: str
    mac: str
    security_groups: tuple[SecurityGroupId, ...]
    qos_policy_id: QosPolicyId | None
    port_security: bool
    dns_name: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A port's use by one endpoint of one engine network."""

    id: LeaseId
    state: LeaseState
    network: DockerNetworkId
    neutron_network: NetworkId
    created_at: datetime
    addresses: tuple[LeasedAddress, ...] = ()
    port_id: PortId | None = None
    mac: str = ""
    before: PortBefore | None = None
    endpoint: EndpointId | None = None
    device: str = ""
    peer: str = ""
    exposed: tuple[Rule, ...] = ()
    groups: tuple[SecurityGroupId, ...] | None = None
    """The groups asked for, without Kurier's own group for exposed ports."""
    exposing_group: SecurityGroupId | None = None
    container: str = ""
    recycle: bool = False
    """Whether the port is as the network's pool makes them, and may go there after use."""
    warm: bool = False
    """Whether the port was plugged and wired before the endpoint came."""


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
