# SPDX-License-Identifier: Apache-2.0
"""Neutron's list of ports answers falsely, or not at all, while Kurier compares: nothing goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.cloud.faults.moments import Answer, Broker, out_of_order
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.pools import pool_of, ready

pytestmark = pytest.mark.local_cloud
POOL: Table = {
    # The burst is not forgotten within the test: no port goes because it is one too many.
    "pool": {"enabled": True, "min": 3, "max": 5, "batch": 4, "lag": 4.0, "half_life": 3600.0},
    # So that whatever a comparison takes for a leak goes at once.
    "reconcile": {"interval": 3600.0, "grace": 0.0},
    "cloud": {"retries": 0},
}
_LIST = r"^GET /v2\.0/ports(\?|$)"


def empty(answer: Answer) -> Answer:
    return replace(answer, content=b'{"ports": []}')


def in_part(answer: Answer) -> Answer:
    """Every second port, and no word of more."""
    ports = json.loads(answer.content)["ports"][::2]
    return replace(answer, content=json.dumps({"ports": ports}).encode())


def unanswered(answer: Answer) -> None:
    """The connection ends without a word."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "lie",
    [
        in_part,
        *(pytest.param(one, marks=pytest.mark.long) for one in (empty, out_of_order)),
        unanswered,
    ],
)
def test_a_false_list_deletes_nothing(
    brokered: tuple[Stage, Broker], lie: Callable[[Answer], Answer | None]
) -> None:
    stage, broker = brokered
    network = stage.create_network("-o", "kurier.pool.wait=true")
    first, second = stage.run_container(network), stage.run_container(network)
    wait_until(lambda: pool_of(stage, network)["ready"] == 5, "the pool is full", 90)
    stage.settled()
    waiting = {port.id for port in ready(stage, network)}
    with broker.falsifying(_LIST, lie):
        reports = [stage.daemon.admin("/v1/reconcile", "POST") for _ in range(3)]
        stage.settled()

    assert all(one["deleted"] == one["released"] == [] for one in reports), reports
    assert {port.id for port in ready(stage, network)} == waiting
    assert pool_of(stage, network)["ready"] == len(waiting) == 5
    assert stage.pings(first, stage.ip_of(second))
    stage.remove_container(first, second)
    stage.remove_network(network)
