# SPDX-License-Identifier: Apache-2.0
"""Pools decided: how many ports there should be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.model.stock import (
    Counts,
    Demand,
    Limits,
    lacking,
    surplus,
    target,
)

numbers = st.integers(min_value=0, max_value=200)
counts = st.builds(Counts, numbers, numbers, numbers, numbers)
levels = st.floats(min_value=0, max_value=500, allow_nan=False)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    maximum = draw(st.integers(min_value=0, max_value=200))
    minimum = draw(st.integers(min_value=0, max_value=maximum))
    batch = draw(st.integers(min_value=1, max_value=64))
    return Limits(minimum, maximum, batch, room=draw(numbers))


@given(limits(), counts, levels)
def test_a_pool_never_grows_beyond_its_bounds(bounds: Limits, now: Counts, level: float) -> None:
    more = lacking(bounds, now, level)
    assert 0 <= more <= min(bounds.batch, bounds.room)
    assert more == 0 or now.total + more <= bounds.maximum


@given(limits(), counts, levels)
def test_no_pool_grows_and_shrinks_at_once(bounds: Limits, now: Counts, level: float) -> None:
    assert not (lacking(bounds, now, level) and surplus(bounds, now, level))


@given(limits(), counts, levels)
def test_shrinking_leaves_what_is_asked_for(bounds: Limits, now: Counts, level: float) -> None:
    less = surplus(bounds, now, level)
    over = now.total > bounds.maximum
    assert less <= now.ready
    assert over or now.ready - less >= min(now.ready, target(bounds, level))


@given(limits(), st.integers(min_value=0, max_value=200), levels)
def test_cooling_ports_are_not_free(bounds: Limits, cooling: int, level: float) -> None:
    """A pool whose ports all cool grows as an empty one does, as far as its maximum lets it."""
    empty = lacking(bounds, Counts(), level)
    cool = lacking(bounds, Counts(cooling=cooling), level)
    assert cool == max(0, min(empty, bounds.maximum - cooling))


def test_a_target_of_nothing_is_legal_and_still_grows_with_demand() -> None:
    bounds = Limits(minimum=0, maximum=10, batch=4)
    assert lacking(bounds, Counts(), level=0.0) == 0
    assert lacking(bounds, Counts(), level=3.0) == 3


@given(st.integers(min_value=1, max_value=50), st.floats(min_value=1, max_value=600))
def test_a_burst_counts_at_once_and_fades(takes: int, half_life: float) -> None:
    demand = Demand()
    for _ in range(takes):
        demand = demand.taken(100.0, half_life)
    assert demand.faded(100.0, half_life) == pytest.approx(takes)
    assert demand.faded(100.0 + half_life, half_life) == pytest.approx(takes / 2)


def test_what_is_over_goes_only_when_it_is_quiet() -> None:
    bounds = Limits(minimum=4, maximum=64, batch=8)
    assert surplus(bounds, Counts(ready=6), level=0.0) == 2
    assert surplus(bounds, Counts(ready=8), level=1.0) == 0
    assert surplus(bounds, Counts(ready=30), level=1.0) == 8
