# SPDX-License-Identifier: Apache-2.0
"""A cloud and its hosts in memory: each host with an engine, a switch and a daemon of its own."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from kurier.clock import SteadyClock
from kurier.model.errors import Code
from kurier.model.ids import PortId
from kurier.service.context import PoolSettings, ServiceSettings
from tests.host.clock import HostClock
from tests.host.daemon import Daemon, Parts, Refused
from tests.host.engine import DockerEngine, PluginError
from tests.host.engine_api import EngineFace, SwarmFace
from tests.host.gate import Gate, Killed, Pace
from tests.host.life import Fates, Life, count_tasks
from tests.host.neutron import Neutron, NeutronFace
from tests.host.switch import Switch, SwitchFace

SETTINGS = ServiceSettings(
    reconcile_interval=20.0,
    reconcile_grace=40.0,
    unanswered=80.0,
    pool=PoolSettings(enabled=False),
    boot_id="first boot",
    machine=("machine", ""),
)
"""A daemon's ways in these tests, but for pools: passes and graces are short, as nobody's start
takes long here."""
POOLED = replace(SETTINGS, pool=PoolSettings(minimum=2, maximum=4, batch=4, cooling=15.0))
_AT_HOME = Pace(usual=0.02, gives_up=5.0, slow=4.0)
"""On the host itself; a call to the switch is given up after five seconds."""
RESTART = 2.0
"""Seconds after which the service manager starts a killed daemon again."""
LONG_RESTART = 20.0
"""The same after a long kill: an engine gives its call up after 15, and asks for what follows."""
AT_REST = 110.0
"""Seconds after which whatever may go has gone: some passes, and the grace between them."""
_LOOKS = 8
"""How often twenty seconds more are given to what was unanswered, until nobody looks for it."""


class Host:
    """One host: what outlives its daemon, and the daemon that runs at the moment."""

    def __init__(self, name: str, world: World, settings: ServiceSettings) -> None:
        self.name = name
        self.world = world
        self.settings = replace(settings, host=name)
        self.clock = HostClock(world.loop)
        self.fates = Fates()
        self.folder = world.folder / name
        self._chance = Random(world.chance.getrandbits(64))
        self.switch = Switch(name, self._chance, world.neutron.wired)
        self.engine = DockerEngine(self._call, self.switch, self._chance)
        self.engine.repeats_bodies = bool(world.seed % 2)
        self.daemon: Daemon | None = None
        self.had_old_ledger = False
        """Whether somebody put an old copy of the ledger back."""
        self._guard: asyncio.Task[None] | None = None

    @property
    def running(self) -> Daemon:
        """The daemon, which must run."""
        assert self.daemon is not None, f"{self.name}: no daemon was started"
        return self.daemon

    def start(self) -> None:
        """Starts the daemon, and has it started again whenever it is killed."""
        life = Life(self.fates)
        self._guard = asyncio.get_running_loop().create_task(self._guarded(life))
        unfit = self.daemon.unfit if self.daemon is not None else ""
        self.daemon = None
        try:
            parts = self._parts(life)
            daemon = Daemon(life, parts, self.folder, self.settings, self._chance, unfit)
            daemon.start()
        except Killed:
            return
        self.daemon = daemon

    async def kill(self) -> None:
        """Kills the daemon; nobody starts it again."""
        self._unguard()
        if self.daemon is not None:
            await self.daemon.kill()

    async def stop(self) -> None:
        """Stops the daemon; nobody starts it again."""
        self._unguard()
        if self.daemon is not None:
            await self.daemon.stop()

    async def reboot(self) -> None:
        """The machine goes down and comes up again, its daemon before its engine."""
        await self.kill()
        self.switch.reboot()
        self.settings = replace(self.settings, boot_id=f"{self.settings.boot_id}, next")
        self.start()
        await self.engine.crash()

    async def _guarded(self, life: Life) -> None:
        await life.ended.wait()
        await life.buried()
        await asyncio.sleep(LONG_RESTART if life.for_long else RESTART)
        self.start()

    def _unguard(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            self._guard = None

    def _parts(self, life: Life) -> Parts:
        def gate(name: str, away: Code, pace: Pace = self.world.pace) -> Gate:
            return Gate(name, away, self._chance, life, pace)

        return Parts(
            NeutronFace(self.world.neutron, gate("neutron", Code.CLOUD_AWAY)),
            SwitchFace(self.switch, gate("switch", Code.SWITCH_AWAY, _AT_HOME)),
            EngineFace(self.engine, gate("engine", Code.INTERNAL, _AT_HOME)),
            SwarmFace(self.engine, gate("swarm", Code.INTERNAL, _AT_HOME)),
            SteadyClock(self.clock.now, self.clock.monotonic, self.clock.monotonic),
        )

    async def _call(self, name: str, body: bytes) -> bytes:
        if self.daemon is None:
            raise ConnectionRefusedError(name)
        try:
            return await self.daemon.call(name, body)
        except Refused as error:
            raise PluginError(str(error)) from error


class World:
    """Everything there is. Make it inside the loop that it lives in."""

    def __init__(self, seed: int, folder: Path, pace: Pace | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        count_tasks(self.loop)
        self.loop.set_exception_handler(self._unheard)
        self.unheard: list[str] = []
        """Errors of tasks that nobody looked at: always a defect."""
        self.seed = seed
        self.chance = Random(seed)
        self.folder = folder
        self.pace = pace or Pace()
        self.clock = HostClock(self.loop)
        self.neutron = Neutron(Random(self.chance.getrandbits(64)), self.clock.now)
        self.hosts: dict[str, Host] = {}
        self.touched: set[PortId] = set()
        """Ports that an operator changed: what guards them is his affair, while their containers
        run.
        """

    def host(
        self, name: str = "one", settings: ServiceSettings = SETTINGS, engine_id: str = ""
    ) -> Host:
        """A further host, its daemon running."""
        host = Host(name, self, settings)
        host.engine.id = engine_id or host.engine.id
        self.hosts[name] = host
        self.neutron.chassis.add(name)
        host.start()
        return host

    async def lose(self, name: str) -> None:
        """A host that dies and never comes back."""
        await self.hosts.pop(name).kill()
        self.neutron.dead.add(name)

    def _unheard(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Killed):
            self.unheard.append(f"{context['message']}: {context.get('exception')!r}")

    async def rest(self) -> None:
        """Lets everybody finish."""
        await asyncio.sleep(AT_REST)
        for _ in range(_LOOKS):
            if self._at_work():
                await asyncio.sleep(20.0)

    def _at_work(self) -> bool:
        ledgers = [host.running.ledger for host in self.hosts.values()]
        return any(
            ledger.jobs() or any(one.network is None for one in ledger.pools())
            for ledger in ledgers
        )

    async def end(self) -> None:
        """Ends every daemon."""
        for host in self.hosts.values():
            await host.kill()
        await asyncio.sleep(60.0)  # what was sent is carried out yet


def saved(folder: Path, copy: Path) -> None:
    """A state folder as it is on the disk of a host whose daemon does not run, copied."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    shutil.copy(folder / "ledger.db", copy)


def restored(copy: Path, folder: Path) -> None:
    """The copy put back in its place."""
    for path in folder.glob("ledger.db*"):
        path.unlink()
    shutil.copy(copy / "ledger.db", folder)


class Loud(logging.Handler):
    """Keeps what daemons say at ERROR: a defect each time."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@contextmanager
def listened() -> Iterator[list[str]]:
    """What daemons say at ERROR in this block."""
    loud, log = Loud(), logging.getLogger("kurier")
    before, propagates = log.level, log.propagate
    log.addHandler(loud)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        yield loud.said
    finally:
        log.removeHandler(loud)
        log.setLevel(before)
        log.propagate = propagates
