# SPDX-License-Identifier: Apache-2.0
"""What users are told where it cannot be done as they asked, and what they get where it can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kurier.model.ids import QosPolicyId
from kurier.model.neutron import PortSpec, Rule
from tests.host import whole
from tests.host.clock import run
from tests.host.engine import PluginError, Wish
from tests.host.strikes import Scene, clear
from tests.host.world import POOLED, SETTINGS, Host, World

Story = Callable[[World, Host], Awaitable[None]]


def told(story: Story, folder: Path, settings: Any = SETTINGS) -> str:
    """What the user of a story is told, or nothing; all is whole, and all can be taken away."""

    async def play() -> str:
        world = World(1, folder)
        host = world.host("one", settings)
        operators(world)
        await asyncio.sleep(5.0)
        before = whole.seen(world)
        sentence = ""
        try:
            await story(world, host)
        except PluginError as error:
            sentence = str(error)
        await world.rest()
        assert whole.faults(world) == []
        await clear(Scene(world, host))
        await world.rest()
        assert whole.leftovers(world, before) == []
        await world.end()
        return sentence

    return run(play)


def operators(world: World) -> None:
    """What operators had made beforehand."""
    neutron = world.neutron
    prod = neutron.make_network("prod", "10.1.0.0/24", "fd00:1::/64")
    neutron.make_network("twice", "10.3.0.0/24")
    neutron.make_network("twice", "10.4.0.0/24")
    neutron.make_group("web", "", (Rule("tcp", 80, 80),))
    neutron.make_subnet_pool("offices", "10.8.0.0/16", 26)
    neutron.policies[QosPolicyId("11111111-2222-3333-4444-555555555555")] = "slow"
    subnet = next(one for one in neutron.net.subnets_of(prod.id) if one.cidr.version == 4)
    for name, address, device in (("vm", "10.1.0.20", "server"), ("vip", "10.1.0.50", "")):
        requests = neutron.requests(subnet, address)
        neutron.port.create(PortSpec(prod.id, name, device, "", "", requests))


def create(*ranges: str, **more: Any) -> Story:
    async def story(world: World, host: Host) -> None:
        await host.engine.create_network("blue", *ranges, **more)

    return story


ON_PROD = create("10.1.0.0/24", options={"neutron.net.name": "prod"})


def start(network: Story = ON_PROD, **wish: Any) -> Story:
    async def story(world: World, host: Host) -> None:
        await network(world, host)
        await asyncio.sleep(20.0)
        await host.engine.run("a", Wish("blue", **wish))

    return story


def twice(story: Story, **wish: Any) -> Story:
    async def both(world: World, host: Host) -> None:
        await story(world, host)
        await asyncio.sleep(10.0)
        await host.engine.run("b", Wish("blue", **wish))

    return both


@pytest.mark.parametrize(
    ("story", "sentence"),
    [
        (
            create("10.9.0.0/24", options={"neutron.net.name": "nobodys"}),
            "no network named nobodys",
        ),
        (create("10.3.0.0/24", options={"neutron.net.name": "twice"}), "2 networks"),
        (create("10.9.0.0/24", options={"neutron.net.nmae": "x"}), "neutron.net.name"),
        (create("10.9.0.0/24", options={"neutron.net.uuid": "x"}), "not a UUID"),
        (create("10.9.0.0/24", options={"kurier.security_groups": "nobodys"}), "nobodys"),
        (create("10.9.0.0/24", options={"kurier.qos_policy": "nobodys"}), "nobodys"),
        (create("10.9.0.0/24", options={"neutron.subnet.name": "nobodys"}), "nobodys"),
        (create(""), "--subnet"),
        (create("", ipam_options={"neutron.pool.name": "nobodys"}), "nobodys"),
        (create("10.1.0.0/28", options={"neutron.net.name": "prod"}), "10.1.0.0/24"),
        (start(ip="10.1.0.1"), "gateway"),
        (start(ip="10.1.0.20"), "already in use by Neutron port"),
        (start(ip="10.1.0.50", mac="02:42:ac:11:00:01"), "has MAC address"),
        (start(ip="10.2.0.5"), "10.1.0.0/24"),
        (start(options={"kurier.security_groups": "nobodys"}), "nobodys"),
        (twice(start(ip="10.1.0.77"), ip="10.1.0.77"), "already in use by container a"),
    ],
)
def test_what_cannot_be_had_is_told_in_a_sentence(
    story: Story, sentence: str, tmp_path: Path
) -> None:
    assert sentence in told(story, tmp_path)


@pytest.mark.parametrize(
    "story",
    [
        create("10.1.0.0/24", options={"neutron.subnet.name": "prod-4"}),
        create("", ipam_options={"neutron.subnet.name": "prod-4"}),
        create("10.1.0.0/24", "fd00:1::/64", options={"neutron.net.name": "prod"}),
        create("", ipam_options={"neutron.pool.name": "offices"}),
        create("10.9.0.0/24", internal=True),
        create("10.9.0.0/24", gateway="10.9.0.254", ip_range="10.9.0.128/25"),
        create("10.9.0.0/24", options={"kurier.qos_policy": "slow", "kurier.pool.min": "1"}),
        create("10.9.0.0/24", options={"kurier.security_groups": "web,default"}),
        create("10.9.0.0/24", options={"kurier.port_security": "false"}),
    ],
)
@pytest.mark.parametrize("settings", [SETTINGS, POOLED], ids=["cold", "ready"])
def test_what_can_be_had_is_had(story: Story, settings: Any, tmp_path: Path) -> None:
    assert told(start(story), tmp_path, settings) == ""


@pytest.mark.parametrize("settings", [SETTINGS, POOLED], ids=["cold", "ready"])
@pytest.mark.parametrize(
    "wish",
    [
        {"ip": "10.1.0.77"},
        {"ip": "10.1.0.50"},
        {"ip": "10.1.0.50", "exposed": (("tcp", 80),)},
        {"options": {"kurier.qos_policy": "slow"}},
        {"options": {"kurier.security_groups": "web"}},
        {"options": {"kurier.port_security": "false"}},
    ],
)
def test_a_container_gets_what_it_asks_for(
    wish: dict[str, Any], settings: Any, tmp_path: Path
) -> None:
    assert told(start(**wish), tmp_path, settings) == ""


def test_both_addresses_of_one_port(tmp_path: Path) -> None:
    both = create("10.1.0.0/24", "fd00:1::/64", options={"neutron.net.name": "prod"})
    for wish in (
        {"ip": "10.1.0.77"},
        {"ip6": "fd00:1::77"},
        {"ip": "10.1.0.78", "ip6": "fd00:1::7"},
    ):
        for settings in (SETTINGS, POOLED):
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            assert told(start(both, **wish), folder, settings) == ""


def test_a_full_subnet_says_so_and_starts_again_when_one_has_gone(tmp_path: Path) -> None:
    async def story(world: World, host: Host) -> None:
        await host.engine.create_network("blue", "10.9.0.0/29")
        names = [f"c{number}" for number in range(5)]
        for name in names:
            await host.engine.run(name, Wish("blue"))
        with pytest.raises(PluginError, match="address"):
            await host.engine.run("more", Wish("blue"))
        await host.engine.remove("more")
        await host.engine.remove(names[0])
        await asyncio.sleep(60.0)
        await host.engine.run("more", Wish("blue"))

    assert told(story, tmp_path, SETTINGS) == ""
    assert told(story, tmp_path / "ready", POOLED) == ""


def test_the_port_quota_says_so(tmp_path: Path) -> None:
    async def story(world: World, host: Host) -> None:
        await host.engine.create_network("blue", "10.9.0.0/24")
        world.neutron.port.store.quota = len(world.neutron.ports)
        try:
            await host.engine.run("a", Wish("blue"))
        finally:
            world.neutron.port.store.quota = -1
            await host.engine.remove("a")

    assert "quota" in told(story, tmp_path)


@pytest.mark.parametrize("settings", [SETTINGS, POOLED], ids=["cold", "ready"])
def test_a_lost_ledger_is_read_back_from_neutron(settings: Any, tmp_path: Path) -> None:
    async def story(world: World, host: Host) -> None:
        await host.engine.create_network("blue", "10.9.0.0/24", options={"kurier.pool.min": "1"})
        await host.engine.run("a", Wish("blue", exposed=(("tcp", 80),)))
        await asyncio.sleep(30.0)
        await host.stop()
        for file in host.folder.iterdir():
            file.unlink()
        host.start()
        await asyncio.sleep(1.0)
        await host.engine.run("b", Wish("blue"))
        with pytest.raises(PluginError, match="in use"):
            await host.engine.run("c", Wish("blue", ip=str(host.engine.living()[0].addresses[0])))
        await host.engine.remove("c")

    assert told(story, tmp_path, settings) == ""


def test_what_operators_ask_is_answered(tmp_path: Path) -> None:
    async def story(world: World, host: Host) -> None:
        await start(options={"kurier.security_groups": "web"})(world, host)
        driver = host.running.driver

        async def ask() -> None:
            (row,) = await driver.census.everywhere()
            assert "prod" in str(row)
            assert len(await driver.hosts.views()) == 1
            assert sum((await driver.draining.everywhere()).values()) > 0
            assert driver.keeper.views()[0].counts.ready > 0
            names, number = await driver.draining.free("prod-4")
            assert (len(names), number > 0) == (1, True)

        await host.running.life.begin(ask())

    assert told(story, tmp_path, POOLED) == ""
