# SPDX-License-Identifier: Apache-2.0
"""What a call is at, so that the sentence of its deadline can say what it waited for, and how long
it still has, so that a better sentence can come before.
"""

from __future__ import annotations

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass


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


def time_left() -> float:
    """Seconds until this call is given up; without end outside a call."""
    step = _STEP.get()
    return math.inf if step is None else step.until - asyncio.get_running_loop().time()


def watch(seconds: float) -> Step:
    """Begins a call that is given up after so long: what follows in this context, and in tasks
    begun from it, tells its steps.
    """
    step = Step(asyncio.get_running_loop().time() + seconds)
    _STEP.set(step)
    return step
