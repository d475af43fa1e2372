# SPDX-License-Identifier: Apache-2.0
"""Strikes a use case at each of its moments, and looks at what comes of it.

A use case is played once undisturbed, to count its moments: each call to the world, before and
after, and each write to the ledger, before and after. Then it is played again for each moment and
each kind of blow, in the same order of events up to it. What was struck must be whole in the end,
and nothing may be left when all is taken away.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kurier.model.errors import KurierError
from kurier.service.context import ServiceSettings
from kurier.service.driver import Driver
from tests.host import whole
from tests.host.clock import run
from tests.host.engine import PluginError
from tests.host.gate import Fault, Killed, Moment
from tests.host.life import ANSWERED, AT_ONCE, Blow, Plan, Strike
from tests.host.neutron import Neutron
from tests.host.world import SETTINGS, Host, World, listened

FOLDERS = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where ledgers are kept while they are struck: a memory file system, as a strike's file lives for
some milliseconds."""
_LIST_CALLS = ("ports", "networks", "subnets", "security_groups", "plugged", "agents")


@dataclass(frozen=True)
class UseCase:
    """What users do on one host: `prepare` undisturbed, `act` under blows.

    An act that was refused is tried again by its user, undisturbed, as :attr:`again` says.
    """

    name: str
    act: Callable[[Scene], Awaitable[None]]
    before: Callable[[Neutron], None] | None = None
    """What an operator had made beforehand, which stays as it is."""
    prepare: Callable[[Scene], Awaitable[None]] | None = None
    settings: ServiceSettings = SETTINGS
    again: bool = True
    finish: Callable[[Scene], Awaitable[None]] | None = None
    """What a user does once more when all is quiet, whatever came of it."""
    settles: float = 30.0
    """Seconds of undisturbed work that belong to the act: what is settled afterwards."""


@dataclass
class Scene:
    """A world in which a use case is played, on its first host."""

    world: World
    host: Host
    refused: list[str] = field(default_factory=list)
    """What users were told."""

    async def attempt(self, act: Awaitable[object]) -> bool:
        """Does what a user does; what he is told, if it fails, is kept."""
        try:
            await act
        except PluginError as error:
            self.refused.append(str(error))
            return False
        return True

    async def command(self, work: Callable[[Driver], object]) -> None:
        """Does what an operator does by the daemon's own socket; PluginError with its sentence.

        Whoever is cut off by the daemon's death is told so.
        """
        driver = self.host.running.driver
        task = self.host.running.life.begin(told_by(lambda: work(driver)))
        await asyncio.wait({task})
        if task.cancelled() or isinstance(task.exception(), Killed):
            raise PluginError("the daemon went away")
        sentence = task.result()
        if sentence:
            raise PluginError(sentence)


async def told_by(work: Callable[[], object]) -> str:
    """What an operator is told by work that fails."""
    try:
        answer = work()
        if isinstance(answer, Awaitable):
            await answer
    except KurierError as error:
        return error.sentence
    return ""


@dataclass(frozen=True)
class Outcome:
    """What came of one play."""

    moments: tuple[str, ...]
    struck: tuple[str, ...]
    faults: tuple[str, ...]
    refused: tuple[str, ...] = ()


def play(case: UseCase, seed: int, plan: Plan) -> Outcome:
    """Plays a use case once, with these strikes at these of its moments."""
    folder = Path(tempfile.mkdtemp(dir=FOLDERS))
    try:
        with listened() as said:
            outcome = run(lambda: _play(case, seed, plan, folder))
            return Outcome(
                outcome.moments, outcome.struck, (*outcome.faults, *said), outcome.refused
            )
    finally:
        shutil.rmtree(folder)


async def _play(case: UseCase, seed: int, plan: Plan, folder: Path) -> Outcome:
    world = World(seed, folder)
    scene = Scene(world, world.host("one", case.settings))
    if case.before is not None:
        case.before(world.neutron)
    await asyncio.sleep(5.0)
    before = whole.seen(world)
    if case.prepare is not None:
        await case.prepare(scene)
        await asyncio.sleep(40.0)
    fates = scene.host.fates
    fates.strike(plan)
    done = await scene.attempt(case.act(scene))
    await asyncio.sleep(case.settles)
    fates.armed = False
    await world.rest()
    faults = [f"after the strike: {one}" for one in whole.faults(world)]
    if not done and case.again and not await scene.attempt(case.act(scene)):
        faults.append(f"it cannot be done any more: {scene.refused[-1]}")
    if case.finish is not None:
        await case.finish(scene)
    await clear(scene)
    await world.rest()
    faults += [f"in the end: {one}" for one in whole.faults(world)]
    faults += whole.leftovers(world, before)
    await world.end()
    return Outcome(tuple(fates.moments), tuple(fates.struck), tuple(faults), tuple(scene.refused))


async def clear(scene: Scene) -> None:
    """Everything that users made is removed by them."""
    for host in scene.world.hosts.values():
        host.running.driver.network_keeper.want(0)
        for name in list(host.engine.containers):
            await host.engine.remove(name)
        for one in list(host.engine.networks.values()):
            await host.engine.remove_network(one.name)


def strikes(moments: Iterable[str]) -> Iterator[tuple[int, Strike]]:
    """Every blow and fault that fits each moment."""
    for number, told in enumerate(moments):
        moment, _, what = told.partition(" ")
        for blow in Blow:
            # An engine that gave up meanwhile makes a difference once something was done.
            done = moment == Moment.AFTER and not what.startswith("ledger.")
            if done if blow is Blow.KILL_LONG else blow not in AT_ONCE or moment == Moment.BEFORE:
                yield number, blow
        if not what.startswith("ledger."):
            yield from ((number, fault) for fault in Fault if _fits(fault, moment, what))


def _fits(fault: Fault, moment: str, what: str) -> bool:
    if fault is Fault.HALF:
        return moment == Moment.BEFORE and what.endswith("create_ports")
    if fault is Fault.LACKING:
        return moment == Moment.AFTER and what.endswith(_LIST_CALLS)
    return (fault in ANSWERED) == (moment == Moment.AFTER) and (
        fault in ANSWERED or fault in AT_ONCE
    )
