# SPDX-License-Identifier: Apache-2.0
"""What a host that leaves does next: every combination of what a network's tags can say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.model import tags
from kurier.model.departure import Step, next_step
from kurier.model.ids import DockerNetworkId

SHARED = tags.Mapping("0123abcd", DockerNetworkId("a1b2c3d4e5f6g7h8i9j0k1l2m"))
SINGLE = tags.Mapping("0123abcd", DockerNetworkId("ab" * 32))
STRANGER = tags.Mapping("ffff0000", DockerNetworkId("cd" * 32))
HERE, THERE = tags.attendance_tag(SHARED, "host1"), tags.attendance_tag(SHARED, "host2")
COMMON = frozenset(tags.network_tags(SHARED, existing=False))
MINE = COMMON | {HERE}
OTHERS = frozenset(tags.network_tags(STRANGER, existing=True))
EVERY = list(itertools.product([False, True], repeat=6))
PAIRS = list(itertools.product([False, True], repeat=2))


def expected(here: bool, there: bool, common: bool, others: bool, made: bool) -> Step:
    """The table of the module's own words, one line each."""
    if here:
        return Step.STEP_BACK
    if there:
        return Step.DONE if common else Step.MEND
    if made and not others:
        return Step.DELETE
    return Step.TAKE_OFF if common else Step.DONE


@pytest.mark.parametrize(("here", "there", "common", "others", "marked", "recorded"), EVERY)
def test_every_combination_has_its_step(
    here: bool, there: bool, common: bool, others: bool, marked: bool, recorded: bool
) -> None:
    found = {"theirs"} | ({HERE} if here else set()) | ({THERE} if there else set())
    found |= (COMMON if common else set()) | (OTHERS if others else set())
    found |= {tags.MADE} if marked else set()
    step = next_step(frozenset(found), MINE, SHARED, made=recorded)
    assert step is expected(here, there, common, others, marked or recorded)


@pytest.mark.parametrize(("others", "made"), PAIRS)
def test_an_engines_own_network_is_left_at_once(others: bool, made: bool) -> None:
    mine = frozenset(tags.network_tags(SINGLE, existing=not made))
    found = mine | (OTHERS if others else set()) | ({tags.MADE} if made else set())
    last = made and not others
    assert next_step(found, mine, SINGLE, made=made) is (Step.DELETE if last else Step.TAKE_OFF)
    assert next_step(found - mine, mine, SINGLE, made=made) is (Step.DELETE if last else Step.DONE)


def test_kuryr_libnetworks_users_keep_a_network_from_being_deleted() -> None:
    found = COMMON | {tags.MADE, *tags.kuryr_network_tags(STRANGER.network)}
    assert next_step(found, MINE, SHARED, made=True) is Step.TAKE_OFF


@given(st.integers(1, 6), st.booleans(), st.booleans(), st.data())
def test_whatever_the_order_nobodys_tags_are_left(
    hosts: int, made: bool, others: bool, data: st.DataObject
) -> None:
    """Each look and each single write of a host may come between any two of another's; a network
    is deleted once and only when nobody uses it.
    """
    kept = {"theirs", *(OTHERS if others else ()), *({tags.MADE} if made else ())}
    attending = [tags.attendance_tag(SHARED, f"host{one}") for one in range(hosts)]
    found, writes = {*kept, *COMMON, *attending}, {one: list[str]() for one in attending}
    while writes:
        who = data.draw(st.sampled_from(sorted(writes)))
        if writes[who]:
            found.discard(writes[who].pop())
            continue
        step = next_step(frozenset(found), COMMON | {who}, SHARED, made=made)
        if step is Step.DELETE:
            assert made
            assert not found.intersection((*attending, *OTHERS))
            return
        if step is Step.DONE:
            del writes[who]
        elif step is Step.MEND:
            found |= COMMON
        else:
            writes[who] = [who] if step is Step.STEP_BACK else sorted(found & (COMMON | {who}))
    assert others or not made
    assert found == kept
