# SPDX-License-Identifier: Apache-2.0
"""Neutron stopped under a warm pool: containers start until it is dry, and all settles after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from localcloud.api import Cloud
from tests.cloud.conftest import Troupe
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.pools import pool_of

pytestmark = [pytest.mark.local_cloud, pytest.mark.alone]
POOL = {
    "pool": {"enabled": True, "min": 4, "max": 4, "batch": 4, "cooling": 1.0, "lag": 4.0},
    "reconcile": {"interval": 5.0},
}


@contextmanager
def stopped(cloud: Cloud, service: str) -> Iterator[None]:
    """A service of the cloud is stopped within the block."""
    cloud.service(service).stop()
    try:
        yield
    finally:
        cloud.service(service).start()


@pytest.fixture
def stage(troupe: Troupe) -> Iterator[Stage]:
    with troupe.own(POOL) as stage:
        yield stage


def test_a_pool_outlives_neutrons_absence(stage: Stage, cloud: Cloud) -> None:
    before = stage.snapshot()
    network = stage.create_network("-o", "kurier.pool.wait=true")
    stage.settled()
    with stopped(cloud, "neutron"):
        names = [stage.run_container(network) for _ in range(4)]
        assert stage.pings(names[0], stage.ip_of(names[3]))
        refusal = stage.fail_container(network)
        assert "Neutron" in refusal
        stage.remove_container(names.pop())
        wait_until(lambda: pool_of(stage, network)["ready"] == 1, "the port is ready again", 20)
        names.append(stage.run_container(network))
    wait_until(lambda: stage.owed() == 0, "everything is settled", 60)

    for name in names:
        port = stage.neutron_port(name)
        assert port.name == name
        assert port.fixed_ips[0]["ip_address"] == stage.ip_of(name)
    report = stage.daemon.admin("/v1/reconcile", "POST")
    assert (report["released"], report["deleted"], report["unknown"]) == ([], [], [])
    stage.remove_container(*names)
    stage.remove_network(network)
    stage.nothing_left(before)
