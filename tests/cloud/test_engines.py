# SPDX-License-Identifier: Apache-2.0
"""The main flow under each of the Docker engines that Kurier promises to serve."""

from __future__ import annotations

import pytest

from tests.cloud.faults.engines import engine_stage, of_engines
from tests.cloud.stage import Stage

__all__ = ["engine_stage"]
pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]


@pytest.fixture
def stage(engine_stage: Stage) -> Stage:
    return engine_stage


@of_engines("26.1", "28.5")
def test_two_containers_talk(stage: Stage) -> None:
    network = stage.create_network()
    first, second = stage.run_container(network), stage.run_container(network)
    stage.serve(second, 80)
    assert stage.pings(first, stage.ip_of(second))
    assert stage.fetches(first, stage.ip_of(second), 80)


def test_docker_and_neutron_say_the_same_of_a_container(stage: Stage) -> None:
    container = stage.run_container(stage.create_network())
    port = stage.neutron_port(container)
    assert [ip["ip_address"] for ip in port.fixed_ips] == [stage.ip_of(container)]
    assert port.binding_host_id == stage.machine.hostname
    inside = stage.exec(container, "cat", "/sys/class/net/eth0/address")
    assert inside == port.mac_address


def test_a_name_is_resolved_by_the_engines_own_dns(stage: Stage) -> None:
    network = stage.create_network()
    first = stage.run_container(network)
    second = stage.run_container(network, "--network-alias", "other")
    stage.serve(second, 80)
    assert stage.fetches(first, "other", 80)


def test_a_running_container_is_connected_and_disconnected(stage: Stage) -> None:
    near, far = stage.create_network(), stage.create_network()
    container, peer = stage.run_container(near), stage.run_container(far)
    stage.docker("network", "connect", far, container)
    assert stage.pings(container, stage.ip_of(peer))
    stage.docker("network", "disconnect", far, container)
    assert not stage.docker.attempt("exec", container, "ip", "link", "show", "eth1").stdout
    assert stage.exec(container, "ip", "link", "show", "eth0")


def test_the_address_and_mac_asked_for(stage: Stage) -> None:
    cidr = stage.cidr()
    network = stage.create_network(subnet=cidr)
    asked, mac = str(cidr[77]), "02:42:ac:11:65:43"
    container = stage.run_container(network, "--ip", asked, "--mac-address", mac)
    port = stage.neutron_port(container)
    assert (stage.ip_of(container), port.mac_address) == (asked, mac)
    peer = stage.run_container(network)
    assert stage.pings(peer, asked)


def test_both_families(stage: Stage) -> None:
    network = stage.create_network(
        "--ipv6", "--subnet", str(stage.cidr()), "--subnet", str(stage.cidr6())
    )
    first, second = stage.run_container(network), stage.run_container(network)
    for family in (4, 6):
        address = stage.ip_of(second, family=family)
        assert address in {ip["ip_address"] for ip in stage.neutron_port(second).fixed_ips}
        assert stage.pings(first, address)


def test_a_published_port_is_open_and_no_other(stage: Stage) -> None:
    """`-p` opens the container's port, for containers that its own groups would keep out."""
    closed = stage.make_group()
    network = stage.create_network("-o", f"kurier.security_groups={closed.id}")
    peer = stage.run_container(network)
    server = stage.run_container(network, "-p", "8080:80")
    stage.serve(server, 80, 81)
    stage.settled()
    assert stage.fetches(peer, stage.ip_of(server), 80)
    assert not stage.fetches(peer, stage.ip_of(server), 81)
    stage.remove_container(server, peer)


def test_groups_of_one_containers_own(stage: Stage) -> None:
    """Engines carry `--driver-opt` in different places of their calls."""
    network, group = stage.create_network(), stage.make_group()
    option = f"driver-opt=kurier.security_groups={group.id}"
    container = stage.run_container(f"name={network},{option}")
    assert stage.neutron_port(container, network).security_group_ids == [group.id]
    stage.remove_container(container)


def test_a_container_stops_and_starts_again(stage: Stage) -> None:
    network = stage.create_network()
    peer, container = stage.run_container(network), stage.run_container(network)
    stage.docker("stop", container)
    stage.settled()
    ports = stage.neutron.network.ports(network_id=stage.neutron_network(network).id)
    assert [port.name for port in ports if port.device_owner == "compute:kuryr"] == [peer]
    stage.docker("start", container)
    assert stage.pings(peer, stage.ip_of(container))


def test_an_error_is_one_sentence(stage: Stage) -> None:
    cidr = stage.cidr()
    network = stage.create_network(subnet=cidr)
    with stage.unchanged():
        said = stage.fail_container(network, "--ip", str(cidr[1]))
    assert f"Address {cidr[1]} is the gateway of {cidr}" in said


@of_engines("26.1", "28.5")
def test_nothing_is_left(stage: Stage) -> None:
    with stage.unchanged():
        network, other = stage.create_network(), stage.create_network()
        container = stage.run_container(network)
        stage.docker("network", "connect", other, container)
        stage.docker("stop", container)
        stage.docker("rm", container)
        stage.remove_network(network)
        stage.remove_network(other)
