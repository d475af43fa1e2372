# SPDX-License-Identifier: Apache-2.0
"""Looks for what somebody may have deleted, and deletes what somebody may use."""

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


async def unless_used(deletion: Awaitable[None]) -> None:
    """Deletes, or leaves it where Neutron says IN_USE."""
    try:
        await deletion
    except KurierError as error:
        if error.code is not Code.IN_USE:
            raise
