# SPDX-License-Identifier: Apache-2.0
"""Reports and findings that came before the strikes, each by itself: what was wrong, and is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kurier.model.ids import DockerNetworkId
from kurier.service.swarm_networks import RangeAsk, SwarmAsk
from tests.host import whole
from tests.host.cases import CASES
from tests.host.clock import run
from tests.host.engine import Wish
from tests.host.engine_api import SwarmInMemory
from tests.host.gate import Fault, Pace
from tests.host.life import Blow, Strike
from tests.host.strikes import FOLDERS, play, told_by
from tests.host.world import POOLED, Host, World


def struck(name: str, moment: str, strike: Strike, seed: int = 1, nth: int = 0) -> tuple[str, ...]:
    """What is wrong after one strike at a use case; there must be such a moment."""
    case = next(one for one in CASES if one.name == name)
    moments = play(case, seed, {}).moments
    numbers = [number for number, told in enumerate(moments) if told == moment]
    outcome = play(case, seed, {numbers[nth]: strike})
    assert outcome.struck
    return outcome.faults


@pytest.mark.parametrize("case", ["without port security", "with groups", "with a MAC"])
@pytest.mark.parametrize("strike", [Fault.LOST, Blow.KILL, Blow.GIVE_UP])
def test_a_port_whose_change_was_not_answered_is_not_used_again(case: str, strike: Strike) -> None:
    assert struck(f"warm start {case}", "after neutron.update_port", strike) == ()


@pytest.mark.parametrize("strike", [Fault.LATE, Fault.SLOW, Blow.KILL_SENT, Fault.HALF])
def test_ports_that_are_made_after_all_are_found(strike: Strike) -> None:
    assert struck("growth of a pool", "before neutron.create_ports", strike) == ()


def test_one_list_that_lacks_a_port_does_not_forget_it(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(1, tmp_path)
        host = world.host("one", POOLED)
        await asyncio.sleep(5.0)
        # The list that looks for what a lost answer may have made lacks it, however often.
        host.fates.strike({"after neutron.create_ports": Fault.LOST})
        await host.engine.create_network("blue", "10.1.0.0/24")
        await asyncio.sleep(8.0)
        host.fates.strike({"after neutron.ports": Fault.LACKING})
        await asyncio.sleep(60.0)
        host.fates.armed = False
        await world.rest()
        assert whole.faults(world) == []
        await world.end()

    run(story)


@pytest.mark.parametrize(
    "moment",
    ["before switch.make_pairs", "after switch.make_pairs", "after switch.add_rows"],
)
def test_a_start_that_is_asked_again_after_a_kill_is_plugged(moment: str) -> None:
    # With an odd seed the engine sends the call again as it was.
    assert struck("cold start", moment, Blow.KILL, seed=1) == ()


@pytest.mark.parametrize("theirs", [False, True], ids=["made", "an operator's"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), after=st.floats(0.0, 2.0))
@example(seed=164, after=0.0)
@example(seed=129, after=0.0)
def test_two_managers_make_one_network_of_a_name(theirs: bool, seed: int, after: float) -> None:
    async def story() -> None:
        world, managers = await two_managers(seed, folder)
        if theirs:
            world.neutron.make_network("prod", "10.5.0.0/24")
        before = whole.seen(world)
        told = await asyncio.gather(
            make(managers[0], 0.0, theirs=theirs), make(managers[1], after, theirs=theirs)
        )
        await asyncio.sleep(60.0)
        assert sorted(map(bool, told)) == [False, True], told
        (network,) = world.neutron.networks.values()
        nodes = [config for one in managers for _, config in one.engine.configs.values()]
        assert [one.options["neutron.net.uuid"] for one in nodes] == [network.id] * 2

        await command(managers[0], lambda host: host.running.driver.swarm_networks.remove("web"))
        await world.rest()
        assert whole.leftovers(world, before) == []
        await world.end()

    with TemporaryDirectory(dir=FOLDERS) as name:
        folder = Path(name)
        run(story)


async def two_managers(seed: int, folder: Path) -> tuple[World, list[Host]]:
    world = World(seed, folder)
    swarm = SwarmInMemory("swarm-1")
    hosts = [world.host("one"), world.host("two")]
    for host in hosts:
        swarm.join(host.engine, manager=True)
    await asyncio.sleep(30.0)
    return world, hosts


async def make(manager: Host, after: float, *, theirs: bool) -> str:
    """`kurier swarm network create`: what its user is told if it fails."""
    await asyncio.sleep(after)
    ranges = (RangeAsk(ip_network("10.5.0.0/24")),)
    ask = SwarmAsk("web", ranges, {"neutron.net.name": "prod"} if theirs else {}, {})
    return await command(manager, lambda host: host.running.driver.swarm_networks.create(ask))


async def command(host: Host, work: Callable[[Host], Awaitable[object]]) -> str:
    """What a command of an operator's says if it fails."""
    answer: str = await host.running.life.begin(told_by(lambda: work(host)))
    return answer


def test_a_network_made_again_while_its_removal_goes_on_gives_addresses(tmp_path: Path) -> None:
    """As on a Swarm's node whose last task is replaced; Neutron is slow, and passes are many."""

    async def story() -> None:
        world = World(1, tmp_path, Pace(usual=0.2))
        settings = replace(POOLED, reconcile_interval=1.0, reconcile_grace=1.0)
        host = world.host("one", settings)
        identity = "l68h78guh79maakfce1o7n8kk"
        await asyncio.sleep(5.0)
        await host.engine.create_network("web", "10.1.0.0/24", identity=identity)
        await asyncio.sleep(30.0)
        await host.engine.remove_network("web")
        assert host.running.ledger.network(DockerNetworkId(identity)) is not None
        await host.engine.create_network("web", "10.1.0.0/24", identity=identity)
        await host.engine.run("c1", Wish("web"))
        await world.rest()
        assert whole.faults(world) == []
        await world.end()

    run(story)


def test_a_network_that_the_engine_holds_for_failed_is_made_again_with_its_new_range(
    tmp_path: Path,
) -> None:
    """The daemon had made it when it was stopped, and the engine was told that it was stopped; or
    the call that removes it was lost.
    """

    async def story() -> None:
        world = World(1, tmp_path)
        host = world.host("one", POOLED)
        identity = "l68h78guh79maakfce1o7n8kk"
        await asyncio.sleep(5.0)
        await host.engine.create_network("web", "10.1.0.0/24", identity=identity)
        await asyncio.sleep(30.0)
        host.engine.forget_network("web")
        await host.engine.create_network("web", "10.1.0.0/24", identity=identity)
        await host.engine.run("c1", Wish("web"))
        await world.rest()
        assert whole.faults(world) == []
        await world.end()

    run(story)


def test_an_operator_has_a_forgotten_network_taken_away_and_no_other(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(1, tmp_path)
        host = world.host("one", POOLED)
        await asyncio.sleep(5.0)
        before = whole.seen(world)
        for name, cidr in (("blue", "10.1.0.0/24"), ("red", "10.2.0.0/24")):
            await host.engine.create_network(name, cidr)
        await host.engine.run("a", Wish("red"))
        await asyncio.sleep(30.0)

        async def forget(name: str) -> str:
            return await command(host, lambda one: one.running.driver.forgotten.forget(name))

        assert "docker network rm blue" in await forget("blue")
        assert "see `kurier network list`" in await forget("green")
        host.engine.forget_network("blue")
        host.engine.networks.pop(host.engine.named("red").id)
        assert "is used by container a" in await forget("red")
        await asyncio.sleep(25.0)
        told = {one.whom: one.says for one in host.running.driver.reconciler.troubles()}
        assert "it is taken away in" in told["network blue"]
        assert "container a still have ports" in told["network red"]
        assert await forget("blue") == ""
        await host.engine.remove("a")
        await world.rest()
        assert whole.leftovers(world, before) == []
        await world.end()

    run(story)


def test_another_engine_proves_nothing_of_networks(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(1, tmp_path)
        host = world.host("one", POOLED)
        await asyncio.sleep(5.0)
        await host.engine.create_network("blue", "10.1.0.0/24")
        await asyncio.sleep(30.0)
        ours, host.engine.id = host.engine.id, "another engine"
        blue = host.engine.named("blue")
        host.engine.forget_network("blue")
        await asyncio.sleep(300.0)
        (trouble,) = host.running.driver.reconciler.troubles()
        assert "kurier network forget blue" in trouble.says
        host.engine.id, host.engine.networks[blue.id] = ours, blue
        await world.rest()
        assert whole.faults(world) == []
        await world.end()

    run(story)
