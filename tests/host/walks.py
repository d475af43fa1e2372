# SPDX-License-Identifier: Apache-2.0
"""Random walks: engines, operators and mishaps do whatever they may, at once, on several hosts."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random

from kurier.model.errors import KurierError
from kurier.model.ids import PortId
from kurier.model.port import Stage
from kurier.model.records import NetworkState
from tests.host import whole
from tests.host.clock import run
from tests.host.engine import PluginError, Wish
from tests.host.engine_api import SwarmInMemory
from tests.host.gate import Fault
from tests.host.life import Blow, Strike
from tests.host.meddling import MEDDLING, TAKEN_AWAY, TAKEN_OUT
from tests.host.strikes import FOLDERS, Scene, clear
from tests.host.world import POOLED, SETTINGS, Host, World, listened, restored, saved

STEPS = 25
_SWARM_ID = "a1b2c3d4e5f6g7h8i9j0k1l2m"
_MISHAPS: tuple[Strike, ...] = (
    Blow.KILL,
    Blow.KILL_SENT,
    Blow.KILL_LONG,
    Blow.GIVE_UP,
    Fault.REFUSED,
    Fault.LOST,
    Fault.LATE,
    Fault.SLOW,
    Fault.HALF,
)
_PUBLISHED = ((), (), (("tcp", 80),), (("tcp", 80), ("udp", 53)))
Step = Callable[["Walk", Host], Awaitable[None]]


class Walk:
    """One walk through one world."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = Random(seed)
        self.world = World(seed, folder)
        self.told: list[str] = []
        """What was done, and what users were told."""
        self._numbers = iter(range(10_000))

    async def take(self, steps: int) -> list[str]:
        """Takes so many steps under mishaps; what is wrong in the end, and what is left."""
        hosts = self._hosts()
        self.world.neutron.make_network("prod", "10.1.0.0/24")
        self.world.neutron.make_group("web")
        await asyncio.sleep(20.0)
        before = whole.seen(self.world)
        for host in hosts:
            host.fates.befall(Random(self.chance.random()), 0.004, _MISHAPS)
        await asyncio.gather(*(self._walk(host, steps) for host in hosts))
        for host in hosts:
            host.fates.armed = False
            host.switch.wire_all()
        await self.world.rest()
        if any(host.had_old_ledger for host in hosts):
            await self.world.rest()  # first what no ledger knows leaves the switch, then Neutron
        wrong = [f"at rest: {one}" for one in whole.faults(self.world)]
        for host in hosts:
            await clear(Scene(self.world, host))
        await self.world.rest()
        wrong += [f"in the end: {one}" for one in whole.faults(self.world)]
        left = whole.leftovers(self.world, before)
        if any(host.had_old_ledger for host in hosts):
            # The newer ledger knew it, and no tag tells of it (yet, or any more).
            left = [one for one in left if not one.endswith((" []", " ['env:prod']"))]
        wrong += left
        await self.world.end()
        return wrong

    def _hosts(self) -> list[Host]:
        hosts = [self.world.host("one", POOLED), self.world.host("two", POOLED)]
        alone = self.world.host("three", self.chance.choice((SETTINGS, POOLED)))
        swarm = SwarmInMemory("swarm-1")
        swarm.join(hosts[0].engine, manager=True)
        swarm.join(hosts[1].engine)
        return [*hosts, alone]

    async def _walk(self, host: Host, steps: int) -> None:
        chance = Random(self.chance.random())
        for _ in range(steps):
            step = chance.choice(STEPS_TO_TAKE)
            try:
                await step(self, host)
                told = ""
            except PluginError as error:
                told = f": {str(error)[:80]}"
            self.told.append(f"{self.world.loop.time():7.1f} {host.name} {step.__name__}{told}")
            await asyncio.sleep(chance.choice((0.0, 0.1, 1.0, 5.0, 20.0)))

    def name(self) -> str:
        """A name that nobody has."""
        return f"n{next(self._numbers)}"

    def some(self, things: list[str]) -> str:
        """One of them; PluginError where there is none."""
        if not things:
            raise PluginError("there is none")
        return self.chance.choice(sorted(things))


def _networks(host: Host) -> list[str]:
    return [one.name for one in host.engine.networks.values()]


async def create_network(walk: Walk, host: Host) -> None:
    name, number = walk.name(), walk.chance.randrange(250)
    await host.engine.create_network(name, f"10.100.{number}.0/28")


async def attach_to_theirs(walk: Walk, host: Host) -> None:
    options = {"neutron.net.name": "prod"}
    await host.engine.create_network(walk.name(), "10.1.0.0/24", options=options)


async def first_task(walk: Walk, host: Host) -> None:
    if host.engine.cluster and "web" not in _networks(host):
        await host.engine.create_network("web", "10.5.0.0/24", identity=_SWARM_ID)


async def remove_network(walk: Walk, host: Host) -> None:
    await host.engine.remove_network(walk.some(_networks(host)))


async def start(walk: Walk, host: Host) -> None:
    wish = Wish(walk.some(_networks(host)), exposed=walk.chance.choice(_PUBLISHED))
    await host.engine.run(walk.name(), wish)


async def start_several(walk: Walk, host: Host) -> None:
    network = walk.some(_networks(host))
    starts = [host.engine.run(walk.name(), Wish(network)) for _ in range(4)]
    for result in await asyncio.gather(*starts, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def start_with_mac(walk: Walk, host: Host) -> None:
    mac = f"02:42:ac:11:{walk.chance.randrange(256):02x}:{walk.chance.randrange(256):02x}"
    await host.engine.run(walk.name(), Wish(walk.some(_networks(host)), mac=mac))


async def start_with_address(walk: Walk, host: Host) -> None:
    network = host.engine.named(walk.some(_networks(host)))
    prefix = network.ranges[0].cidr.rpartition(".")[0]
    wish = Wish(network.name, ip=f"{prefix}.{walk.chance.randrange(2, 14)}")
    await host.engine.run(walk.name(), wish)


async def stop(walk: Walk, host: Host) -> None:
    running = [one.name for one in host.engine.containers.values() if one.running]
    await host.engine.stop(walk.some(running))


async def start_again(walk: Walk, host: Host) -> None:
    stopped = [one.name for one in host.engine.containers.values() if not one.running]
    name = walk.some(stopped)
    if all(one.network in _networks(host) for one in host.engine.containers[name].wishes):
        await host.engine.start(name)


async def remove(walk: Walk, host: Host) -> None:
    await host.engine.remove(walk.some(list(host.engine.containers)))


async def kill(walk: Walk, host: Host) -> None:
    await host.kill()
    await asyncio.sleep(walk.chance.choice((0.0, 1.0, 10.0)))
    host.start()


async def restart(walk: Walk, host: Host) -> None:
    await host.stop()
    host.start()


async def engine_dies(walk: Walk, host: Host) -> None:
    host.engine.tells_stale = walk.chance.random() < 0.5
    await host.engine.crash()


async def no_wiring(walk: Walk, host: Host) -> None:
    host.switch.wires = False
    await asyncio.sleep(walk.chance.choice((1.0, 15.0)))
    host.switch.wire_all()


async def meddle(walk: Walk, host: Host) -> None:
    """An operator changes the port of a container that runs."""
    neutron = walk.world.neutron
    living = {one.container_id for one in host.engine.living()}
    found = {str(one.id): one for one in neutron.ports.values() if one.device_id in living}
    port = found[walk.some(list(found))]
    try:
        walk.chance.choice(MEDDLING)(neutron, port)
    except KurierError as error:
        raise PluginError(error.sentence) from error
    walk.world.touched.add(port.id)


async def take_away(walk: Walk, host: Host) -> None:
    """An operator takes off a container's port what Kurier told Neutron."""
    neutron = walk.world.neutron
    living = {one.container_id for one in host.engine.living()}
    found = {str(one.id): one for one in neutron.ports.values() if one.device_id in living}
    walk.chance.choice(TAKEN_AWAY)(neutron, found[walk.some(list(found))])


async def take_out(walk: Walk, host: Host) -> None:
    """An administrator is at the switch's end of a port."""
    walk.chance.choice(TAKEN_OUT)(host.switch, walk.some(list(host.switch.rows)))


async def delete_ready_port(walk: Walk, host: Host) -> None:
    """Somebody cleans up in Neutron what seems to be of no use."""
    ports = host.running.ledger.ports()
    ready = [str(one.port_id) for one in ports if one.stage is Stage.READY]
    gone = PortId(walk.some(ready))
    walk.world.neutron.port.delete(gone)
    host.switch.unwire(gone)


async def put_back(walk: Walk, host: Host) -> None:
    """The state folder is copied, or an earlier copy is put back; none is made in the middle of a
    network's making or removal.
    """
    copy = walk.world.folder / f"copy of {host.name}"
    ledger = host.running.ledger
    amid = any(one.state is not NetworkState.ACTIVE for one in ledger.networks())
    if amid or any(one.network is None for one in ledger.pools()):
        return
    await host.stop()
    if copy.exists() and walk.chance.random() < 0.5:
        restored(copy, host.folder)
        host.had_old_ledger = True
    else:
        saved(host.folder, copy)
    host.start()


async def set_clock(walk: Walk, host: Host) -> None:
    """Somebody sets the machine's clock, also while the daemon does not run."""
    running = walk.chance.random() < 0.5
    if not running:
        await host.stop()
    host.clock.off += timedelta(seconds=walk.chance.choice((-86_400, -3600, -30, 30, 86_400)))
    if not running:
        host.start()


STEPS_TO_TAKE: tuple[Step, ...] = (
    create_network,
    create_network,
    attach_to_theirs,
    first_task,
    remove_network,
    start,
    start,
    start,
    start,
    start_several,
    start_with_mac,
    start_with_address,
    stop,
    stop,
    start_again,
    remove,
    remove,
    kill,
    restart,
    engine_dies,
    no_wiring,
    meddle,
    meddle,
    take_away,
    take_out,
    delete_ready_port,
    put_back,
    set_clock,
)


def walked(seed: int, steps: int = STEPS) -> tuple[list[str], list[str]]:
    """What is wrong after a walk, and what was done in it."""

    async def story() -> tuple[list[str], list[str]]:
        walk = Walk(seed, Path(folder))
        return await walk.take(steps), walk.told

    with tempfile.TemporaryDirectory(dir=FOLDERS) as folder, listened() as said:
        wrong, told = run(story)
        return [*wrong, *said], told
