# SPDX-License-Identifier: Apache-2.0
"""One run of a daemon, from its start to its stop or to the instant at which it is killed.

A killed process runs nothing any more, not even what stands in `finally`. Here the tasks of a
killed life are cancelled, and whatever they still try, at the ledger or at the world, ends in
:class:`Killed` and has no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context, ContextVar, copy_context
from enum import StrEnum
from random import Random
from typing import Any

from tests.host.gate import Fault, Killed, KilledAfterSending, Moment


class Blow(StrEnum):
    """What may strike a host at one moment, besides a :class:`Fault` of the call itself."""

    KILL = "kill"
    """The daemon is killed."""
    KILL_SENT = "kill sent"
    """The daemon is killed, and the call that it had sent is carried out after that."""
    KILL_LONG = "kill for long"
    """The daemon is killed, and comes back when the engine has given its call up."""
    GIVE_UP = "give up"
    """The engine's call is given up, as at its deadline."""


Strike = Blow | Fault
AT_ONCE = {Blow.KILL_SENT, Fault.REFUSED, Fault.LATE, Fault.SLOW, Fault.HALF}
"""What can strike only before a call is sent."""
ANSWERED = {Fault.LOST, Fault.LACKING}
"""What can strike only when a call was carried out."""


Plan = Mapping[int | str, Strike]
"""What strikes at a moment: by its number, or by what it is a moment of, each time."""


class Fates:
    """What strikes a host: moments are counted while :attr:`armed`."""

    def __init__(self) -> None:
        self._plan: Plan = {}
        self._chance, self._often = Random(0), 0.0
        self._kinds: Sequence[Strike] = ()
        self.armed = False
        self.moments: list[str] = []
        """Every moment that passed, with what it was a moment of."""
        self.struck: list[str] = []
        """What did strike, and where."""

    def strike(self, plan: Plan) -> None:
        """Begins to count moments, and strikes at these."""
        self._plan = plan
        self.armed = True

    def befall(self, chance: Random, often: float, kinds: Sequence[Strike]) -> None:
        """Strikes at random from now on; `often` is the probability at each moment."""
        self._chance, self._often, self._kinds = chance, often, kinds
        self.armed = True

    def at(self, moment: str, what: str) -> Strike | None:
        """What strikes at this moment of this call or write."""
        if not self.armed:
            return None
        number = len(self.moments)
        self.moments.append(f"{moment} {what}")
        strike = self._plan.get(number) or self._plan.get(self.moments[number])
        if strike is None and self._kinds and self._chance.random() < self._often:
            strike = self._at_random(moment)
        if strike is not None:
            self.struck.append(f"{strike} {moment} {what} ({number})")
        return strike

    def _at_random(self, moment: str) -> Strike | None:
        strike = self._chance.choice(self._kinds)
        fits = moment == Moment.BEFORE if strike in AT_ONCE else strike not in ANSWERED
        return strike if fits or (strike in ANSWERED and moment == Moment.AFTER) else None


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)
CALL: ContextVar[str] = ContextVar("call", default="no call of an engine")
"""The name of the task that serves the engine's call to which what goes on belongs."""


class Life:
    """The tasks of one run, and its end; also the `Fate` of its calls."""

    def __init__(self, fates: Fates) -> None:
        self.fates = fates
        self.alive = True
        self.for_long = False
        """Whether nobody starts it again for a while."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self._context: Context = copy_context()
        self._context.run(LIFE.set, self)
        self._at_end: list[Callable[[], None]] = []
        self.ended = asyncio.Event()

    def begin(self, work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """A task of this run; those that it begins are this run's as well."""
        loop = asyncio.get_running_loop()
        return loop.create_task(work, name=name, context=self._context.copy())

    def at_end(self, action: Callable[[], None]) -> None:
        """What happens at the instant of the end, such as a file being closed."""
        self._at_end.append(action)

    def strike(self, moment: Moment, call: str) -> Fault | None:
        """As `Fate` says."""
        self.require()
        strike = self.fates.at(moment, call)
        if isinstance(strike, Blow):
            return self._blow(strike)
        return strike

    def write(self, moment: str, what: str) -> None:
        """A moment beside a write to the ledger; raises :class:`Killed`."""
        self.require()
        strike = self.fates.at(moment, what)
        if strike in (Blow.KILL, Blow.KILL_SENT, Blow.KILL_LONG):
            self._blow(Blow.KILL_LONG if strike is Blow.KILL_LONG else Blow.KILL)

    def require(self) -> None:
        """Raises :class:`Killed` where this run has ended."""
        if not self.alive:
            raise Killed

    def kill(self) -> None:
        """Ends it at this instant."""
        if not self.alive:
            return
        self.alive = False
        for action in self._at_end:
            action()
        for task in self.tasks:
            task.cancel()
        self.ended.set()

    def over(self, task: asyncio.Task[Any]) -> None:
        """A task of this run has ended; whoever was killed has nobody to tell."""
        self.tasks.discard(task)
        if not self.alive and not task.cancelled():
            task.exception()

    async def buried(self) -> None:
        """Waits until no task of a run that was killed is left."""
        here = asyncio.current_task()
        while left := {task for task in self.tasks if task is not here}:
            await asyncio.wait(left)

    def _blow(self, blow: Blow) -> Fault | None:
        if blow is Blow.GIVE_UP:
            for task in self.tasks:
                if task.get_name() == CALL.get():
                    task.cancel()
            return None
        self.for_long = blow is Blow.KILL_LONG
        self.kill()
        raise KilledAfterSending if blow is Blow.KILL_SENT else Killed


def count_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Has every task known to the run that began it."""

    def factory(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        context: Context | None = more.get("context")
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is not None:
            life.tasks.add(task)
            task.add_done_callback(life.over)
            if not life.alive:
                task.cancel()
        return task

    loop.set_task_factory(factory)  # type: ignore[arg-type]
