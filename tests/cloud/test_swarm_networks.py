# SPDX-License-Identifier: Apache-2.0
"""`kurier swarm network`: one command on one manager makes a network for the whole Swarm."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kurier.model.tags import host_tag
from localcloud.errors import CloudError
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.machine import leased_interfaces
from tests.cloud.stage.swarm import SWARM_IMAGE, Swarm, assert_all_meet, assert_neutron_has

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud, pytest.mark.timeout(400)]
SETTINGS = {"reconcile": {"interval": 2.0, "grace": 2.0}, "engine": {"swarm_interval": 2.0}}


def kurier(stage: Stage, *words: str) -> str:
    """`kurier swarm network …` on a host; CloudError with what it says where it fails."""
    program = str(Path(sys.executable).with_name("kurier"))
    return stage.machine.run(
        [program, "swarm", "network", *words, "--config", str(stage.daemon.config)]
    ).stdout


def listed(stage: Stage) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(kurier(stage, "list", "--json"))}


def configs(stage: Stage) -> set[str]:
    """The config-only networks on a host."""
    names = stage.docker("network", "ls", "--format", "{{.Name}}").split()
    return {name for name in names if name.endswith(".config")}


@pytest.fixture
def quiet(swarm: Swarm) -> Iterator[Swarm]:
    """The Swarm, of whose networks nothing may be left after the test, on hosts or in Neutron.

    The bridge and the cables that Swarm itself makes for its first task are none of ours.
    """
    neutron = swarm.manager.neutron.network
    before = swarm.manager.snapshot()["Neutron networks"]
    yield swarm
    swarm.cleanup()
    no_configs(swarm)
    for stage in swarm.stages:
        stage.settled()
        assert leased_interfaces(stage.machine) == []
        assert list(neutron.ports(tags=[host_tag(stage.machine.hostname)])) == []
    assert swarm.manager.snapshot()["Neutron networks"] == before


def no_configs(swarm: Swarm) -> None:
    """Waits until every node has given its part up."""
    for stage in swarm.stages:
        wait_until(partial(has_none, stage), "no config-only network is left", 30)


def has_none(stage: Stage) -> bool:
    return not configs(stage)


def make(swarm: Swarm, *options: str) -> str:
    """Makes a network on the manager; what is left of it at the end of the test goes."""
    name = swarm.manager.name("wide")
    swarm.manager.undo(lambda: remove(swarm, name))
    kurier(swarm.manager, "create", *options, name)
    return name


def remove(swarm: Swarm, name: str) -> None:
    if name in listed(swarm.manager):
        kurier(swarm.manager, "rm", name)


def test_a_network_for_every_node(quiet: Swarm) -> None:
    """Made once, there on all nodes when the command is back, gone everywhere after `rm`."""
    manager = quiet.manager
    cidr = manager.cidr()
    name = make(quiet, "--subnet", str(cidr), "--gateway", str(cidr[1]))
    row = listed(manager)[name]
    assert (row["ranges"], row["nodes_ready"], row["nodes"]) == ([str(cidr)], 3, 3)
    assert row["neutron_name"] == f"kuryr-net-{name}"
    service = quiet.create_service(name, "--endpoint-mode", "dnsrr", replicas=6)
    tasks = quiet.running(service, 6)
    assert {task.stage for task in tasks} == set(quiet.stages)
    assert_neutron_has(quiet, row["neutron_id"], tasks)
    assert_all_meet(tasks, service)

    assert "is in use" in complaint(quiet.manager, "rm", name)
    quiet.remove_service(service)
    kurier(manager, "rm", name)
    wait_until(
        lambda: manager.neutron.network.find_network(row["neutron_id"]) is None,
        "the Neutron network is gone",
        30,
    )


def complaint(stage: Stage, *words: str) -> str:
    with pytest.raises(CloudError) as refused:
        kurier(stage, *words)
    return str(refused.value)


def test_an_operators_network_is_given_back(quiet: Swarm) -> None:
    """Adopted by id, with policy of its own; its tags are the operator's alone afterwards."""
    manager = quiet.manager
    cidr = manager.cidr()
    network = manager.make_network(cidr)
    manager.neutron.network.set_tags(network, ["theirs"])
    name = make(
        quiet,
        *("--subnet", str(cidr), "--attachable"),
        *("-o", f"neutron.net.uuid={network.id}", "-o", "kurier.port_security=false"),
    )
    guest = quiet.stages[1].run_container(name)
    port = quiet.stages[1].neutron_port(guest)
    assert (port.network_id, port.is_port_security_enabled) == (network.id, False)
    quiet.stages[1].remove_container(guest)
    kurier(manager, "rm", name)
    no_configs(quiet)
    for stage in quiet.stages:
        stage.settled()
    left = manager.neutron.network.get_network(network.id)
    assert left.tags == ["theirs"]
    assert len(left.subnet_ids) == 1


def test_a_node_that_joins_has_it_before_its_first_task(quiet: Swarm) -> None:
    """A global service's task is on a new node moments after it joined."""
    joining = quiet.stages[2]
    node = quiet.node(joining)
    joining.docker("swarm", "leave")
    wait_until(lambda: quiet.state(node) == "down", "the manager knows", 60)
    quiet.docker("node", "rm", "--force", node)
    name = make(quiet, "--subnet", str(quiet.manager.cidr()))
    service = quiet.manager.name("global")
    quiet.manager.undo(lambda: quiet.remove_service(service))
    serving = (SWARM_IMAGE, "httpd", "-f", "-p", "80", "-h", "/www")
    given = ("--mode", "global", "--network", name, "--stop-signal", "SIGKILL")
    quiet.docker(
        "service", "create", "-d", "--no-resolve-image", "--name", service, *given, *serving
    )
    quiet.running(service, 2)
    quiet.join(joining)
    tasks = quiet.running(service, 3)
    assert joining in {task.stage for task in tasks}
    shut = ("-f", "desired-state=shutdown", "--no-trunc", "--format", "{{.Node}}: {{.Error}}")
    failed = quiet.docker("service", "ps", *shut, service).splitlines()
    assert [one for one in failed if one.startswith(joining.machine.hostname)] == []
    assert_all_meet(tasks, service)


def test_what_is_refused(quiet: Swarm) -> None:
    """One sentence each, and nothing half-made."""
    manager, worker = quiet.manager, quiet.stages[1]
    cidr = str(manager.cidr())
    assert "is no manager of its Swarm" in complaint(worker, "create", "--subnet", cidr, "net")
    name = make(quiet, "--subnet", cidr)
    assert "has a network" in complaint(manager, "create", "--subnet", cidr, name)
    assert "no network named none" in complaint(
        manager, "create", "--subnet", cidr, "-o", "neutron.net.name=none", "other"
    )
    taken = manager.name("taken")
    manager.docker("network", "create", taken)
    manager.undo(lambda: manager.docker("network", "rm", taken, check=False))
    assert "already exists" in complaint(manager, "create", "--subnet", cidr, taken)
    assert set(listed(manager)) == {name}
    assert "has no network nothing" in complaint(manager, "rm", "nothing")


def test_a_stack_on_it(quiet: Swarm, tmp_path: Path) -> None:
    """`docker stack deploy` with the network as an external one."""
    name = make(quiet, "--subnet", str(quiet.manager.cidr()))
    stack = tmp_path / "stack.yaml"
    stack.write_text(
        f"""
version: "3.8"
services:
  web:
    image: 127.0.0.1:1/kurier/busybox:1
    command: ["httpd", "-f", "-p", "80", "-h", "/www"]
    stop_signal: SIGKILL
    deploy: {{replicas: 3}}
    networks: [wide]
networks:
  wide:
    external: true
    name: {name}
"""
    )
    title = quiet.manager.name("stack")
    quiet.manager.undo(lambda: quiet.docker("stack", "rm", title, check=False))
    quiet.docker("stack", "deploy", "--resolve-image", "never", "-c", str(stack), title)
    tasks = quiet.running(f"{title}_web", 3)
    assert_all_meet(tasks, "web")
    quiet.docker("stack", "rm", title)
    wait_until(
        lambda: not any(quiet.has_containers(one, f"{title}_web") for one in quiet.stages),
        "the stack is gone",
        60,
    )
