# SPDX-License-Identifier: Apache-2.0
"""The engine in memory asks its driver what Docker asks: in the same order, in the same words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agreement.engine import Engine, EngineAgrees
from tests.host.clock import run
from tests.host.engine import Wish
from tests.host.world import World

CAPTURES = Path(__file__).parents[1] / "wire/captures"
_FREE = {"Options", "AuxAddresses"}
"""What users fill as they like."""


class InMemory:
    """Each act of a user's is played to its end on the leaping clock."""

    def __init__(self, folder: Path) -> None:
        self.world = World(2, folder)
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self._shown = 0
        self._ranges = iter(f"10.{number}.0.0/24" for number in range(1, 99))

    async def begin(self) -> None:
        self.host = self.world.host("one")
        call = self.host.engine._call

        async def heard(name: str, body: bytes) -> bytes:
            self.bodies.append((name, json.loads(body)))
            return await call(name, body)

        self.host.engine._call = heard
        await asyncio.sleep(5.0)

    async def create_network(self, name: str) -> None:
        await self.host.engine.create_network(name, next(self._ranges))

    async def remove_network(self, name: str) -> None:
        await self.host.engine.remove_network(name)

    async def run(self, name: str, network: str) -> None:
        await self.host.engine.run(name, Wish(network))

    async def connect(self, name: str, network: str) -> None:
        await self.host.engine.connect(name, Wish(network))

    async def disconnect(self, name: str, network: str) -> None:
        await self.host.engine.disconnect(name, network)

    async def restart(self, name: str) -> None:
        await self.host.engine.restart(name)

    async def remove(self, name: str) -> None:
        await self.host.engine.remove(name)

    def asked(self) -> list[str]:
        since, self._shown = self.bodies[self._shown :], len(self.bodies)
        return [name for name, _ in since]


@pytest.mark.parametrize(
    "story",
    [EngineAgrees().test_the_life_of_a_container, EngineAgrees().test_a_second_network],
    ids=lambda story: story.__name__,
)
def test_the_same_calls(story: Callable[[Engine], Awaitable[None]], tmp_path: Path) -> None:
    async def played() -> None:
        engine = InMemory(tmp_path)
        await engine.begin()
        await story(engine)
        await engine.world.end()

    run(played)


def test_the_same_bodies(tmp_path: Path) -> None:
    """Nothing that no engine says, and all that every body of a call has."""

    async def played() -> list[tuple[str, dict[str, Any]]]:
        engine = InMemory(tmp_path)
        await engine.begin()
        user = engine.host.engine
        await user.create_network("one", "10.1.0.0/24", "fd00:1::/64", gateway="10.1.0.9")
        wish = Wish("one", ip="10.1.0.7", mac="02:42:00:00:00:07", exposed=(("tcp", 80),))
        await user.run("c1", wish)
        await user.remove("c1")
        await user.remove_network("one")
        await engine.world.end()
        return engine.bodies

    bodies = run(played)
    assert len({name for name, _ in bodies}) >= 11
    for name, body in bodies:
        known: list[set[str]] = [set(paths(one)) for one in captured(name)]
        said = set(paths(body))
        every, common = known[0].union(*known), known[0].intersection(*known)
        assert said <= every, (name, said - every)
        assert said >= common, (name, common - said)


def captured(name: str) -> list[dict[str, Any]]:
    """Every body of this call that a real engine sent."""
    files = sorted(CAPTURES.glob(f"*/{name.partition('.')[2]}-*.json"))
    assert files, f"no engine was recorded making {name}"
    return [json.loads(file.read_text())["body"] for file in files]


def paths(value: Any, at: str = "") -> Iterator[str]:
    """The keys of a body, and of what is in it."""
    if isinstance(value, dict) and at.rpartition(".")[2] not in _FREE:
        for key, one in value.items():
            yield f"{at}.{key}"
            yield from paths(one, f"{at}.{key}")
    elif isinstance(value, list):
        for one in value:
            yield from paths(one, at)
