# SPDX-License-Identifier: Apache-2.0
"""Random walks over everything that engines, operators and mishaps may do on three hosts."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.host.walks import walked

WALKS = int(os.environ.get("KURIER_TEST_WALKS", "60"))
FIRST = int(os.environ.get("KURIER_TEST_SEED", "1"))


@pytest.mark.parametrize("seed", range(1001, 1006))
def test_a_short_walk(seed: int) -> None:
    wrong, told = walked(seed)
    assert not wrong, "\n".join([*wrong, "after:", *told])


@pytest.mark.timeout(7200)
def test_all_is_whole_at_the_end_of_a_walk(workers: ProcessPoolExecutor) -> None:
    seeds = range(FIRST, FIRST + WALKS)
    for seed, (wrong, told) in zip(seeds, workers.map(walked, seeds), strict=True):
        assert not wrong, f"seed {seed}:\n" + "\n".join([*wrong, "after:", *told])
