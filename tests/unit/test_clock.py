# SPDX-License-Identifier: Apache-2.0
"""A clock that nobody sets while the daemon lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kurier.clock import SteadyClock

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("step", [timedelta(days=-1), timedelta(), timedelta(hours=5)])
def test_a_step_of_the_machines_clock_changes_nothing(step: timedelta) -> None:
    wall, steady = [NOON], [100.0]
    clock = SteadyClock(lambda: wall[0], lambda: steady[0])
    assert clock.now() == NOON
    wall[0] += step
    steady[0] += 30.0
    assert clock.now() == NOON + timedelta(seconds=30)


def test_the_real_one_goes_on() -> None:
    clock = SteadyClock()
    first, before = clock.now(), clock.monotonic()
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=1)
    assert clock.now() >= first
    assert clock.monotonic() >= before
