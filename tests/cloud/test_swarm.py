# SPDX-License-Identifier: Apache-2.0
"""Services of a Swarm of three hosts on one Neutron network that was there before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

import pytest

from tests.cloud.stage import wait_until
from tests.cloud.stage.machine import local_host
from tests.cloud.stage.swarm import (
    Swarm,
    assert_all_meet,
    assert_neutron_has,
    resolved,
    settled,
)

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud, pytest.mark.timeout(400)]
SETTINGS = {"reconcile": {"interval": 2.0, "grace": 2.0}}
"""So that what a dead engine left behind is judged within the test."""


@dataclass(frozen=True)
class Theirs:
    """An operator's Neutron network, and the Swarm's network on it."""

    neutron_id: str
    name: str
    cidr: IPv4Network


@pytest.fixture
def theirs(swarm: Swarm) -> Iterator[Theirs]:
    manager = swarm.manager
    cidr = manager.cidr()
    network = manager.make_network(cidr)
    manager.neutron.network.set_tags(network, ["theirs"])
    name = swarm.create_network("--attachable", neutron_id=network.id, subnet=cidr)
    yield Theirs(network.id, name, cidr)
    swarm.cleanup()
    settled(swarm)
    assert manager.neutron.network.find_network(network.id) is None, "a port of a task is left"


@pytest.mark.parametrize("mode", [pytest.param("dnsrr", marks=pytest.mark.long), "vip"])
def test_every_task_reaches_every_other(swarm: Swarm, theirs: Theirs, mode: str) -> None:
    """By address and by name, on three hosts, through the tunnels, whatever the endpoint mode."""
    service = swarm.create_service(theirs.name, "--endpoint-mode", mode, replicas=6)
    tasks = swarm.running(service, 6)
    assert {one.stage for one in tasks} == set(swarm.stages)
    assert_neutron_has(swarm, theirs.neutron_id, tasks)
    assert_all_meet(tasks, service)


def test_a_service_grows_and_shrinks(swarm: Swarm, theirs: Theirs) -> None:
    service = swarm.create_service(theirs.name, replicas=3)
    for count in (9, 2):
        swarm.docker("service", "scale", "-d", f"{service}={count}")
        tasks = swarm.running(service, count)
        assert_neutron_has(swarm, theirs.neutron_id, tasks)
        assert_all_meet(tasks, service)


@pytest.mark.long
def test_an_update_replaces_every_task(swarm: Swarm, theirs: Theirs) -> None:
    service = swarm.create_service(theirs.name, "--update-delay", "1s", replicas=3)
    before = {one.id for one in swarm.running(service, 3)}
    swarm.docker("service", "update", "-d", "--no-resolve-image", "--env-add", "A=1", service)
    done = "{{.UpdateStatus.State}}"
    wait_until(
        lambda: swarm.docker("service", "inspect", "-f", done, service) == "completed",
        "the update is complete",
        120,
    )
    tasks = swarm.running(service, 3)
    assert before.isdisjoint(one.id for one in tasks)
    assert_neutron_has(swarm, theirs.neutron_id, tasks)
    assert_all_meet(tasks, service)


def test_the_tasks_of_a_lost_node_go_elsewhere(swarm: Swarm, theirs: Theirs) -> None:
    """A host loses its engine and its containers; what it had in Neutron goes when it is back."""
    lost = swarm.stages[2]
    service = swarm.create_service(theirs.name, replicas=6)
    node = swarm.node(lost)
    local_host(lost.machine).kill_engine_and_containers()
    try:
        wait_until(lambda: swarm.state(node) == "down", "the manager misses the node", 60)
        tasks = swarm.running(service, 6)
        assert lost not in {one.stage for one in tasks}
        assert_all_meet(tasks, service)
    finally:
        local_host(lost.machine).start_dockerd()
    wait_until(lambda: swarm.state(node) == "ready", "the node is back", 60)
    assert_neutron_has(swarm, theirs.neutron_id, swarm.running(service, 6))


@pytest.mark.long
def test_a_drained_node_gives_its_tasks_away(swarm: Swarm, theirs: Theirs) -> None:
    drained = swarm.stages[1]
    service = swarm.create_service(theirs.name, replicas=6)
    node = swarm.node(drained)
    swarm.docker("node", "update", "--availability", "drain", node)
    try:
        wait_until(lambda: not swarm.has_containers(drained, service), "the node is empty", 90)
        tasks = swarm.running(service, 6)
        assert drained not in {one.stage for one in tasks}
        assert_neutron_has(swarm, theirs.neutron_id, tasks)
        assert_all_meet(tasks, service)
    finally:
        swarm.docker("node", "update", "--availability", "active", node)


def test_a_container_of_ones_own_joins_the_service(swarm: Swarm, theirs: Theirs) -> None:
    """An attachable network takes containers of `docker run`, on nodes without tasks as well."""
    here = ("--constraint", "node.role==manager")
    service = swarm.create_service(theirs.name, *here, replicas=2)
    addresses = {one.address for one in swarm.running(service, 2)}
    for stage in swarm.stages:
        guest = stage.run_container(theirs.name)
        assert resolved(stage, guest, f"tasks.{service}") == addresses
        assert all(stage.fetches(guest, one, 80) for one in addresses)
        assert stage.neutron_port(guest).network_id == theirs.neutron_id
        stage.remove_container(guest)


def test_two_services_and_a_machine_on_one_network(swarm: Swarm, theirs: Theirs) -> None:
    """A single engine's container, on a Docker network of its own, is on the same Neutron network
    and takes no address that a task has.
    """
    first, second = (swarm.create_service(theirs.name, replicas=3) for _ in range(2))
    stage = swarm.stages[1]
    own = stage.create_network("-o", f"neutron.net.uuid={theirs.neutron_id}", subnet=theirs.cidr)
    guest = stage.run_container(own)
    tasks = swarm.running(first, 3) + swarm.running(second, 3)
    addresses = {one.address for one in tasks}
    assert len(addresses | {stage.ip_of(guest)}) == 7
    assert all(stage.fetches(guest, one, 80) for one in addresses)
    assert tasks[0].resolves(second) == {one.address for one in tasks[3:]}


def test_no_task_notices_that_every_kurier_restarts(swarm: Swarm, theirs: Theirs) -> None:
    service = swarm.create_service(theirs.name, replicas=3)
    before = {one.container: one.address for one in swarm.running(service, 3)}
    for stage in swarm.stages:
        stage.daemon.kill()
    for stage in swarm.stages:
        stage.daemon.start()
    swarm.docker("service", "scale", "-d", f"{service}=6")
    tasks = swarm.running(service, 6)
    after = {one.container: one.address for one in tasks}
    assert after.items() >= before.items()
    assert_neutron_has(swarm, theirs.neutron_id, tasks)
    assert_all_meet(tasks, service)


def test_one_node_leaves_and_comes_back(swarm: Swarm, theirs: Theirs) -> None:
    """The others' tasks go on, and it gets tasks again once it is back."""
    service = swarm.create_service(theirs.name, replicas=3)
    leaving = swarm.stages[2]
    node = swarm.node(leaving)
    leaving.docker("swarm", "leave")
    wait_until(lambda: swarm.state(node) == "down", "the manager knows", 60)
    swarm.docker("node", "rm", "--force", node)
    tasks = swarm.running(service, 3)
    assert leaving not in {one.stage for one in tasks}
    assert_all_meet(tasks, service)
    swarm.join(leaving)
    swarm.docker("service", "scale", "-d", f"{service}=9")
    tasks = swarm.running(service, 9)
    assert leaving in {one.stage for one in tasks}
    assert_neutron_has(swarm, theirs.neutron_id, tasks)
    assert_all_meet(tasks, service)


def test_nothing_is_left_of_a_service_and_its_network(swarm: Swarm) -> None:
    """The operator's network has the operator's tags alone, and no node has anything of ours."""
    manager = swarm.manager
    cidr = manager.cidr()
    network = manager.make_network(cidr)
    manager.neutron.network.set_tags(network, ["theirs", "kept:for=us"])
    before = [(stage, stage.snapshot()) for stage in swarm.stages]
    name = swarm.create_network(neutron_id=network.id, subnet=cidr)
    service = swarm.create_service(name, replicas=6)
    swarm.remove_service(service)
    swarm.remove_network(name)
    for stage, seen in before:
        stage.nothing_left(seen)
    assert set(manager.neutron.network.get_network(network.id).tags) == {"theirs", "kept:for=us"}
