# SPDX-License-Identifier: Apache-2.0
"""The tests of a host in memory.

KURIER_TEST_SEEDS says with how many seeds each use case is struck (default 1; `./run tests --long`
takes ten), KURIER_TEST_WALKS how many walks are taken (default 60).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import pytest

from tests.host.cases import CASES
from tests.host.strikes import UseCase
from tests.host.struck import Struck, strike_all

SEEDS = int(os.environ.get("KURIER_TEST_SEEDS", "1"))
_STRIKES = pytest.StashKey[list[int]]()


@pytest.fixture(scope="session")
def workers() -> Iterator[ProcessPoolExecutor]:
    """A process for each core; a world is one thread's work."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), context, _untraced) as pool:
        yield pool


def _untraced() -> None:
    """Coverage is told by what runs in the tests' own process; it would make strikes slow."""
    sys.settrace(None)
    threading.settrace(None)


@pytest.fixture(scope="session")
def strikes(
    request: pytest.FixtureRequest, workers: ProcessPoolExecutor
) -> dict[str, list[Future[Struck]]]:
    """Every use case that was selected, being struck with every seed."""
    wanted = {item.callspec.id for item in request.session.items if hasattr(item, "callspec")}
    return {
        case.name: [workers.submit(strike_all, case.name, seed) for seed in range(1, SEEDS + 1)]
        for case in sorted(CASES, key=_dearest_first)
        if case.name in wanted
    }


def _dearest_first(case: UseCase) -> int:
    return -len(case.name) if case.name.startswith(("burst", "first", "reboot")) else 0


@pytest.fixture
def counted(request: pytest.FixtureRequest) -> list[int]:
    """Where a test says how many strikes it saw."""
    return request.config.stash.setdefault(_STRIKES, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash.get(_STRIKES, [])
    if counts:
        terminalreporter.write_line(
            f"{sum(counts)} strikes at {len(counts)} use cases, {SEEDS} seeds each"
        )
