# SPDX-License-Identifier: Apache-2.0
"""A cloud and its hosts in memory: each host with an engine, a switch and a daemon of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from kurier.model.errors import Code
from kurier.service.context import PoolSettings, ServiceSettings
from tests.host.clock import HostClock
from tests.host.daemon import Daemon, Parts, Refused
from tests.host.engine import DockerEngine, PluginError
from tests.host.engine_api import EngineFace, SwarmFace
from tests.host.gate import Gate, Pace
from tests.host.life import Fates, Life, count_tasks
from tests.host.neutron import Neutron, NeutronFace
from tests.host.switch import Switch, SwitchFace

SETTINGS = ServiceSettings(
    reconcile_interval=20.0,
    reconcile_grace=40.0,
    pool=PoolSettings(enabled=False),
    boot_id="first boot",
)
"""A daemon's ways in these tests, but for pools: passes and graces are short, as nobody's start
takes long here."""
POOLED = replace(SETTINGS, pool=PoolSettings(minimum=2, maximum=4, batch=4, cooling=15.0))
_AT_HOME = Pace(usual=0.02, gives_up=5.0, slow=4.0)
"""On the host itself; a call to the switch is given up after five seconds."""
RESTART = 2.0
"""Seconds after which the service manager starts a killed daemon again."""
AT_REST = 180.0
"""Seconds after which whatever may go has gone: two passes, the grace, and what is asked again."""


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
        self.daemon: Daemon | None = None
        self._guard: asyncio.Task[None] | None = None

    @property
    def running(self) -> Daemon:
        """The daemon, which must run."""
        assert self.daemon is not None, f"{self.name}: no daemon was started"
        return self.daemon

    def start(self) -> None:
        """Starts the daemon, and has it started again whenever it is killed."""
        self.daemon = Daemon(self._parts, self.folder, self.settings, self.fates, self._chance)
        self.daemon.start()
        self._guard = asyncio.get_running_loop().create_task(self._guarded(self.daemon))

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

    async def _guarded(self, daemon: Daemon) -> None:
        await daemon.life.ended.wait()
        await daemon.life.buried()
        await asyncio.sleep(RESTART)
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
            self.clock,
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
        self.chance = Random(seed)
        self.folder = folder
        self.pace = pace or Pace()
        self.clock = HostClock(self.loop)
        self.neutron = Neutron(Random(self.chance.getrandbits(64)), self.clock.now)
        self.hosts: dict[str, Host] = {}

    def host(self, name: str = "one", settings: ServiceSettings = SETTINGS) -> Host:
        """A further host, its daemon running."""
        host = Host(name, self, settings)
        self.hosts[name] = host
        self.neutron.chassis.add(name)
        host.start()
        return host

    async def rest(self, seconds: float = AT_REST) -> None:
        """Lets everybody finish."""
        await asyncio.sleep(seconds)

    async def end(self) -> None:
        """Ends every daemon."""
        for host in self.hosts.values():
            await host.kill()


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
