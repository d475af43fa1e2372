# SPDX-License-Identifier: Apache-2.0
"""How many ports a pool should have ready: made, bound to this host, plugged and wired before
anybody asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass


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
