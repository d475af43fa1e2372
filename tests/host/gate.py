# SPDX-License-Identifier: Apache-2.0
"""What every call of a host to a part of its world goes through: time passes, faults come.

A real call runs in a thread or on another machine. So whoever is cancelled does not undo it, and a
host that is killed may have sent it or not. The effect therefore belongs to the world, not to the
caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Protocol, TypeVar, cast

from kurier.model.errors import Code, KurierError

_Answer = TypeVar("_Answer")


class Moment(StrEnum):
    """Where in a call something may strike."""

    BEFORE = "before"
    """It was not sent yet."""
    AFTER = "after"
    """It had its effect, and its answer was not read yet."""


class Fault(StrEnum):
    """What may become of one call, besides that the caller is killed."""

    REFUSED = "refused"
    """Not carried out; the other side is not there."""
    LOST = "lost"
    """Carried out; the answer is lost."""
    LATE = "late"
    """Given up by the caller, and carried out some time after."""
    SLOW = "slow"
    """Carried out and answered after longer than an engine's call may take."""
    HALF = "half"
    """Of several things to make one half is made, and the answer is lost."""
    LACKING = "lacking"
    """A list that lacks some of what is there, answered as if it were whole."""


class Killed(BaseException):
    """The process that did this is no more."""


class KilledAfterSending(Killed):
    """The same, when the call had been sent."""


class Fate(Protocol):
    """Decides what becomes of a host's calls."""

    def strike(self, moment: Moment, call: str) -> Fault | None:
        """The fault of a call at one of its two moments; raises :class:`Killed` where the host's
        daemon ends.
        """


class Unharmed:
    """A fate without strikes."""

    def strike(self, moment: Moment, call: str) -> Fault | None:
        return None


@dataclass(frozen=True)
class Pace:
    """How long calls take, in seconds: up to `usual` each way, one in `rare` ten times that."""

    usual: float = 0.1
    rare: int = 20
    gives_up: float = 10.0
    """After how long a caller is told that nobody answers."""
    slow: float = 25.0


class Gate:
    """Between one host and one part of its world; `away` is the code for a part that is not there.

    `name` tells the part in what :class:`Fate` is asked.
    """

    def __init__(self, name: str, away: Code, chance: Random, fate: Fate, pace: Pace) -> None:
        self._name = name
        self._away = away
        self._chance = chance
        self.fate = fate
        self._pace = pace

    @classmethod
    def open(cls, name: str, away: Code) -> Gate:
        """A gate at which nothing takes time and nothing strikes."""
        return cls(name, away, Random(1), Unharmed(), Pace(usual=0.0))

    async def call(
        self,
        what: str,
        effect: Callable[[], _Answer],
        half: Callable[[], object] | None = None,
    ) -> _Answer:
        """What `effect` answers, after some time; `half` is the effect of a fault of that kind."""
        call = f"{self._name}.{what}"
        try:
            fault = self.fate.strike(Moment.BEFORE, call)
        except KilledAfterSending:
            self._later(effect)
            raise
        if fault in (Fault.REFUSED, Fault.LATE) or (fault is Fault.HALF and half is not None):
            return await self._unanswered(call, fault, half or effect)
        # The world's own task, in a context of its own, goes on when the caller is cancelled.
        loop = asyncio.get_running_loop()
        carried_out = loop.create_task(self._carried_out(effect, fault), context=Context())
        carried_out.add_done_callback(_looked_at)
        answer = await asyncio.shield(carried_out)
        fault = self.fate.strike(Moment.AFTER, call) or fault
        if fault is Fault.LOST:
            await asyncio.sleep(self._pace.gives_up)
            raise self._not_there(call)
        if fault is Fault.LACKING and isinstance(answer, list):
            return cast(_Answer, [one for one in answer if self._chance.random() < 0.5])
        return answer

    async def whole(self, work: Coroutine[object, object, _Answer]) -> _Answer:
        """Several calls that one thread makes: who gives up waiting does not stop it half-way."""
        going_on = asyncio.get_running_loop().create_task(work)
        going_on.add_done_callback(_looked_at)
        return await asyncio.shield(going_on)

    async def _carried_out(self, effect: Callable[[], _Answer], fault: Fault | None) -> _Answer:
        await asyncio.sleep(self._pace.slow if fault is Fault.SLOW else self._some_time())
        answer = effect()
        await asyncio.sleep(self._some_time())
        return answer

    async def _unanswered(self, call: str, fault: Fault, effect: Callable[[], object]) -> _Answer:
        if fault is Fault.HALF:
            effect()
        await asyncio.sleep(0.0 if fault is Fault.REFUSED else self._pace.gives_up)
        if fault is Fault.LATE:
            self._later(effect)
        raise self._not_there(call)

    def _later(self, effect: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self._some_time(), _unheard, effect, context=Context())

    def _not_there(self, call: str) -> KurierError:
        return KurierError(self._away, f"{call} was not answered.")

    def _some_time(self) -> float:
        spent = self._chance.uniform(0.0, self._pace.usual)
        return spent if self._chance.randrange(self._pace.rare) else spent * 10


def _looked_at(task: asyncio.Task[object]) -> None:
    if not task.cancelled():
        task.exception()


def _unheard(effect: Callable[[], object]) -> None:
    """Carries out what nobody waits for any more; what it says of that nobody hears."""
    try:
        effect()
    except KurierError:
        return
