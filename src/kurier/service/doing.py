# SPDX-License-Identifier: Apache-2.0
"""What a call is at, so that the sentence of its deadline can say what it waited for, and how long
it still has, so that a better sentence can come before.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

_ANSWERING = 0.5
"""Seconds of its own time that a call keeps, so that the engine is told the right thing."""


@dataclass(slots=True)
class Step:
    """The latest step of one call; tasks that the call starts share it."""

    until: float
    """When it is given up, by the loop's clock."""
    text: str = ""


_STEP: ContextVar[Step | None] = ContextVar("kurier_step", default=None)


def doing(text: str) -> None:
    """Says the step at hand, to follow "while", e.g. ``Neutron was making the port``."""
    step = _STEP.get()
    if step is not None:
        step.text = text


def patience(most: float) -> float:
    """How many seconds a step may wait: `most`, or what this call still has but for its answer."""
    step = _STEP.get()
    if step is None:
        return most
    return min(most, step.until - asyncio.get_running_loop().time() - _ANSWERING)


def watch(seconds: float) -> Step:
    """Begins a call that is given up after so long: what follows in this context, and in tasks
    begun from it, tells its steps.
    """
    step = Step(asyncio.get_running_loop().time() + seconds)
    _STEP.set(step)
    return step
