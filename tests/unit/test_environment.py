# SPDX-License-Identifier: Apache-2.0
"""Which control plane a host belongs to, through Swarms joined and left and daemons restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kurier.ledger import SqliteLedger
from kurier.model.errors import Code, KurierError
from kurier.model.tags import environment_mark
from kurier.service.environment import Environment


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    opened = SqliteLedger(tmp_path)
    yield opened
    opened.close()


async def test_what_the_engine_tells_is_remembered(ledger: SqliteLedger) -> None:
    Environment(ledger).learn("engine-1")
    again = Environment(ledger)
    assert again.id == "engine-1"
    assert await again.require() == "engine-1"
    assert await again.mark() == environment_mark(await again.require())


async def test_every_environment_is_known_the_present_one_first(ledger: SqliteLedger) -> None:
    environment = Environment(ledger)
    for told in ("engine-1", "swarm-1", "engine-1", "swarm-2"):
        environment.learn(told)
    assert await environment.all() == ("swarm-2", "engine-1", "swarm-1")
    assert await Environment(ledger).all() == ("swarm-2", "engine-1", "swarm-1")
    assert await environment.marks() == tuple(map(environment_mark, await environment.all()))


async def test_a_change_is_told_once(ledger: SqliteLedger) -> None:
    environment = Environment(ledger)
    environment.learn("engine-1")
    environment.changed.clear()
    environment.learn("engine-1")
    assert not environment.changed.is_set()
    environment.learn("swarm-1")
    assert environment.changed.is_set()


async def test_a_configured_name_goes_before_the_engines_word(ledger: SqliteLedger) -> None:
    Environment(ledger).learn("engine-1")
    environment = Environment(ledger, "site-a")
    environment.learn("engine-1")
    assert environment.id == "site-a"
    assert await environment.all() == ("site-a", "engine-1")


async def test_a_ledger_of_before_the_list_knows_its_one(ledger: SqliteLedger) -> None:
    ledger.set_meta("environment", "engine-1")
    environment = Environment(ledger)
    assert await environment.all() == ("engine-1",)
    environment.learn("swarm-1")
    assert await environment.all() == ("swarm-1", "engine-1")


async def test_who_asks_too_early_waits_a_moment_and_is_told_why(ledger: SqliteLedger) -> None:
    environment = Environment(ledger, patience=0.0)
    assert environment.id is None
    with pytest.raises(KurierError, match="has not told its id yet") as refused:
        await environment.require()
    assert refused.value.code is Code.INTERNAL


async def test_who_waits_is_answered_when_the_engine_tells(ledger: SqliteLedger) -> None:
    environment = Environment(ledger)
    asking = asyncio.create_task(environment.require())
    await asyncio.sleep(0)
    environment.learn("engine-1")
    assert await asking == "engine-1"
