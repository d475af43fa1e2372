# SPDX-License-Identifier: Apache-2.0
"""What users made themselves, in every way at once: used, and afterwards as it was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.pools import ready


@pytest.fixture(params=[False, True], ids=["without pools", "with pools"])
def stage(request: pytest.FixtureRequest, own_stage: OwnStage) -> Any:
    with own_stage({"pool": {"enabled": request.param, "min": 2, "max": 4, "lag": 2.0}}) as stage:
        yield stage


def test_two_networks_of_the_same_range_and_two_docker_networks_on_one(stage: Stage) -> None:
    """A port of the same address on each Neutron network: each is used where it is, and given
    back, tags and subnets included, while its namesake is left alone.
    """
    cidr = stage.cidr()
    here, there = (stage.make_network(cidr) for _ in range(2))
    mine, namesake = (stage.make_port(one.id, str(cidr[77])) for one in (here, there))
    stage.neutron.network.set_tags(mine, ["mine"])
    with stage.unchanged():
        one, two, far = (
            stage.create_network("-o", f"neutron.net.uuid={net.id}", subnet=cidr)
            for net in (here, here, there)
        )
        near = stage.run_container(one, "--ip", str(cidr[77]))
        assert stage.neutron_port(near).id == mine.id
        assert stage.neutron.network.get_port(namesake.id).device_id == ""
        beside, away = stage.run_container(two), stage.run_container(far, "--ip", str(cidr[77]))
        assert stage.neutron_port(away).id == namesake.id
        assert stage.pings(beside, str(cidr[77]))
        stage.remove_container(near, beside, away)
        for name in (one, two, far):
            stage.remove_network(name)


def test_a_users_group_can_be_deleted_when_its_network_is_gone(stage: Stage) -> None:
    """Ports that wait wear it too; with the network they go."""
    group = stage.make_group()
    network = stage.create_network("-o", f"kurier.security_groups={group.id}")
    stage.remove_container(stage.run_container(network))
    if keeps_pools(stage):
        wait_until(lambda: ready(stage, network), "ports wait", 60)
    worn = {tuple(port.security_group_ids) for port in ready(stage, network)}

    stage.remove_network(network)
    stage.settled()

    stage.neutron.network.delete_security_group(group.id, ignore_missing=False)
    assert worn == ({(group.id,)} if keeps_pools(stage) else set())


def keeps_pools(stage: Stage) -> bool:
    return "enabled = true" in stage.daemon.config.read_text()
