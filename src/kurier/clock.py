# SPDX-License-Identifier: Apache-2.0
"""Time that goes on evenly within one life of the daemon, whatever is done to the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def wall() -> datetime:
    """The machine's time, which people and programs set."""
    return datetime.now(UTC)


def steady() -> float:
    """Seconds that nobody sets; those of a suspended machine count (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Fulfils the service's `Clock`. Its time begins as the machine's is, and no step of that
    changes it: what cools or is due does so after as many seconds as were said. Until the next
    life it may differ from the machine's by as much as that was set.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = wall,
        steady: Callable[[], float] = steady,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._began, self._zero = wall(), steady()
        self._steady = steady
        self._monotonic = monotonic

    def now(self) -> datetime:
        """Aware UTC time."""
        return self._began + timedelta(seconds=self._steady() - self._zero)

    def monotonic(self) -> float:
        """Seconds of the clock that the event loop has."""
        return self._monotonic()
