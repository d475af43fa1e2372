# SPDX-License-Identifier: Apache-2.0
"""The use cases that are struck: all that an engine and its users ask of one host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from kurier.model.neutron import PortSpec, Rule
from tests.host.engine import Wish
from tests.host.engine_api import SwarmInMemory
from tests.host.meddling import MEDDLING, TAKEN_AWAY, TAKEN_OUT, Meddling
from tests.host.neutron import Neutron
from tests.host.strikes import Scene, UseCase
from tests.host.switch import Switch
from tests.host.world import POOLED

_WEB = (("tcp", 80), ("tcp", 443))
_NEVER_RECYCLED = replace(POOLED, pool=replace(POOLED.pool, recycle=False))
Act = Callable[[Scene], Awaitable[None]]


# ── what users do ──


def network(*ranges: str, **more: object) -> Act:
    """`docker network create … blue`."""

    async def act(scene: Scene) -> None:
        await scene.host.engine.create_network("blue", *(ranges or ("10.1.0.0/24",)), **more)  # type: ignore[arg-type]

    return act


def start(name: str = "a", **more: object) -> Act:
    """`docker run --network blue`; a container of that name that could not start is removed."""

    async def act(scene: Scene) -> None:
        engine = scene.host.engine
        if name in engine.containers:
            await engine.remove(name)
        await engine.run(name, Wish("blue", **more))  # type: ignore[arg-type]

    return act


def after(*acts: Act) -> Act:
    """One after the other."""

    async def act(scene: Scene) -> None:
        for one in acts:
            await one(scene)

    return act


def at_once(*acts: Act) -> Act:
    """All at the same moment."""

    async def act(scene: Scene) -> None:
        results = await asyncio.gather(*(one(scene) for one in acts), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    return act


def pause(seconds: float) -> Act:
    """Nothing, for so long."""

    async def act(scene: Scene) -> None:
        await asyncio.sleep(seconds)

    return act


async def stop(scene: Scene) -> None:
    await scene.host.engine.stop("a")


async def start_again(scene: Scene) -> None:
    await scene.host.engine.start("a")


async def restart(scene: Scene) -> None:
    await scene.host.engine.restart("a")


async def remove(scene: Scene) -> None:
    await scene.host.engine.remove("a")


async def connect(scene: Scene) -> None:
    await scene.host.engine.connect("a", Wish("red"))


async def disconnect(scene: Scene) -> None:
    await scene.host.engine.disconnect("a", "red")


async def red(scene: Scene) -> None:
    await scene.host.engine.create_network("red", "10.2.0.0/24")


async def remove_network(scene: Scene) -> None:
    engine = scene.host.engine
    if any(one.name == "blue" for one in engine.networks.values()):
        await engine.remove_network("blue")


async def crash(scene: Scene) -> None:
    await scene.host.engine.crash()


async def crash_silently(scene: Scene) -> None:
    scene.host.engine.tells_stale = False
    await scene.host.engine.crash()


async def reboot(scene: Scene) -> None:
    await scene.host.reboot()


async def restart_daemon(scene: Scene) -> None:
    await scene.host.stop()
    scene.host.start()


async def want_networks(scene: Scene) -> None:
    await scene.command(lambda driver: driver.network_keeper.want(2))
    await asyncio.sleep(5.0)


async def drain_and_resume(scene: Scene) -> None:
    await scene.command(lambda driver: driver.draining.drain(()))
    await asyncio.sleep(20.0)
    await scene.command(lambda driver: driver.stock.resume())


# ── what operators do ──


def meddle(change: Meddling) -> Act:
    """An operator changes the port of a container that runs."""

    async def act(scene: Scene) -> None:
        neutron = scene.world.neutron
        for living in scene.host.engine.living():
            for port in list(neutron.ports.values()):
                if port.device_id == living.container_id:
                    change(neutron, port)

    return act


def take_out(change: Callable[[Switch, str], None]) -> Act:
    """An administrator is at the switch's end of every port, of containers and ready ones."""

    async def act(scene: Scene) -> None:
        for port in scene.host.running.ledger.ports():
            change(scene.host.switch, port.device)

    return act


async def forget_network(scene: Scene) -> None:
    """`docker network rm` while Kurier does not run."""
    await scene.host.stop()
    await scene.host.engine.stop("a")
    await scene.host.engine.remove("a")
    scene.host.engine.forget_network("blue")
    scene.host.start()
    await asyncio.sleep(90.0)


# ── what operators have ──


def theirs(neutron: Neutron) -> None:
    """A network with a subnet, and a port on it that somebody wants adopted."""
    net = neutron.make_network("prod", "10.1.0.0/24")
    (subnet,) = neutron.net.subnets_of(net.id)
    neutron.port.create(PortSpec(net.id, "vip", "", "", "", neutron.requests(subnet, "10.1.0.50")))
    neutron.net.networks.set_tags(net.id, ["env:prod"])


def theirs_without_subnet(neutron: Neutron) -> None:
    neutron.make_network("prod")


def a_pool(neutron: Neutron) -> None:
    neutron.make_subnet_pool("offices", "10.8.0.0/16", 26, default=True)


def a_group(neutron: Neutron) -> None:
    neutron.make_group("web", "", (Rule("tcp", 80, 80),))


_ON_THEIRS = {"options": {"neutron.net.name": "prod"}}
_STARTED = after(network(), start())


# ── a Swarm ──

_SWARM_ID = "a1b2c3d4e5f6g7h8i9j0k1l2m"


def on_node(which: str) -> Act:
    """A node makes its local network of the Swarm's network when its first task comes."""

    async def act(scene: Scene) -> None:
        engine = scene.world.hosts[which].engine
        if not engine.networks:
            await engine.create_network("web", "10.5.0.0/24", identity=_SWARM_ID)

    return act


def off_node(which: str) -> Act:
    """The last task of a node has ended."""

    async def act(scene: Scene) -> None:
        engine = scene.world.hosts[which].engine
        if engine.networks:
            await engine.remove_network("web")

    return act


async def swarm(scene: Scene) -> None:
    """A second node; both are in one Swarm."""
    world = scene.world
    found = SwarmInMemory("swarm-1")
    found.join(scene.host.engine, manager=True)
    found.join(world.host("two").engine)
    await asyncio.sleep(20.0)


async def second_host_dies(scene: Scene) -> None:
    """It has a container and a part in the network, and never comes back."""
    two = scene.world.hosts["two"]
    await two.engine.run("b", Wish("web", exposed=_WEB))
    await asyncio.sleep(30.0)
    await scene.world.lose("two")


async def forget(scene: Scene) -> None:
    await scene.command(lambda driver: driver.hosts.forget("two"))


def behind_the_back(
    name: str, act: Act, before: Callable[[Neutron], None] | None = None
) -> UseCase:
    """Somebody is at a container that runs on a network with ready ports."""
    return UseCase(name, act, before, _STARTED, POOLED, again=False)


def told(change: Callable[..., None]) -> str:
    """What was done, in words."""
    return change.__name__.replace("_", " ")


CASES = (
    UseCase("network", network()),
    UseCase("network that keeps an address out", network(aux={"x": "10.1.0.9"})),
    UseCase("network of two families", network("10.1.0.0/24", "fd00:1::/64")),
    UseCase("network on an operator's", network(**_ON_THEIRS), theirs),
    UseCase(
        "network on an operator's that keeps an address out",
        network(aux={"x": "10.1.0.9"}, **_ON_THEIRS),
        theirs,
    ),
    UseCase(
        "network on an operator's without a subnet", network(**_ON_THEIRS), theirs_without_subnet
    ),
    UseCase("network of a subnet pool", network(""), a_pool),
    UseCase("removal of a network", remove_network, prepare=network()),
    UseCase("removal of a network on an operator's", remove_network, theirs, network(**_ON_THEIRS)),
    UseCase("removal of a network with ready ports", remove_network, None, network(), POOLED),
    UseCase("cold start", start(), prepare=network()),
    UseCase("cold start that publishes", start(exposed=_WEB), prepare=network()),
    UseCase(
        "start with address and MAC",
        start(ip="10.1.0.77", mac="02:42:ac:11:65:43"),
        prepare=network(),
    ),
    UseCase(
        "start on two families",
        start(ip="10.1.0.77"),
        prepare=network("10.1.0.0/24", "fd00:1::/64"),
    ),
    UseCase(
        "start on a port that is adopted",
        start(ip="10.1.0.50", exposed=_WEB),
        theirs,
        network(**_ON_THEIRS),
    ),
    UseCase("warm start", start(), None, network(), POOLED),
    UseCase("warm start that publishes", start(exposed=_WEB), None, network(), POOLED),
    UseCase("warm start with a MAC", start(mac="02:42:ac:11:65:43"), None, network(), POOLED),
    UseCase(
        "warm start with groups",
        start(options={"kurier.security_groups": "web"}),
        a_group,
        network(),
        POOLED,
    ),
    UseCase(
        "warm start without port security",
        start(options={"kurier.port_security": "false"}),
        None,
        network(),
        POOLED,
    ),
    UseCase(
        "warm start with the address of a ready port",
        start(ip="10.1.0.3"),
        None,
        network(),
        POOLED,
    ),
    UseCase("growth of a pool", after(network(), pause(15.0)), settings=POOLED),
    UseCase(
        "burst", at_once(*(start(f"c{number}") for number in range(6))), None, network(), POOLED
    ),
    UseCase("removal of a container", remove, prepare=_STARTED, again=False),
    UseCase(
        "removal of an adopted port's container",
        remove,
        theirs,
        after(network(**_ON_THEIRS), start(ip="10.1.0.50", exposed=_WEB)),
        again=False,
    ),
    UseCase("recycling", after(stop, pause(25.0)), None, _STARTED, POOLED, again=False),
    UseCase(
        "recycling of what was published",
        after(stop, pause(25.0), start_again),
        None,
        after(network(), start(exposed=_WEB)),
        POOLED,
        again=False,
    ),
    *(
        behind_the_back(
            f"recycling after an operator's {told(change)}",
            after(meddle(change), stop, pause(25.0), start_again),
            a_group,
        )
        for change in MEDDLING
    ),
    *(
        behind_the_back(
            f"a container's port, after an operator made it {told(change)}",
            after(meddle(change), pause(25.0)),
        )
        for change in TAKEN_AWAY
    ),
    *(
        behind_the_back(f"{told(change)} in the switch", after(take_out(change), pause(25.0)))
        for change in TAKEN_OUT
    ),
    UseCase("a network that was forgotten", forget_network, None, _STARTED, POOLED, again=False),
    UseCase("no recycling", stop, None, _STARTED, _NEVER_RECYCLED, again=False),
    UseCase("restart of a container", restart, None, _STARTED, POOLED, again=False),
    UseCase("connection of a second network", connect, prepare=after(_STARTED, red), again=False),
    UseCase("its disconnection", disconnect, prepare=after(_STARTED, red, connect), again=False),
    UseCase("death of the engine", crash, None, _STARTED, POOLED, again=False),
    UseCase("death of an engine that tells nothing", crash_silently, prepare=_STARTED, again=False),
    UseCase("reboot", reboot, None, _STARTED, POOLED, again=False),
    UseCase("restart of the daemon", restart_daemon, None, _STARTED, POOLED, again=False),
    UseCase("draining", drain_and_resume, None, _STARTED, POOLED, again=False),
    UseCase("networks that wait", want_networks, a_pool, again=False),
    UseCase("a node's first task", on_node("one"), None, swarm, POOLED),
    UseCase(
        "first tasks of two nodes", at_once(on_node("one"), on_node("two")), None, swarm, POOLED
    ),
    UseCase(
        "a node joins another's network", on_node("one"), None, after(swarm, on_node("two")), POOLED
    ),
    UseCase(
        "a node leaves as another stays",
        off_node("one"),
        None,
        after(swarm, on_node("one"), on_node("two")),
        POOLED,
    ),
    UseCase(
        "two nodes leave at once",
        at_once(off_node("one"), off_node("two")),
        None,
        after(swarm, on_node("one"), on_node("two")),
        POOLED,
        again=False,
    ),
    UseCase(
        "forgetting a dead host",
        forget,
        None,
        after(swarm, on_node("one"), on_node("two"), second_host_dies),
        POOLED,
        finish=forget,
    ),
)
