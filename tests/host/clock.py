# SPDX-License-Identifier: Apache-2.0
"""A loop that waits for nothing: its time passes only when nobody has anything to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")
_BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class _Leaping(selectors.SelectSelector):
    """The loop's clock goes on by as much as it would have waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(timeout, 0.0)
        # No socket but the loop's own: who asks it each time pays for a system call each time.
        return []


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nobody has anything to do."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


class HostClock:
    """One host's clock: a `Clock` of the service, which an operator may set."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.off = timedelta()
        """By how much its wall time is wrong."""

    def now(self) -> datetime:
        return _BEGINNING + timedelta(seconds=self._loop.time()) + self.off

    def monotonic(self) -> float:
        return self._loop.time()


def run(work: Callable[[], Coroutine[Any, Any, _Answer]], longest: float = 36_000.0) -> _Answer:
    """Runs `work` to its end in a loop of its own; an error after `longest` seconds of its time."""
    loop = LeapingLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(work(), longest))
    finally:
        _end(loop)


def _end(loop: LeapingLoop) -> None:
    """What is still under way ends with the world."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left))
    loop.close()
