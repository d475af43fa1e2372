# SPDX-License-Identifier: Apache-2.0
"""Calls for the same thing wait for each other, and say so when that took too long."""

from __future__ import annotations

import asyncio

from kurier.docker.lanes import Lanes
from kurier.model.errors import Code, KurierError
from tests.host.clock import run


def test_a_call_that_waits_for_its_twin_says_so() -> None:
    async def story() -> None:
        lanes = Lanes(9.0)

        async def stuck() -> None:
            try:
                await asyncio.sleep(60.0)
            finally:
                await asyncio.sleep(5.0)  # a thread that is at work ends when it ends

        first = asyncio.create_task(lanes.run("Leave 1", "endpoint", stuck))
        await asyncio.sleep(1.0)
        second = asyncio.create_task(lanes.run("Leave 2", "endpoint", stuck))
        told = await asyncio.gather(first, second, return_exceptions=True)
        errors = [one for one in told if isinstance(one, KurierError)]
        assert [one.code for one in errors] == [Code.DEADLINE] * 2
        assert "earlier call" not in errors[0].sentence
        assert "while an earlier call for the same thing was still at work" in errors[1].sentence
        await lanes.drain(1.0)

    run(story)
