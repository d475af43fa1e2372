# SPDX-License-Identifier: Apache-2.0
"""Each way it can go wrong: one clear sentence from `docker`, and all is as before."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from localcloud.api import MEMBER_CLOUD, Cloud
from tests.cloud.conftest import OwnStage
from tests.cloud.faults.clouds import spoil
from tests.cloud.stage import Stage
from tests.cloud.stage.sentences import is_one_sentence

_NOBODY = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (f"neutron.net.uuid={_NOBODY}", _NOBODY),
        ("neutron.net.name=nobodys-network", "no network named nobodys-network"),
        ("neutron.net.uuid=xyz", "neutron.net.uuid=xyz is not a UUID"),
        ("neutron.net.nmae=x", "did you mean neutron.net.name?"),
        ("neutron.net.shared=perhaps", "neutron.net.shared=perhaps is neither true nor false"),
        (f"neutron.subnet.uuid={_NOBODY}", _NOBODY),
        ("neutron.pool.name=nobodys-pool", "no subnet pool named nobodys-pool"),
        ("kurier.security_groups=nobodys-group", "no security group named nobodys-group"),
        ("kurier.qos_policy=nobodys-qos", "no QoS policy named nobodys-qos"),
    ],
)
def test_wrong_option(stage: Stage, option: str, sentence: str) -> None:
    with stage.unchanged():
        said = stage.fail_network("--subnet", str(stage.cidr()), "-o", option)

    assert sentence in said
    assert is_one_sentence(said)


def test_name_of_two_networks_lists_both(stage: Stage) -> None:
    name = stage.name("twice")
    one, two = stage.make_network(name=name), stage.make_network(name=name)

    with stage.unchanged():
        said = stage.fail_network("--subnet", str(stage.cidr()), "-o", f"neutron.net.name={name}")

    assert one.id in said
    assert two.id in said
    assert "neutron.net.uuid=" in said


def test_names_of_two_subnets_pools_or_groups_list_both(stage: Stage) -> None:
    name, theirs = stage.name("twice"), stage.make_network()
    twice = {
        "neutron.subnet.name": [
            stage.make_subnet(theirs.id, stage.cidr(), name=name).id for _ in range(2)
        ],
        "neutron.pool.name": [stage.make_subnet_pool(stage.cidr(), name=name).id for _ in range(2)],
        "kurier.security_groups": [stage.make_group(name=name).id for _ in range(2)],
    }
    for option, both in twice.items():
        with stage.unchanged():
            said = stage.fail_network("--subnet", str(stage.cidr()), "-o", f"{option}={name}")

        assert all(one in said for one in both)
        assert is_one_sentence(said)


def test_subnet_of_another_network(stage: Stage) -> None:
    cidr = stage.cidr()
    one, two = stage.make_network(), stage.make_network()
    subnet = stage.make_subnet(two.id, cidr)

    with stage.unchanged():
        said = stage.fail_network(
            *("--subnet", str(cidr), "-o", f"neutron.net.uuid={one.id}"),
            *("-o", f"neutron.subnet.uuid={subnet.id}"),
        )

    assert f"is not on network {one.name}" in said


def test_addresses_that_cannot_be_had(stage: Stage) -> None:
    cidr = stage.cidr()
    name = stage.create_network(subnet=cidr)
    holder = stage.run_container(name, "--ip", str(cidr[20]))
    network = stage.neutron_network(name)
    foreign = stage.make_port(network.id, str(cidr[21]), device_owner="compute:nova", device_id="x")
    stage.settled()

    with stage.unchanged():
        by_container = stage.fail_container(name, "--ip", str(cidr[20]))
        by_machine = stage.fail_container(name, "--ip", str(cidr[21]))
        gateway = stage.fail_container(name, "--ip", str(cidr[1]))
        outside = stage.fail_container(name, "--ip", "10.9.9.9")

    assert f"{cidr[20]} is already in use by container {holder}" in by_container
    assert f"{cidr[21]} is already in use by Neutron port {foreign.id}" in by_machine
    assert f"{cidr[1]} is the gateway" in gateway
    assert "10.9.9.9" in outside
    assert all(map(is_one_sentence, (by_container, by_machine, gateway)))
    stage.neutron.network.delete_port(foreign.id)


def test_subnet_that_is_full(stage: Stage) -> None:
    tiny = ip_network(f"{stage.cidr()[0]}/29")
    name = stage.create_network(subnet=tiny)
    network = stage.neutron_network(name)
    ports = []
    for address in list(tiny.hosts())[1:]:
        held = f"ip_address={address}"
        if not list(stage.neutron.network.ports(network_id=network.id, fixed_ips=held)):
            ports.append(stage.make_port(network.id, str(address)))

    with stage.unchanged():
        said = stage.fail_container(name)

    assert "no free address" in said or "no address left" in said or "full" in said
    assert is_one_sentence(said)
    for port in ports:
        stage.neutron.network.delete_port(port.id)


@pytest.mark.local_cloud
def test_wrong_credentials(own_stage: OwnStage, cloud: Cloud, tmp_path: Path) -> None:
    with own_stage(start=False) as stage:
        spoil(stage, cloud, tmp_path, lambda one: one["auth"].update(password="wrong"))
        stage.daemon.start()
        with stage.unchanged():
            said = stage.fail_network("--subnet", str(stage.cidr()))

    assert "wrong" not in said.replace("wrong password", "")
    assert "Keystone" in said or "credentials" in said
    assert is_one_sentence(said)


@pytest.mark.alone
@pytest.mark.local_cloud
def test_network_quota(own_stage: OwnStage, stage: Stage, cloud: Cloud) -> None:
    project = next(iter(stage.neutron.list_projects(name_or_id="kurier-demo"))).id
    used = len(list(stage.neutron.network.networks(project_id=project)))
    stage.neutron.network.update_quota(project, networks=used)
    stage.undo(lambda: stage.neutron.network.delete_quota(project))

    with own_stage(cloud=MEMBER_CLOUD) as member, member.unchanged():
        said = member.fail_network("--subnet", str(member.cidr()))

    assert "quota" in said.lower()
    assert is_one_sentence(said)


@pytest.mark.alone
@pytest.mark.local_cloud
def test_neutron_down(stage: Stage, cloud: Cloud) -> None:
    before = stage.snapshot()
    service = cloud.service("neutron")
    service.stop()
    try:
        said = stage.fail_network("--subnet", str(stage.cidr()))
    finally:
        service.start()

    assert "Neutron" in said
    assert is_one_sentence(said)
    stage.nothing_left(before, 60)
