# SPDX-License-Identifier: Apache-2.0
"""What all tests share: leaving out the long ones, which says how many they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.speed import LONG

for room in ("engine", "neutron", "switch"):
    pytest.register_assert_rewrite(f"tests.agreement.{room}")

_LEFT_OUT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if LONG:
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.stash[_LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    number = config.stash.get(_LEFT_OUT, 0)
    if number:
        terminalreporter.write_line(f"{number} long tests were left out: ./run tests --long")
