# SPDX-License-Identifier: Apache-2.0
"""Asks whoever is not there yet until he is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from kurier.model.errors import KurierError

LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


async def until_answered(
    told: str, ask: Callable[[], Awaitable[_Answer]], first: float, longest: float
) -> _Answer:
    """Asks again and again, ever more slowly, until there is an answer; pauses in seconds.

    The log says what is `told`, with each new reason.
    """
    pause, last = first, ""
    while True:
        try:
            return await ask()
        except KurierError as error:
            if error.sentence != last:
                LOG.warning("%s: %s", told, error.sentence)
                last = error.sentence
        await asyncio.sleep(pause)
        pause = min(pause * 2, longest)
