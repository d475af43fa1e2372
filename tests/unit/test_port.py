# SPDX-License-Identifier: Apache-2.0
"""The life of a port: the whole product of stages and events."""

from __future__ import annotations

import pytest

from kurier.model.port import IN_USE, MOVES, POOLED, Event, Stage, WrongMove, move

GRID = """
            made       wired  unplugged  taken      attached  given-back  cooled  released
requested   allocated  -      -          -          -         -           -       releasing
allocated   -          -      -          -          leased    cooling     -       releasing
leased      -          -      -          -          -         cooling     -       releasing
making      bound      -      -          -          -         -           -       releasing
bound       -          ready  bound      allocated  -         -           -       releasing
ready       -          -      bound      allocated  -         -           -       releasing
cooling     -          -      bound      allocated  -         -           ready   releasing
releasing   -          -      -          -          -         -           -       releasing
"""


def cells() -> list[tuple[Stage, Event, str]]:
    head, *rows = [line.split() for line in GRID.strip().splitlines()]
    return [
        (Stage(stage), Event(event), after)
        for stage, *afters in rows
        for event, after in zip(head, afters, strict=True)
    ]


@pytest.mark.parametrize(("stage", "event", "after"), cells())
def test_each_stage_takes_each_event_as_the_grid_says(
    stage: Stage, event: Event, after: str
) -> None:
    if after == "-":
        with pytest.raises(WrongMove, match=f"{event.value} is no move from {stage.value}"):
            move(stage, event)
    else:
        assert move(stage, event) is Stage(after)


def test_the_grid_is_the_whole_product() -> None:
    product = {(stage, event) for stage in Stage for event in Event}
    assert {(stage, event) for stage, event, _ in cells()} == product
    assert set(MOVES) <= product


def test_a_port_is_in_use_or_its_pools_or_given_up() -> None:
    assert IN_USE | POOLED | {Stage.RELEASING} == set(Stage)
    assert not IN_USE & POOLED


def test_nothing_leads_back_from_a_port_that_was_given_up() -> None:
    leaving = {after for (stage, _), after in MOVES.items() if stage is Stage.RELEASING}
    assert leaving == {Stage.RELEASING}
