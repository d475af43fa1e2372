# SPDX-License-Identifier: Apache-2.0
"""Many starts at once, on a warm pool and on an empty one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.faults.engines import host_of
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.counting import NeutronLog, Requests, SwitchLog
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.pools import pool_of

POOL: Table = {
    "pool": {"enabled": True, "batch": 4, "cooling": 2.0, "max": 60, "lag": 120.0},
    "reconcile": {"interval": 3600.0},
    "engine": {"swarm_interval": 3600.0},
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
        with neutron_log.counted(address_of(stage)) as seen, ThreadPoolExecutor(8) as threads:
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
        with neutron_log.counted(address_of(stage)) as seen, ThreadPoolExecutor(8) as threads:
            names = list(threads.map(lambda _: stage.run_container(network), range(12)))

        assert len({stage.ip_of(name) for name in names}) == 12
        assert len(creates(seen)) <= 12, seen.told()
        stage.remove_container(*names)


def creates(seen: Requests) -> list[str]:
    """The requests that made ports, whatever number each."""
    return [one.path for one in seen.writes if (one.method, one.path) == ("POST", "/v2.0/ports")]


@pytest.mark.local_cloud
@pytest.mark.timeout(240)
@pytest.mark.parametrize("gather", [0.0, 1.0])
def test_cold_starts_on_several_networks_share_requests(
    troupe: Troupe, neutron_log: NeutronLog, gather: float
) -> None:
    """The engine asks for one network's addresses one by one, and for several networks' at once."""
    with troupe.own({"pool": {"enabled": True, "gather": gather}}) as stage:
        networks = [stage.create_network("-o", "kurier.pool.max=0") for _ in range(6)]
        with neutron_log.counted(address_of(stage)) as seen, ThreadPoolExecutor(6) as threads:
            names = list(threads.map(stage.run_container, networks))

        ports = [stage.neutron_port(name) for name in names]
        wanted = [stage.neutron_network(network).id for network in networks]
        assert [port.network_id for port in ports] == wanted
        assert len(creates(seen)) == 6 if gather == 0 else len(creates(seen)) < 6, seen.told()
        print(f"gather {gather:g} s: 6 starts on 6 networks, {len(creates(seen))} requests")
        stage.remove_container(*names)


def address_of(stage: Stage) -> str:
    """From where the host's daemon asks Neutron."""
    return str(host_of(stage).place.management_address)
