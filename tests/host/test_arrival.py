# SPDX-License-Identifier: Apache-2.0
"""A ledger that is another host's, or older than the world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from kurier.ledger import Opened
from kurier.model.port import Stage
from tests.host import whole
from tests.host.clock import run
from tests.host.engine import Wish
from tests.host.strikes import Scene, clear
from tests.host.world import POOLED, Host, World, restored, saved


def told(folder: Path, story: Callable[[World, Host], Awaitable[None]]) -> None:
    """Plays a story on a host with a container and ready ports; all is whole in the end."""

    async def play() -> None:
        world = World(1, folder)
        host = world.host("one", POOLED)
        await asyncio.sleep(5.0)
        before = whole.seen(world)
        await host.engine.create_network("blue", "10.1.0.0/24")
        await asyncio.sleep(20.0)
        await host.engine.run("a", Wish("blue", exposed=(("tcp", 80),)))
        await asyncio.sleep(30.0)
        await story(world, host)
        await world.rest()
        assert whole.faults(world) == []
        for one in world.hosts.values():
            await clear(Scene(world, one))
        await world.rest()
        assert whole.leftovers(world, before) == []
        await world.end()

    run(play)


def opened(host: Host) -> tuple[str, str]:
    """How a host's ledger was found, and what people are told of it."""
    kept = host.running.kept.kept
    return kept.opened.value, kept.note


def ports(world: World) -> set[str]:
    return {line for line in whole.seen_in_neutron(world) if line.startswith("port ")}


def test_a_cloned_host_touches_nothing_of_the_first(tmp_path: Path) -> None:
    """State folder and engine id are the same; the first one runs on."""

    async def story(world: World, host: Host) -> None:
        await host.stop()
        saved(host.folder, world.folder / "two")
        host.start()
        await world.rest()
        before = ports(world)
        clone = world.host("two", POOLED, engine_id=host.engine.id)
        await asyncio.sleep(300.0)
        assert ports(world) == before
        assert clone.switch.rows == {}
        how, note = opened(clone)
        assert how == Opened.SET_ASIDE
        assert "it is host one's, and this is two" in note

    told(tmp_path, story)


def test_a_clone_with_the_same_name_is_known_by_its_machine(tmp_path: Path) -> None:
    async def story(world: World, host: Host) -> None:
        await host.stop()
        host.settings = replace(host.settings, machine=("another", ""))
        host.start()
        await asyncio.sleep(60.0)
        how, note = opened(host)
        assert how == Opened.SET_ASIDE
        assert "on another machine" in note

    told(tmp_path, story)


def test_a_machine_id_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    async def story(world: World, host: Host) -> None:
        for machine in (("", ""), ("", "product"), ("machine", "product")):
            await host.stop()
            host.settings = replace(host.settings, machine=machine)
            host.start()
            await asyncio.sleep(60.0)
            assert opened(host) == (Opened.EXISTING, "")

    told(tmp_path, story)


async def more_containers(host: Host) -> None:
    for name in ("b", "c", "d"):
        await host.engine.run(name, Wish("blue"))
    await asyncio.sleep(30.0)


async def have_ledger_of_cooling(host: Host, old: Path) -> None:
    """Puts a ledger back in which a port cools that a container has now; the daemon is stopped."""
    await host.engine.remove("a")
    await host.stop()
    saved(host.folder, old)
    host.start()
    await asyncio.sleep(60.0)
    await more_containers(host)
    await host.stop()
    restored(old, host.folder)


def test_an_old_ledger_deletes_no_port_of_a_container(tmp_path: Path) -> None:
    """It says that ports wait which containers have since; nothing of them is touched."""

    async def story(world: World, host: Host) -> None:
        await host.stop()
        saved(host.folder, tmp_path / "old")
        host.start()
        await more_containers(host)
        await host.stop()
        restored(tmp_path / "old", host.folder)
        host.start()
        await asyncio.sleep(60.0)
        how, note = opened(host)
        assert how == Opened.SET_ASIDE
        assert "a container has port" in note
        leased = [port for port in host.running.ledger.ports() if port.stage is Stage.LEASED]
        assert sorted(port.container for port in leased) == ["a", "b", "c", "d"]

    told(tmp_path, story)


def test_an_old_ledger_is_known_although_its_ports_cool(tmp_path: Path) -> None:
    """The copy was made while a port cooled that a container has now."""

    async def story(world: World, host: Host) -> None:
        await have_ledger_of_cooling(host, tmp_path / "old")
        host.start()

    told(tmp_path, story)


def test_nothing_is_taken_away_before_the_engine_was_looked_at(tmp_path: Path) -> None:
    """Nobody's end is in a sandbox that the switch could show: the copy was made as it cooled."""

    async def story(world: World, host: Host) -> None:
        await have_ledger_of_cooling(host, tmp_path / "old")
        before = ports(world)
        host.engine.answers = False
        host.start()
        await asyncio.sleep(300.0)
        assert ports(world) == before
        host.engine.answers = True

    told(tmp_path, story)


def test_a_network_whose_ledger_was_lost_leaves_nothing_when_it_is_removed_at_once(
    tmp_path: Path,
) -> None:
    """No pass has found again what the ledger knew: ready ports, and a container's."""

    async def story(world: World, host: Host) -> None:
        await host.stop()
        for path in host.folder.glob("ledger.db*"):
            path.unlink()
        host.start()
        await host.engine.remove("a")
        await host.engine.remove_network("blue")
        await world.rest()
        assert host.running.driver.networks.left_standing() == {}

    told(tmp_path, story)
