# SPDX-License-Identifier: Apache-2.0
"""Calls under a deadline, and one after another where they concern the same thing.

Engines repeat a call whose connection broke while the first is still at work. A call runs in a
task of its own, so that neither a client that goes away nor a deadline leaves its lane open before
the work has really ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kurier.model.errors import Code, KurierError
from kurier.service.doing import Step, doing, watch
from kurier.service.turns import Turns

_Answer = TypeVar("_Answer")


class Lanes:
    """Runs calls, each at most `seconds` long; those of one key one at a time, in order."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._turns = Turns()
        self._tasks: set[asyncio.Task[object]] = set()

    async def run(
        self, name: str, key: str | None, work: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """The answer of `work`; raises its error, or DEADLINE saying what it was at.

        At the deadline the work is cancelled and not waited for.
        """
        step = watch(self._seconds)
        task = asyncio.create_task(self._in_lane(key, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=self._seconds)
        if not task.done():
            task.cancel()
            raise self._late(name, step)
        if task.cancelled():
            raise KurierError(Code.INTERNAL, "Kurier is being stopped: try again in a moment.")
        return task.result()

    async def drain(self, seconds: float) -> None:
        """Waits for what is running, then cancels the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def running(self) -> int:
        """How many calls are at work or waiting in a lane."""
        return len(self._tasks)

    async def _in_lane(self, key: str | None, work: Callable[[], Awaitable[_Answer]]) -> _Answer:
        if key is None:
            return await work()
        doing("an earlier call for the same thing was still at work")
        async with self._turns.turn(key):
            doing("")
            return await work()

    def _ended(self, task: asyncio.Task[_Answer]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; after a deadline nobody does

    def _late(self, name: str, step: Step) -> KurierError:
        reason = f" while {step.text}" if step.text else ""
        return KurierError(
            Code.DEADLINE,
            f"Kurier gave {name} up after {self._seconds:g} s{reason}; nothing is lost by trying "
            "again.",
        )
