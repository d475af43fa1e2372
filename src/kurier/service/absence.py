# SPDX-License-Identifier: Apache-2.0
"""Looks for what somebody may have deleted."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from kurier.model.errors import Code, KurierError

_Found = TypeVar("_Found")


async def unless_gone(asked: Awaitable[_Found]) -> _Found | None:
    """What Neutron answers, or None where it says NOT_FOUND."""
    try:
        return await asked
    except KurierError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise
