# SPDX-License-Identifier: Apache-2.0
"""Whether the engine is starting or stopping containers right now.

Work that can wait (settling, refilling) stands back meanwhile, since Neutron, its database and
the switch may share the machine with the containers that start; up to a bounded lag.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kurier.service.protocols import Clock

_QUIET = 2.0
"""Seconds without a call after which a burst is over: on a busy machine a second may pass between
the calls of starts that run side by side."""


class Traffic:
    """The engine's calls, as far as other work heeds them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls = 0
        self._last = float("-inf")

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around each call that belongs to a container's start or stop."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._last = self._clock.monotonic()

    def quiet_in(self) -> float:
        """Seconds until the burst is over, if no further call comes; 0 where it is quiet."""
        if self._calls:
            return _QUIET
        return max(0.0, self._last + _QUIET - self._clock.monotonic())
