# SPDX-License-Identifier: Apache-2.0
"""What guards a container's port: security groups, QoS, port security, published ports."""

from __future__ import annotations

from typing import Any

import pytest

from kurier.model import tags
from kurier.model.ids import EnvironmentId
from tests.cloud.conftest import OwnStage
from tests.cloud.stage import IMAGE, Stage, wait_until
from tests.cloud.stage.daemon import QUICK


def test_groups_of_the_network_are_worn(stage: Stage) -> None:
    one, two = stage.make_group(), stage.make_group()
    name = stage.create_network("-o", f"kurier.security_groups={one.name},{two.id}")

    container = stage.run_container(name)

    assert set(stage.neutron_port(container).security_group_ids) == {one.id, two.id}
    stage.remove_container(container)
    stage.settled()


def test_groups_of_the_configuration_are_worn(stage: Stage, own_stage: OwnStage) -> None:
    group = stage.make_group()
    with own_stage({"network": {"security_groups": [group.name]}}) as own:
        container = own.run_container(own.create_network())
        assert own.neutron_port(container).security_group_ids == [group.id]


def test_endpoints_own_policy_goes_before_the_networks(stage: Stage) -> None:
    wide, narrow = stage.make_group(), stage.make_group()
    name = stage.create_network("-o", f"kurier.security_groups={wide.id}")
    container = stage.name("c")
    stage.undo(lambda: stage.docker("rm", "-f", container, check=False))
    stage.docker("run", *stage.run_options("none", container), IMAGE, "sleep", "infinity")
    stage.docker("network", "disconnect", "none", container)

    stage.docker(
        *("network", "connect", "--driver-opt", f"kurier.security_groups={narrow.id}"),
        *(name, container),
    )

    assert stage.neutron_port(container).security_group_ids == [narrow.id]
    stage.remove_container(container)
    stage.settled()


def test_rule_allows_and_its_removal_denies(stage: Stage, lan: str) -> None:
    group = stage.make_group()
    name = stage.create_network("-o", f"kurier.security_groups={group.id}")
    server, client = stage.run_container(name), stage.run_container(name)
    stage.serve(server, 80)
    address = stage.ip_of(server)
    assert not stage.fetches(client, address, 80)

    rule = stage.neutron.network.create_security_group_rule(
        security_group_id=group.id,
        direction="ingress",
        protocol="tcp",
        port_range_min=80,
        port_range_max=80,
        ether_type="IPv4",
    )
    wait_until(lambda: stage.fetches(client, address, 80), "the rule opens the port", 15)
    stage.neutron.network.delete_security_group_rule(rule.id)
    wait_until(lambda: not stage.fetches(client, address, 80), "the port closes again", 15)
    stage.remove_container(server, client)
    stage.settled()


def test_exposed_ports_are_open_others_shut_and_all_close_again(stage: Stage) -> None:
    group = stage.make_group()
    name = stage.create_network("-o", f"kurier.security_groups={group.id}")
    client = stage.run_container(name)
    with stage.unchanged():
        server = stage.run_container(name, "--expose", "80", "-p", "9081:81")
        stage.serve(server, 80, 81, 82)
        stage.settled()
        address = stage.ip_of(server)
        wait_until(lambda: stage.fetches(client, address, 80), "the exposed port opens", 15)
        assert stage.fetches(client, address, 81)
        assert not stage.fetches(client, address, 82)
        worn = stage.neutron_port(server).security_group_ids
        (own,) = set(worn) - {group.id}
        assert stage.neutron.network.get_security_group(own).name.startswith("kurier-expose-")
        stage.remove_container(server)
    stage.remove_container(client)
    stage.settled()


def test_a_group_that_a_kill_left_behind_goes_and_one_that_is_worn_stays(
    own_stage: OwnStage,
) -> None:
    with own_stage(QUICK) as own:
        container = own.run_container(own.create_network(), "--expose", "80")
        own.settled()
        left = own.make_group()
        mark = tags.environment_tag(EnvironmentId(own.environment()))
        left.set_tags(own.neutron.network, [tags.MADE, mark, tags.exposing_tag("ff")])

        wait_until(
            lambda: own.neutron.network.find_security_group(left.id) is None, "it is swept away", 30
        )

        for group in own.neutron_port(container).security_group_ids:
            assert own.neutron.network.get_security_group(group)
        assert len(own.neutron_port(container).security_group_ids) == 2


def test_port_security_off_takes_groups_off(stage: Stage) -> None:
    name = stage.create_network("-o", "kurier.port_security=false")

    port = stage.neutron_port(stage.run_container(name))

    assert not port.is_port_security_enabled
    assert port.security_group_ids == []


@pytest.fixture
def qos(stage: Stage) -> Any:
    policy = stage.neutron.network.create_qos_policy(
        name=stage.name("qos"), project_id=stage.project
    )
    stage.undo(lambda: stage.neutron.network.delete_qos_policy(policy.id))
    return policy


def test_qos_policy_of_the_network(stage: Stage, qos: Any) -> None:
    name = stage.create_network("-o", f"kurier.qos_policy={qos.name}")

    container = stage.run_container(name)

    assert stage.neutron_port(container).qos_policy_id == qos.id
    stage.remove_container(container)
    stage.settled()
