# SPDX-License-Identifier: Apache-2.0
"""A port of this host's, from before Neutron has it to its last trace.

There is one record for each, whoever has it: an endpoint, or a network's pool, which keeps ports
ready before anybody asks for them. An endpoint takes a ready one by a write to the ledger and gives
it back by another. Its key stays the same all along: it is the Neutron port's first `device_id`
and the mark in the switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kurier.model.ids import (
    DockerNetworkId,
    EndpointId,
    IPAddress,
    NetworkId,
    PoolId,
    PortId,
    PortKey,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
)
from kurier.model.neutron import Rule


class Stage(StrEnum):
    """How far a port is."""

    REQUESTED = "requested"
    """An address was promised to the engine (or a port asked for); Neutron may or may not have the
    port."""
    ALLOCATED = "allocated"
    """Neutron has it for an endpoint that did not come yet."""
    LEASED = "leased"
    """An endpoint has it and it is plugged."""
    MAKING = "making"
    """Neutron was asked for it for a pool; it may or may not be there."""
    BOUND = "bound"
    """Its pool's: Neutron has it, bound to this host; it is not wired yet, or not any more."""
    READY = "ready"
    """Its pool's, plugged and wired: an endpoint may take it."""
    COOLING = "cooling"
    """Given back to its pool by an endpoint; not to be taken before its time."""
    RELEASING = "releasing"
    """Given up; the outbox unplugs it, and deletes it or gives it back to whose it was."""


IN_USE = frozenset({Stage.REQUESTED, Stage.ALLOCATED, Stage.LEASED})
"""An endpoint has it, or an address of it is promised to one."""
POOLED = frozenset({Stage.MAKING, Stage.BOUND, Stage.READY, Stage.COOLING})
"""It is its pool's."""


class Event(StrEnum):
    """What moves a port."""

    MADE = "made"
    WIRED = "wired"
    UNPLUGGED = "unplugged"
    TAKEN = "taken"
    ATTACHED = "attached"
    GIVEN_BACK = "given-back"
    COOLED = "cooled"
    RELEASED = "released"


MOVES: Mapping[tuple[Stage, Event], Stage] = {
    (Stage.REQUESTED, Event.MADE): Stage.ALLOCATED,
    (Stage.ALLOCATED, Event.ATTACHED): Stage.LEASED,
    (Stage.ALLOCATED, Event.GIVEN_BACK): Stage.COOLING,
    (Stage.LEASED, Event.GIVEN_BACK): Stage.COOLING,
    (Stage.MAKING, Event.MADE): Stage.BOUND,
    (Stage.BOUND, Event.WIRED): Stage.READY,
    (Stage.BOUND, Event.UNPLUGGED): Stage.BOUND,
    (Stage.READY, Event.UNPLUGGED): Stage.BOUND,
    (Stage.COOLING, Event.UNPLUGGED): Stage.BOUND,
    (Stage.COOLING, Event.COOLED): Stage.READY,
    (Stage.BOUND, Event.TAKEN): Stage.ALLOCATED,
    (Stage.READY, Event.TAKEN): Stage.ALLOCATED,
    (Stage.COOLING, Event.TAKEN): Stage.ALLOCATED,
    **{(stage, Event.RELEASED): Stage.RELEASING for stage in Stage},
}


class WrongMove(Exception):
    """A port was told what its stage does not allow: a defect, not the user's fault."""


def move(stage: Stage, event: Event) -> Stage:
    """The stage after an event; raises WrongMove where the table has none."""
    try:
        return MOVES[stage, event]
    except KeyError:
        raise WrongMove(f"{event.value} is no move from {stage.value}") from None


@dataclass(frozen=True, slots=True)
class PortAddress:
    """One address of a port; `claimed` once an engine's RequestAddress was answered with it."""

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
class AsMade:
    """How a port of a pool was when Neutron had made it, in every field that can be changed but its
    addresses and what Kurier tells Neutron of containers.
    """

    device_owner: str
    host_id: str
    security_groups: tuple[SecurityGroupId, ...]
    qos_policy_id: QosPolicyId | None
    port_security: bool
    tags: tuple[str, ...]
    """Without that of its role."""
    others: tuple[tuple[str, str], ...]
    """See :attr:`kurier.model.neutron.Port.others`."""


@dataclass(frozen=True, slots=True)
class PortRecord:
    """A port of one engine network."""

    id: PortKey
    stage: Stage
    network: DockerNetworkId
    neutron_network: NetworkId
    since: datetime
    """When this stage began."""
    port_id: PortId | None = None
    mac: str = ""
    addresses: tuple[PortAddress, ...] = ()
    device: str = ""
    peer: str = ""
    groups: tuple[SecurityGroupId, ...] | None = None
    """The groups asked for, without Kurier's own for exposed ports; None: Neutron's choice."""
    recycle: bool = False
    """Whether the port is as its network's pool makes them, and may go there after use."""
    warm: bool = False
    """Whether it was plugged and wired before its endpoint came."""
    before: PortBefore | None = None
    """How it was, where somebody else made it."""
    endpoint: EndpointId | None = None
    container: str = ""
    """Its name, once it is known."""
    container_id: str = ""
    exposed: tuple[Rule, ...] = ()
    exposing_group: SecurityGroupId | None = None
    """The group for exposed ports that its container wears, or its former one wore."""
    made: AsMade | None = None
    """How Neutron made it; None for an adopted one, and for one of an earlier release."""
    used: bool = False
    """Whether Neutron was told of a container that had it, and it was not compared since with how
    it was made: it is not ready before.
    """
    reason: str = ""
    """Why it is not ready, where that is worth telling."""


def user_of(port: PortRecord) -> str:
    """Who has a port, as people are told."""
    return f"container {port.container}" if port.container else f"endpoint {port.endpoint}"


def is_unattached(port: PortRecord) -> bool:
    """Whether a port still waits for its endpoint."""
    return port.endpoint is None and port.stage in (Stage.REQUESTED, Stage.ALLOCATED)
