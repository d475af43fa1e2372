# SPDX-License-Identifier: Apache-2.0
"""A whole use case struck at each of its moments, as a piece of work for another process."""

from __future__ import annotations

from dataclasses import dataclass

from tests.host.cases import CASES
from tests.host.life import Plan
from tests.host.strikes import play, strikes


@dataclass(frozen=True)
class Struck:
    """What came of it; `wrong` has a paragraph for each strike that did harm."""

    strikes: int
    wrong: tuple[str, ...]


def strike_all(name: str, seed: int) -> Struck:
    """Strikes the use case of this name in every way."""
    case = next(one for one in CASES if one.name == name)
    undisturbed = play(case, seed, {})
    if undisturbed.faults or undisturbed.refused:
        return Struck(0, (f"undisturbed: {undisturbed}",))
    plans: list[Plan] = [{number: strike} for number, strike in strikes(undisturbed.moments)]
    wrong = []
    for plan in plans:
        outcome = play(case, seed, plan)
        if outcome.faults:
            told = "\n  ".join(outcome.faults)
            wrong.append(f"{outcome.struck} (seed {seed}):\n  {told}\n  told: {outcome.refused}")
    return Struck(len(plans), tuple(wrong))
