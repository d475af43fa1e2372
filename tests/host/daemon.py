# SPDX-License-Identifier: Apache-2.0
"""A daemon put together as `kurier.daemon` does, over parts in memory and a ledger on a file."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec

from kurier.docker.lanes import Lanes
from kurier.docker.routes import ROUTES, decode
from kurier.model.errors import KurierError
from kurier.service.context import Context, ServiceSettings
from kurier.service.driver import Driver
from kurier.service.environment import Environment
from kurier.service.protocols import Clock, Cloud, Datapath, Engine, SwarmEngine
from tests.host.gate import Killed
from tests.host.ledger import MortalLedger, as_ledger
from tests.host.life import CALL, Life

_DEADLINE = 9.0
_GLANCE = 15.0


class Refused(Exception):
    """The daemon's sentence for the engine."""


class RandomNames:
    """Identifiers from a seed, as `Names` gives them."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def hex(self, digits: int) -> str:
        return f"{self._chance.getrandbits(4 * digits):0{digits}x}"


@dataclass(frozen=True)
class Parts:
    """What a daemon works with."""

    cloud: Cloud
    datapath: Datapath
    engine: Engine
    swarm: SwarmEngine
    clock: Clock


class Daemon:
    """One run of `kurier serve`."""

    def __init__(
        self,
        life: Life,
        parts: Parts,
        folder: Path,
        settings: ServiceSettings,
        chance: Random,
        unfit: str = "",
    ) -> None:
        self.life = life
        self.unfit = ""
        """Why its ledger must not be used, once that is known."""
        self.parts = parts
        clock = self.parts.clock
        self.kept = MortalLedger(folder, clock.now, self.life, unfit)
        self.ledger = as_ledger(self.kept)
        self._environment = Environment(self.ledger)
        self.driver = Driver(
            Context(
                self.parts.cloud,
                self.parts.datapath,
                self.ledger,
                self.parts.engine,
                self.parts.swarm,
                clock,
                RandomNames(chance),
                self._environment,
                settings,
            ),
            self._begin_anew,
        )
        self._lanes = Lanes(_DEADLINE)
        self._numbers = itertools.count(1)
        self.failures: list[BaseException] = []
        """What ended background work: always a defect."""

    def _begin_anew(self, reason: str) -> None:
        """As the real one, which stops and starts again in the same process."""
        self.unfit = reason
        self.life.kill()

    def start(self) -> None:
        """Answers from now on, and begins to look at everything."""
        self.driver.start()
        for name, work in self.driver.background().items():
            self.life.begin(self._kept_up(work), name)
        self.life.begin(self._follow_environment(), "environment")

    async def stop(self) -> None:
        """As after SIGTERM."""
        await self._lanes.drain(1.0)
        if self.life.alive:
            await asyncio.wait({self.life.begin(self.driver.stop(), "stop")})
        await self.kill()

    async def kill(self) -> None:
        """As after SIGKILL."""
        self.life.kill()
        await self.life.buried()

    async def call(self, name: str, body: bytes) -> bytes:
        """One call of the engine.

        Raises ConnectionResetError where the daemon is not there (any more), and
        :class:`Refused` with the sentence that it answers with.
        """
        if not self.life.alive:
            raise ConnectionRefusedError(name)
        answer: asyncio.Task[bytes] = self.life.begin(self._answer(name, body))
        await asyncio.wait({answer})
        if answer.cancelled() or isinstance(answer.exception(), Killed):
            raise ConnectionResetError(name)
        return answer.result()

    async def _answer(self, name: str, body: bytes) -> bytes:
        route = ROUTES[name]
        try:
            call = decode(route, body)
            lane = route.lane(call) if route.lane else None
            served = f"{name} {next(self._numbers)}"
            CALL.set(served)
            answer = await self._lanes.run(served, lane, lambda: route.serve(self.driver, call))
        except KurierError as error:
            raise Refused(error.sentence) from error
        return msgspec.json.encode(answer)

    async def _kept_up(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:
            self.failures.append(error)
            raise

    async def _follow_environment(self) -> None:
        while True:
            try:
                self._environment.learn(await self.parts.engine.environment())
            except KurierError:
                await asyncio.sleep(0.5)
                continue
            await self._membership_changes()

    async def _membership_changes(self) -> None:
        seen = self.parts.engine.membership()
        for _ in itertools.takewhile(
            lambda _: self.parts.engine.membership() == seen, itertools.count()
        ):
            await asyncio.sleep(_GLANCE)
