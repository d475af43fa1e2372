# SPDX-License-Identifier: Apache-2.0
"""Ready ports: made beforehand, taken with no word to Neutron or the switch, and used again."""

from __future__ import annotations

import pytest

from tests.cloud.stage import IMAGE, Stage, wait_until
from tests.cloud.stage.counting import NeutronLog, SwitchLog
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.pools import pool_of, ready
from tests.cloud.stage.swarm import address_of

POOL: Table = {
    "reconcile": {"interval": 3600.0},
    "engine": {"swarm_interval": 3600.0},
    "pool": {"enabled": True, "min": 3, "max": 12, "batch": 4, "cooling": 2.0, "lag": 4.0},
}


def test_a_network_gets_its_ready_ports(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.min=2", "-o", "kurier.pool.wait=true")

    ports = ready(pooled, network)

    assert len(ports) == 2
    pooled.await_active(*ports)
    assert {port.binding_host_id for port in ports} == {pooled.machine.hostname}


@pytest.mark.local_cloud
def test_a_warm_start_asks_nothing_of_neutron_and_the_switch(
    pooled: Stage, neutron_log: NeutronLog, switch_log: SwitchLog
) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    pooled.settled()
    plugs = switch_log.end

    with neutron_log.counted(address_of(pooled)) as seen:
        container = pooled.run_container(network)

    assert not seen.all, seen.told()
    assert switch_log.ports_written(plugs) == []
    pooled.settled()
    assert pooled.neutron_port(container).name == container


def test_a_port_is_used_again_with_its_mac_and_address(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.min=1", "-o", "kurier.pool.wait=true")
    first = pooled.run_container(network)
    before = pooled.neutron_port(first)
    pooled.remove_container(first)
    wait_until(lambda: pool_of(pooled, network)["cooling"] == 0, "nothing cools any more", 20)

    number = pool_of(pooled, network)["ready"]
    names = [pooled.run_container(network) for _ in range(number)]

    ports = {port.id: port for port in map(pooled.neutron_port, names)}
    again = ports[before.id]
    assert (again.mac_address, again.fixed_ips) == (before.mac_address, before.fixed_ips)
    assert all(pooled.pings(names[0], pooled.ip_of(name)) for name in names[1:])


def test_a_network_leaves_nothing(pooled: Stage) -> None:
    with pooled.unchanged():
        network = pooled.create_network("-o", "kurier.pool.wait=true")
        pooled.docker("run", "--rm", "--network", network, IMAGE, "true")
        pooled.remove_network(network)
