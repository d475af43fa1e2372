# SPDX-License-Identifier: Apache-2.0
"""The life of a lease: the whole product of states and events."""

from __future__ import annotations

import pytest

from kurier.model.records import MOVES, LeaseEvent, LeaseState, WrongMove, move

GRID = """
              port-made   attached   detached   released
requested     allocated   -          -          releasing
allocated     -           leased     -          releasing
leased        -           -          allocated  releasing
releasing     -           -          -          releasing
"""


def cells() -> list[tuple[LeaseState, LeaseEvent, str]]:
    head, *rows = [line.split() for line in GRID.strip().splitlines()]
    return [
        (LeaseState(state), LeaseEvent(event), after)
        for state, *afters in rows
        for event, after in zip(head, afters, strict=True)
    ]


@pytest.mark.parametrize(("state", "event", "after"), cells())
def test_each_state_takes_each_event_as_the_grid_says(
    state: LeaseState, event: LeaseEvent, after: str
) -> None:
    if after == "-":
        with pytest.raises(WrongMove, match=f"{event.value} is no move from {state.value}"):
            move(state, event)
    else:
        assert move(state, event) is LeaseState(after)


def test_the_grid_is_the_whole_product() -> None:
    product = {(state, event) for state in LeaseState for event in LeaseEvent}
    assert {(state, event) for state, event, _ in cells()} == product
    assert set(MOVES) <= product


def test_a_release_is_taken_in_every_state_and_nothing_leads_back() -> None:
    assert {move(state, LeaseEvent.RELEASED) for state in LeaseState} == {LeaseState.RELEASING}
    leaving = {after for (state, _), after in MOVES.items() if state is LeaseState.RELEASING}
    assert leaving == {LeaseState.RELEASING}
