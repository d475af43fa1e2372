# SPDX-License-Identifier: Apache-2.0
"""The guide of docs/swarm.md, followed as it is written, on two hosts that are in no Swarm yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.stage import IMAGE, Stage, wait_until
from tests.cloud.stage.guide import ROOT, Block, Reader, blocks_of
from tests.cloud.stage.plugin import PLUGIN, install_words, remove_plugin
from tests.cloud.stage.swarm import SWARM_IMAGE, Swarm, address_of, swarm_of

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud, pytest.mark.timeout(600)]
PAGE = "docs/swarm.md"
BLOCKS = list(blocks_of(PAGE))


@pytest.fixture
def stages(troupe: Troupe, second_troupe: Troupe) -> Iterator[list[Stage]]:
    """Two hosts with the daemon alone, and what is in the way of a guide's end taken away."""
    with ExitStack() as stack:
        stages = [stack.enter_context(one.own()) for one in (troupe, second_troupe)]
        for stage in stages:
            stage.docker("tag", IMAGE, SWARM_IMAGE)
        yield stages
        Swarm(stages).end()
        for stage in stages:
            remove_plugin(stage.docker)


@pytest.fixture
def reader(stages: list[Stage]) -> Reader:
    manager, worker = stages
    where = {"on the manager": [manager], "on the worker": [worker], "on every node": stages}
    return Reader(where, words_of(stages))


def words_of(stages: list[Stage]) -> dict[str, str]:
    """What a reader has in the place of the guide's examples, and what a machine without a
    registry and without busybox-static needs.
    """
    return {
        "10.0.0.11": address_of(stages[0]),
        "10.0.0.12": address_of(stages[1]),
        "kurier plugin install": f"kurier plugin {' '.join(install_words(stages[0]))}",
        "docker service create": "docker service create --detach --no-resolve-image",
        "docker service update": "docker service update --detach --no-resolve-image",
        "docker service scale": "docker service scale --detach",
        "docker stack deploy": f"KURIER_EXAMPLE_IMAGE={SWARM_IMAGE} docker stack deploy "
        "--detach --resolve-image never",
        " nginx": f" {SWARM_IMAGE}",
        " busybox ": f" {SWARM_IMAGE} ",
    }


def test_step_by_step(stages: list[Stage], reader: Reader) -> None:
    """Each command of the guide, in its order; the operator's network is as before in the end."""
    manager = stages[0]
    network = manager.make_network("10.1.0.0/24", name="prod")
    manager.neutron.network.set_tags(network, ["theirs"])
    before = [(stage, stage.snapshot()) for stage in stages]
    for block in (one for one in BLOCKS if one.section == "Step by step"):
        said = reader.follow(block)
        if "join-token" in block.commands:
            reader.words["TOKEN"] = said.split()[-1]
        if "docker service" in block.commands:
            services_run(stages)
    for stage in stages:
        stage.docker("network", "rm", "docker_gwbridge", check=False)
    for stage, seen in before:
        stage.nothing_left(seen)
    assert manager.neutron.network.get_network(network.id).tags == ["theirs"]


def services_run(stages: list[Stage]) -> None:
    """Waits until each service has as many running tasks as it shall have."""

    def all_run() -> bool:
        shown = ("service", "ls", "--format", "{{.Replicas}}")
        counts = [one.split("/") for one in stages[0].docker(*shown, check=False).split()]
        return all(running == wanted for running, wanted in counts)

    wait_until(all_run, "all tasks run", 150)


@pytest.fixture
def swarm(stages: list[Stage]) -> Iterator[Swarm]:
    with swarm_of(stages) as swarm:
        yield swarm


def follow(reader: Reader, section: str) -> None:
    for block in (one for one in BLOCKS if one.section == section):
        reader.follow(block)


@pytest.mark.long
def test_by_hand(swarm: Swarm, reader: Reader) -> None:
    manager = swarm.manager
    network = manager.make_network("10.1.0.0/24", name="prod")
    with manager.unchanged():
        follow(reader, "By hand")
    assert manager.neutron.network.get_network(network.id).tags == []


@pytest.mark.long
def test_a_stack(swarm: Swarm, reader: Reader) -> None:
    """Its tasks, on both nodes, find each other by the names that the file gives."""
    manager = swarm.manager
    before = manager.snapshot()
    follow(reader, "Stacks")
    web, (db,) = swarm.running("shop_web", 3), swarm.running("shop_db", 1)
    private = {one.stage.ip_of(one.container, "private") for one in web}
    assert {one.stage for one in web} == set(swarm.stages)
    wait_until(lambda: db.resolves("web") == private, "the database finds the web server")
    assert db.resolves("tasks.web") == private
    assert all(db.reaches(one) for one in private)
    assert all(one.resolves("db") == {db.address} for one in web)
    assert len({one.stage.ip_of(one.container, "front") for one in web}) == 3
    swarm.docker("stack", "rm", "shop")
    for name in ("shop_web", "shop_db"):
        swarm.remove_service(name)
    for name in ("front", "private"):
        reader.follow(Block("on the manager", f"kurier swarm network rm {name}", ""))
    manager.nothing_left(before)


def closed_groups(stage: Stage) -> list[Any]:
    """The security groups that the example has an operator make."""
    groups = stage.neutron.network.security_groups(name="closed", project_id=stage.project)
    return list(groups)


def test_a_stack_with_options_in_its_file(swarm: Swarm, reader: Reader) -> None:
    """Each service's ports in Neutron are as the file says; what it names was there before."""
    manager = swarm.manager
    for left in closed_groups(manager):  # of a session that was cut off
        manager.neutron.network.delete_security_group(left.id)
    before = manager.snapshot()
    text = (ROOT / "examples/stack-options.yaml").read_text()
    for line in re.findall(r"^#   (.*)$", text, re.MULTILINE):
        reader.follow(Block("on the manager", line, ""))
    (group,) = closed_groups(manager)
    for task in swarm.running("vault_safe", 2):
        port = task.stage.neutron_port(task.container)
        assert port.security_group_ids == [group.id]
    swarm.docker("stack", "rm", "vault")
    swarm.remove_service("vault_safe")
    reader.follow(Block("on the manager", "kurier swarm network rm rear", ""))
    manager.neutron.network.delete_security_group(group.id)
    manager.nothing_left(before)


def test_a_stack_cannot_make_the_network_itself(swarm: Swarm) -> None:
    """What docs/swarm.md says of it, as long as Docker's clients and engines do so."""
    manager = swarm.manager
    file = manager.folder / "own.yaml"
    file.write_text(OWN_NETWORK % (SWARM_IMAGE, PLUGIN, PLUGIN, manager.cidr()))
    manager.undo(lambda: manager.docker("stack", "rm", "own", check=False))
    said = manager.docker.fails("stack", "deploy", "--detach", "-c", str(file), "own")
    assert "cannot be used with services" in said


OWN_NETWORK = """\
version: "3.8"
services:
  one: {image: "%s", networks: [own]}
networks:
  own:
    driver: "%s"
    ipam: {driver: "%s", config: [{subnet: "%s"}]}
"""
