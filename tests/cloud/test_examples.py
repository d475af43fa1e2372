# SPDX-License-Identifier: Apache-2.0
"""The files in `examples/`, brought up as their own comments say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.compose import Compose, documented

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.local_cloud  # the examples' names may be somebody's in another cloud


def commands(name: str) -> list[list[str]]:
    """The commands that an example gives, its own path made one that holds everywhere."""
    file = EXAMPLES / name
    return [
        [str(file) if word == f"examples/{name}" else word for word in command]
        for command in documented(file)
    ]


@pytest.fixture
def prod(stage: Stage) -> Any:
    """The Neutron network that the example expects, with a tag of its owner's."""
    for left in stage.neutron.network.networks(name="prod", tags="of-a-test"):
        stage.delete_neutron_network(left.id)  # by a session that was killed
    stage.docker("network", "rm", "prod", check=False)
    network = stage.make_network("10.1.0.0/24", name="prod")
    stage.neutron.network.set_tags(network, ["of-a-test"])
    return network


def test_a_web_server_on_a_network_that_exists(stage: Stage, compose: Compose, prod: Any) -> None:
    create, up = commands("compose.yaml")
    stage.undo(lambda: stage.docker("network", "rm", "prod", check=False))
    compose.docker(*create)
    with stage.unchanged():
        compose.docker(*up)
        stage.settled()
        assert stage.neutron_network("prod").id == prod.id
        check_web(stage, compose, up[:-2])
        compose(*up[1:-2], "down", "-t", "1")
    assert "prod" in stage.docker("network", "ls", "--format", "{{.Name}}").split()
    stage.remove_network("prod")
    stage.settled()
    assert stage.neutron.network.get_network(prod.id).tags == ["of-a-test"]


def check_web(stage: Stage, compose: Compose, project: list[str]) -> None:
    """Web answers a stranger on `prod` at TCP 80 alone, and its neighbour by its alias."""
    web, db = (compose.docker(*project, "ps", "-q", service) for service in ("web", "db"))
    stranger = stage.make_group()
    option = f"name=prod,driver-opt=kurier.security_groups={stranger.id}"
    client = stage.run_container(option)
    address = stage.ip_of(web, "prod")
    wait_until(lambda: stage.fetches(client, address, 80), "web answers on prod", 20)
    stage.docker("exec", "-d", web, "httpd", "-f", "-p", "81", "-h", "/tmp")
    wait_until(lambda: stage.fetches(web, address, 81), "web answers itself on another port", 20)
    assert not stage.fetches(client, address, 81)
    assert stage.fetches(db, "frontend", 80)
    assert stage.ip_of(db) == "10.77.0.20"
    stage.remove_container(client)
    stage.settled()
    stage.neutron.network.delete_security_group(stranger.id)
