# SPDX-License-Identifier: Apache-2.0
"""A service of many tasks on a network that is made at the first of them, on three hosts."""

from __future__ import annotations

import pytest

from tests.cloud.stage import wait_until
from tests.cloud.stage.machine import local_host
from tests.cloud.stage.swarm import Swarm, Task
from tests.cloud.test_swarm import found_by, settled

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud, pytest.mark.timeout(900)]
SETTINGS = {"reconcile": {"interval": 2.0, "grace": 2.0}, "pool": {"enabled": True, "max": 24}}
_REACH = (
    'for a in {}; do ping -c 1 -W 3 $a >/dev/null && timeout 5 wget -q -O- "http://$a/" | '
    "grep -q hello || echo $a; done"
)


def assert_all_meet(tasks: list[Task], service: str) -> None:
    """Each task finds all by both names, and reaches every other by address."""
    addresses = {one.address for one in tasks}
    for one in tasks:
        for name in (service, f"tasks.{service}"):
            found_by(one, name, addresses)
        others = " ".join(sorted(addresses - {one.address}))
        missed = one.stage.exec(one.container, "sh", "-c", _REACH.format(others), seconds=200)
        assert missed == "", f"{one.name} does not reach {missed}"


def assert_bound(tasks: list[Task], neutron_id: str) -> None:
    """Each has an address of its own, and a port that is bound to its host."""
    told = {one.address: one.stage.machine.hostname for one in tasks}
    ports = tasks[0].stage.neutron.network.ports(network_id=neutron_id)
    bound = {one.fixed_ips[0]["ip_address"]: one.binding_host_id for one in ports}
    assert len(told) == len(tasks)
    assert bound.items() >= told.items()


def test_many_tasks(swarm: Swarm) -> None:
    """Twelve, then thirty; updated, a node drained, an engine killed; nothing is left."""
    manager, drained, killed = swarm.stages
    network = swarm.create_network(subnet=manager.cidr())
    service = swarm.create_service(network, "--endpoint-mode", "dnsrr", replicas=12)
    tasks = swarm.running(service, 12)
    assert {one.stage for one in tasks} == set(swarm.stages)
    neutron_id = manager.neutron_port(tasks[0].container).network_id
    assert_bound(tasks, neutron_id)
    assert_all_meet(tasks, service)

    swarm.docker("service", "scale", "-d", f"{service}=30")
    tasks = swarm.running(service, 30, 240)
    assert_bound(tasks, neutron_id)
    assert_all_meet(tasks, service)

    update = ("--update-parallelism", "10", "--update-delay", "0s", "--env-add", "A=1")
    swarm.docker("service", "update", "-d", "--no-resolve-image", *update, service)
    done = "{{.UpdateStatus.State}}"
    wait_until(
        lambda: swarm.docker("service", "inspect", "-f", done, service) == "completed",
        "the update is complete",
        300,
    )
    node = swarm.node(drained)
    swarm.docker("node", "update", "--availability", "drain", node)
    wait_until(lambda: not swarm.has_containers(drained, service), "the node is empty", 120)
    swarm.docker("node", "update", "--availability", "active", node)
    lost = swarm.node(killed)
    local_host(killed.machine).kill_engine_and_containers()
    try:
        wait_until(lambda: swarm.state(lost) == "down", "the manager misses the node", 90)
        tasks = swarm.running(service, 30, 240)
        assert killed not in {one.stage for one in tasks}
        assert_bound(tasks, neutron_id)
        assert_all_meet(tasks, service)
    finally:
        local_host(killed.machine).start_dockerd()
    wait_until(lambda: swarm.state(lost) == "ready", "the node is back", 90)
    swarm.remove_service(service)
    swarm.remove_network(network)
    settled(swarm)
    left = manager.neutron.network.find_network(neutron_id)
    assert left is None
