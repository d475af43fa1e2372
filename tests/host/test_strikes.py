# SPDX-License-Identifier: Apache-2.0
"""Every use case, struck at each of its calls and each of its writes, in every way there is."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tests.host.cases import CASES
from tests.host.gate import Fault
from tests.host.life import Blow
from tests.host.strikes import UseCase, play, strikes
from tests.host.struck import Struck

SHOWN = 5


@pytest.mark.strikes
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_struck_is_whole_and_nothing_is_left(
    case: UseCase, strikes: dict[str, list[Future[Struck]]], counted: list[int]
) -> None:
    results = [one.result() for one in strikes[case.name]]
    counted.append(sum(one.strikes for one in results))
    wrong = [text for one in results for text in one.wrong]
    assert not wrong, f"{len(wrong)} strikes did harm, such as\n" + "\n".join(wrong[:SHOWN])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_is_wrong_where_nothing_strikes(case: UseCase) -> None:
    outcome = play(case, 2, {})
    assert (outcome.faults, outcome.refused) == ((), ())


def test_every_kind_of_strike_is_struck() -> None:
    start = next(case for case in CASES if case.name == "growth of a pool")
    kinds = {strike for _, strike in strikes(play(start, 1, {}).moments)}
    assert kinds == {*Blow, *Fault}


def test_a_strike_is_noticed() -> None:
    start = next(case for case in CASES if case.name == "cold start")
    moments = play(start, 1, {}).moments
    number = moments.index("before neutron.create_port")
    assert play(start, 1, {number: Fault.REFUSED}).refused
    assert play(start, 1, {number: Blow.KILL}).struck
