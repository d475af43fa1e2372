# SPDX-License-Identifier: Apache-2.0
"""Ports made before anybody asks for them: their life, and how many there should be.

A ready port is made in Neutron, bound to this host, plugged into its switch and wired. An endpoint
takes it by a write to the ledger and gives it back by another; in between it is a lease. The id
stays the same all along: it is the Neutron port's first `device_id` and the mark in the switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kurier.model.ids import (
    DockerNetworkId,
    LeaseId,
    NetworkId,
    PortId,
    SecurityGroupId,
)
from kurier.model.records import LeasedAddress, next_state


class Stage(StrEnum):
    """How far a port of the pool is."""

    MAKING = "making"
    """Neutron was asked for it; it may or may not be there."""
    BOUND = "bound"
    """Neutron has it, bound to this host; it is not wired yet, or not any more."""
    READY = "ready"
    """Plugged and wired: an endpoint may take it."""
    COOLING = "cooling"
    """Given back by an endpoint; not to be taken before its time."""
    DROPPING = "dropping"
    """To be unplugged and deleted."""


class StageEvent(StrEnum):
    """What moves a port of the pool."""

    MADE = "made"
    WIRED = "wired"
    UNPLUGGED = "unplugged"
    COOLED = "cooled"
    DROPPED = "dropped"


STAGE_MOVES: dict[tuple[Stage, StageEvent], Stage] = {
    (Stage.MAKING, StageEvent.MADE): Stage.BOUND,
    (Stage.MAKING, StageEvent.DROPPED): Stage.DROPPING,
    (Stage.BOUND, StageEvent.WIRED): Stage.READY,
    (Stage.BOUND, StageEvent.UNPLUGGED): Stage.BOUND,
    (Stage.BOUND, StageEvent.DROPPED): Stage.DROPPING,
    (Stage.READY, StageEvent.UNPLUGGED): Stage.BOUND,
    (Stage.READY, StageEvent.DROPPED): Stage.DROPPING,
    (Stage.COOLING, StageEvent.COOLED): Stage.READY,
    (Stage.COOLING, StageEvent.UNPLUGGED): Stage.BOUND,
    (Stage.COOLING, StageEvent.DROPPED): Stage.DROPPING,
    (Stage.DROPPING, StageEvent.DROPPED): Stage.DROPPING,
}


def move_stage(stage: Stage, event: StageEvent) -> Stage:
    """The stage after an event; raises WrongMove where the table has none."""
    return next_state(STAGE_MOVES, stage, event)


@dataclass(frozen=True, slots=True)
class StockPort:
    """A port of the pool of one engine network."""

    id: LeaseId
    stage: Stage
    network: DockerNetworkId
    neutron_network: NetworkId
    since: datetime
    """When this stage began."""
    port_id: PortId | None = None
    mac: str = ""
    addresses: tuple[LeasedAddress, ...] = ()
    device: str = ""
    peer: str = ""
    groups: tuple[SecurityGroupId, ...] | None = None
    exposing_group: SecurityGroupId | None = None
    """The group for exposed ports that its former container wore, where it is known."""
    dressed: bool = False
    """Whether such a group may be on it in Neutron: it is not ready until that is off."""
    reason: str = ""
    """Why it is not ready, where that is worth telling."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many ports a pool may have. `room` is what the host's own cap leaves."""

    minimum: int
    maximum: int
    batch: int
    room: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """A pool's ports, by stage."""

    making: int = 0
    bound: int = 0
    ready: int = 0
    cooling: int = 0

    @property
    def coming(self) -> int:
        """On their way to ready. Cooling ports are neither free nor coming."""
        return self.making + self.bound

    @property
    def total(self) -> int:
        return self.coming + self.ready + self.cooling


@dataclass(frozen=True, slots=True)
class Demand:
    """How many ports were taken lately: each take counts one and fades with a half-life."""

    level: float = 0.0
    at: float = 0.0
    """Seconds of the clock that `now` is of."""

    def faded(self, now: float, half_life: float) -> float:
        """The level at `now`; both times in seconds."""
        return float(self.level * 0.5 ** (max(0.0, now - self.at) / half_life))

    def taken(self, now: float, half_life: float) -> Demand:
        """After one more take."""
        return Demand(self.faded(now, half_life) + 1.0, now)


def target(limits: Limits, level: float) -> int:
    """How many ports should be ready: the minimum, and as many again as were taken lately."""
    return min(limits.minimum + round(level), limits.maximum)


def lacking(limits: Limits, counts: Counts, level: float) -> int:
    """How many ports to make now, a batch at most.

    Cooling ports do not count as ready, or a burst would find the pool dry; but they count towards
    the maximum, since they come back.
    """
    wanted = target(limits, level) - counts.ready - counts.coming
    allowed = limits.maximum - counts.total
    return max(0, min(wanted, allowed, limits.room, limits.batch))


def surplus(limits: Limits, counts: Counts, level: float) -> int:
    """How many ready ports to give up now, a batch at most.

    Half a batch of slack keeps a pool from making and deleting the same port over and over.
    """
    over = counts.ready - target(limits, level)
    slack = 0 if level < 0.5 else limits.batch // 2
    beyond = counts.total - limits.maximum
    return max(0, min(max(over - slack, min(beyond, counts.ready)), limits.batch))
