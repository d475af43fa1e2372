# SPDX-License-Identifier: Apache-2.0
"""Many starts at once, on a warm pool and on an empty one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.stage import wait_until
from tests.cloud.stage.counting import NeutronLog, SwitchLog
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.pools import pool_of

POOL: Table = {
    "pool": {"enabled": True, "batch": 4, "cooling": 2.0, "max": 60, "lag": 120.0},
    "reconcile": {"interval": 3600.0},
}


@pytest.mark.local_cloud
@pytest.mark.timeout(240)
def test_a_warm_burst_asks_nothing_of_neutron(
    troupe: Troupe, neutron_log: NeutronLog, switch_log: SwitchLog
) -> None:
    """Twenty at once: settling and refilling stand back until it is over."""
    with troupe.own(POOL) as stage:
        network = stage.create_network("-o", "kurier.pool.min=24", "-o", "kurier.pool.max=60")
        wait_until(lambda: pool_of(stage, network)["ready"] >= 24, "24 are ready", 90)
        stage.settled()
        plugs = switch_log.end
        with neutron_log.counted() as seen, ThreadPoolExecutor(8) as threads:
            names = list(threads.map(lambda _: stage.run_container(network), range(20)))

        assert not seen.all, seen.told()
        assert switch_log.ports_written(plugs) == []
        assert len({stage.ip_of(name) for name in names}) == 20
        stage.settled(60)
        assert {stage.neutron_port(name).name for name in names} == set(names)
        stage.remove_container(*names)


@pytest.mark.local_cloud
def test_cold_starts_at_once_share_few_requests(troupe: Troupe, neutron_log: NeutronLog) -> None:
    """A pool that begins empty: all run, and the ports come in few creates."""
    with troupe.own(POOL) as stage:
        network = stage.create_network("-o", "kurier.pool.min=0", "-o", "kurier.pool.max=60")
        with neutron_log.counted() as seen, ThreadPoolExecutor(8) as threads:
            names = list(threads.map(lambda _: stage.run_container(network), range(12)))

        assert len({stage.ip_of(name) for name in names}) == 12
        creates = [one for one in seen.writes if (one.method, one.path) == ("POST", "/v2.0/ports")]
        assert len(creates) <= 12, seen.told()
        stage.remove_container(*names)
