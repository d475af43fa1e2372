# SPDX-License-Identifier: Apache-2.0
"""A tenant with the role `member`: all that Neutron's policy allows, and the policy's name else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from localcloud.api import MEMBER_CLOUD, Cloud
from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage

pytestmark = [
    pytest.mark.local_cloud,
    pytest.mark.alone,
    pytest.mark.usefixtures("own_policy"),
]


@pytest.fixture
def member(own_stage: OwnStage) -> Iterator[Stage]:
    with own_stage(cloud=MEMBER_CLOUD) as stage:
        yield stage


@pytest.fixture
def allowed(cloud: Cloud, own_policy: None) -> None:
    rules = (
        "create_port:binding:host_id",
        "update_port:binding:host_id",
        "get_port:binding:host_id",
    )
    details = ("get_port:binding:vif_type", "get_port:binding:vif_details")
    cloud.set_policy(dict.fromkeys((*rules, *details), "role:member"))


def test_policy_that_forbids_is_named(member: Stage) -> None:
    name = member.create_network()

    with member.unchanged():
        said = member.fail_container(name)

    assert "create_port:binding:host_id" in said


def test_networks_need_no_policy(member: Stage) -> None:
    with member.unchanged():
        name = member.create_network()
        assert member.neutron_network(name).project_id
        member.remove_network(name)


def test_containers_talk_where_the_policy_allows(allowed: None, member: Stage) -> None:
    with member.unchanged():
        name = member.create_network()
        one = member.run_container(name, "--expose", "80")
        two = member.run_container(name)
        assert member.pings(two, member.ip_of(one))
        member.settled()
        assert member.neutron_port(one).name == one
        member.remove_container(one, two)
        member.remove_network(name)


def test_whether_a_host_lives_is_not_told_to_a_tenant(allowed: None, member: Stage) -> None:
    """Neutron's default policy leaves agents out of a tenant's list."""
    container = member.run_container(member.create_network())
    (row,) = [one for one in member.daemon.told("host", "list") if one["here"]]
    assert (row["host"], row["leased"], row["alive"]) == (member.machine.hostname, 1, "unknown")
    member.remove_container(container)
    said = member.daemon.kurier("host", "forget", "no-such-host")
    assert "whether it is alive is not known" in said.stdout
    assert "There is nothing to take away" in said.stdout
