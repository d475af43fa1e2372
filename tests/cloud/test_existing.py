# SPDX-License-Identifier: Apache-2.0
"""Networks and subnets that were there before: used as they are, and left as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.api import Cloud
from tests.cloud.stage import Stage, wait_until


@pytest.mark.parametrize("by", ["name", "uuid"])
def test_network_and_subnet_are_used_and_left_as_they_were(stage: Stage, by: str) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network(cidr)
    value = theirs.name if by == "name" else theirs.id

    with stage.unchanged():
        name = stage.create_network("-o", f"neutron.net.{by}={value}", subnet=cidr)
        container = stage.run_container(name)
        assert stage.neutron_network(name).id == theirs.id
        assert stage.neutron_port(container).network_id == theirs.id
        stage.remove_container(container)
        stage.remove_network(name)


def test_tags_and_machines_added_meanwhile_stay_and_ours_go(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network(cidr)
    (subnet,) = stage.neutron_subnets(theirs.id)
    stage.neutron.network.set_tags(theirs, ["before", "kuryr.net.existing"])
    stage.neutron.network.set_tags(subnet, ["subnet-before"])

    name = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    theirs.add_tag(stage.neutron.network, "meanwhile")
    machine = stage.make_port(theirs.id, device_owner="compute:nova", device_id="a-vm")
    stage.remove_network(name)
    stage.settled()

    network = stage.neutron.network.get_network(theirs.id)
    (subnet,) = stage.neutron_subnets(theirs.id)
    assert sorted(network.tags) == ["before", "kuryr.net.existing", "meanwhile"]
    assert subnet.tags == ["subnet-before"]
    assert stage.neutron.network.get_port(machine.id).device_id == "a-vm"


def test_subnet_that_the_network_lacks_is_made_and_is_ours(stage: Stage) -> None:
    there, lacking = stage.cidr(), stage.cidr()
    theirs = stage.make_network(there)

    with stage.unchanged():
        name = stage.create_network("-o", f"neutron.net.name={theirs.name}", subnet=lacking)
        assert {one.cidr for one in stage.neutron_subnets(theirs.id)} == {str(there), str(lacking)}
        stage.remove_network(name)


def test_made_subnet_that_a_machine_uses_is_left_standing(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network()
    name = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    stage.make_port(theirs.id, str(cidr[9]), device_owner="compute:nova", device_id="a-vm")

    stage.remove_network(name)
    stage.settled()

    (subnet,) = stage.neutron_subnets(theirs.id)
    assert subnet.tags == []
    assert stage.neutron.network.get_network(theirs.id).tags == []


@pytest.mark.parametrize("by", ["name", "uuid"])
def test_subnet_named_gives_its_network_and_its_range(stage: Stage, by: str) -> None:
    theirs = stage.make_network()
    subnet = stage.make_subnet(theirs.id, stage.cidr())
    stage.make_subnet(theirs.id, stage.cidr())
    value = subnet.name if by == "name" else subnet.id

    with stage.unchanged():
        name = stage.create_network("--ipam-opt", f"neutron.subnet.{by}={value}", subnet=None)
        stage_range = stage.docker.inspect("network", name)["IPAM"]["Config"][0]
        assert stage.neutron_network(name).id == theirs.id
        stage.remove_network(name)

    assert stage_range["Subnet"] == subnet.cidr
    assert stage_range["Gateway"].partition("/")[0] == subnet.gateway_ip


def test_range_of_the_network_named_need_not_be_given(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network(cidr)

    name = stage.create_network("--ipam-opt", f"neutron.net.uuid={theirs.id}", subnet=None)

    assert stage.neutron_network(name).id == theirs.id
    assert stage.docker.inspect("network", name)["IPAM"]["Config"][0]["Subnet"] == str(cidr)


@pytest.mark.parametrize("by", ["name", "uuid"])
def test_ipv6_subnet_named_is_used(stage: Stage, by: str) -> None:
    four, six = stage.cidr(), stage.cidr6()
    theirs = stage.make_network()
    stage.make_subnet(theirs.id, four)
    subnet = stage.make_subnet(theirs.id, six)
    value = subnet.name if by == "name" else subnet.id

    with stage.unchanged():
        name = stage.create_network(
            *("-o", f"neutron.net.uuid={theirs.id}"),
            *("-o", f"neutron.subnet.v6.{by}={value}", "--ipv6"),
            *("--subnet", str(four), "--subnet", str(six)),
        )
        container = stage.run_container(name)
        port = stage.neutron_port(container)
        stage.remove_container(container)
        stage.remove_network(name)

    assert {ip["subnet_id"] for ip in port.fixed_ips} >= {subnet.id}
    assert len(port.fixed_ips) == 2


def test_gateway_of_the_subnet_there_is_taken(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network()
    stage.make_subnet(theirs.id, cidr, gateway_ip=str(cidr[200]))

    name = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    container = stage.run_container(name)

    assert f"default via {cidr[200]}" in stage.exec(container, "ip", "route")


def test_host_routes_of_the_subnet_reach_the_container(stage: Stage) -> None:
    cidr, far = stage.cidr(), stage.cidr()
    theirs = stage.make_network()
    route = {"destination": str(far), "nexthop": str(cidr[3])}
    stage.make_subnet(theirs.id, cidr, host_routes=[route])
    name = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)

    container = stage.run_container(name)

    assert f"{far} via {cidr[3]}" in stage.exec(container, "ip", "route")


def test_auxiliary_address_in_a_subnet_there_is_kept_by_a_port(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network(cidr)
    with stage.unchanged():
        name = stage.create_network(
            *("-o", f"neutron.net.uuid={theirs.id}", "--aux-address", f"a={cidr[7]}"), subnet=cidr
        )
        (port,) = stage.neutron.network.ports(
            network_id=theirs.id, fixed_ips=f"ip_address={cidr[7]}"
        )
        stage.remove_network(name)

    assert port.name == f"kuryr-aux-{cidr[7]}"


def test_two_docker_networks_on_one_neutron_network_leave_each_other_alone(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network(cidr)
    with stage.unchanged():
        option = ("-o", f"neutron.net.uuid={theirs.id}")
        one, two = (stage.create_network(*option, subnet=cidr) for _ in range(2))
        here, there = stage.run_container(one), stage.run_container(two)
        assert stage.pings(here, stage.ip_of(there))
        stage.remove_container(here)
        stage.remove_network(one)
        late = stage.run_container(two)
        assert stage.pings(late, stage.ip_of(there))
        stage.remove_container(there, late)
        stage.remove_network(two)


def test_made_network_that_another_docker_network_joined_goes_with_the_last(stage: Stage) -> None:
    cidr = stage.cidr()
    with stage.unchanged():
        one = stage.create_network(subnet=cidr)
        made = stage.neutron_network(one)
        two = stage.create_network("-o", f"neutron.net.uuid={made.id}", subnet=cidr)
        stage.remove_network(one)
        stage.settled()
        container = stage.run_container(two)
        assert stage.neutron_port(container).network_id == made.id
        stage.remove_container(container)
        stage.remove_network(two)


@pytest.mark.local_cloud
def test_made_network_that_a_machine_uses_is_left_standing_and_the_user_told(
    stage: Stage, cloud: Cloud
) -> None:
    """The engine drops a driver's answer to DeleteNetwork into its own log."""
    name = stage.create_network()
    made = stage.neutron_network(name)
    identity = stage.docker.inspect("network", name)["Id"]
    stage.undo(lambda: stage.delete_neutron_network(made.id))
    machine = stage.make_port(made.id, device_owner="compute:nova", device_id="a-vm")
    log = _engine_log(stage)
    seen = len(log.read_text(errors="replace"))

    said = stage.docker.attempt("network", "rm", name)
    stage.settled()

    left = stage.neutron.network.get_network(made.id)
    (subnet,) = stage.neutron_subnets(made.id)
    sentence = f"{made.id}) is left standing, since port {machine.id}"
    assert (left.tags, subnet.tags) == ([], [])
    assert sentence in stage.daemon.admin()["left_standing"][identity]
    wait_until(
        lambda: sentence in said.stderr + log.read_text(errors="replace")[seen:],
        "the user is told",
        5,
    )


def _engine_log(stage: Stage) -> Path:
    service: Any = stage.machine.service("dockerd")  # type: ignore[attr-defined]
    log: Path = service.log
    return log
