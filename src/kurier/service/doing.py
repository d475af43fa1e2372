# SPDX-License-Identifier: Apache-2.0
"""What a call is at, so that the sentence of its deadline can say what it waited for."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Step:
    """The latest step of one call; tasks that the call starts share it."""

    text: str = ""


_STEP: ContextVar[Step | None] = ContextVar("kurier_step", default=None)


def doing(text: str) -> None:
    """Says the step at hand, to follow "while", e.g. ``Neutron was making the port``."""
    step = _STEP.get()
    if step is not None:
        step.text = text


def watch() -> Step:
    """Begins a call: what follows in this context, and in tasks begun from it, tells its steps."""
    step = Step()
    _STEP.set(step)
    return step
