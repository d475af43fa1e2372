# SPDX-License-Identifier: Apache-2.0
"""Waiting for what becomes true by itself, within a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")
_PAUSE = 0.1


def wait_until(condition: Callable[[], _Value], why: str, seconds: float = 30.0) -> _Value:
    """The first truthy answer of `condition`; an AssertionError that says `why` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(f"waited {seconds:g} s in vain: {why} (last answer {answer!r})")
        time.sleep(_PAUSE)
