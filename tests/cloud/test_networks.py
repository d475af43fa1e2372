# SPDX-License-Identifier: Apache-2.0
"""`docker network create` makes what it says in Neutron, and `docker network rm` takes it away."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from tests.cloud.stage import Stage


def test_network_and_subnet_are_made_tagged_and_taken_away(stage: Stage) -> None:
    cidr = stage.cidr()
    with stage.unchanged():
        name = stage.create_network("--gateway", str(cidr[254]), subnet=cidr)
        identity = stage.docker.inspect("network", name)["Id"]
        network = stage.neutron_network(name)
        (subnet,) = stage.neutron_subnets(network.id)
        stage.remove_network(name)

    assert network.name == f"kuryr-net-{identity[:8]}"
    assert identity in network.description
    assert {f"kuryr.net.uuid.lh:{identity[:32]}", f"kuryr.net.uuid.uh:{identity[32:]}"} <= set(
        network.tags
    )
    assert (subnet.cidr, subnet.gateway_ip) == (str(cidr), str(cidr[254]))
    assert subnet.name == f"kuryr-subnet-{cidr}"


def test_tags_are_as_short_as_old_clouds_want_them(stage: Stage) -> None:
    name = stage.create_network()

    network = stage.neutron_network(name)
    (subnet,) = stage.neutron_subnets(network.id)

    assert all(len(tag) <= 60 for tag in (*network.tags, *subnet.tags))


def test_gateway_nobody_named_is_the_first_address(stage: Stage) -> None:
    cidr = stage.cidr()

    name = stage.create_network(subnet=cidr)

    (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
    assert subnet.gateway_ip == str(cidr[1])


def test_ip_range_is_the_allocation_pool(stage: Stage) -> None:
    cidr = stage.cidr()
    narrow = ip_network(f"{cidr[64]}/27")
    name = stage.create_network("--ip-range", str(narrow), subnet=cidr)

    container = stage.run_container(name)

    (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
    for pool in subnet.allocation_pools:
        assert ip_address(pool["start"]) in narrow
        assert ip_address(pool["end"]) in narrow
    assert ip_address(stage.ip_of(container)) in narrow


def test_auxiliary_address_is_kept_out_of_the_pool(stage: Stage) -> None:
    cidr = stage.cidr()
    name = stage.create_network("--aux-address", f"router={cidr[10]}", subnet=cidr)

    sentence = stage.fail_container(name, "--ip", str(cidr[10]))

    (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
    inside = [
        IPv4Address(pool["start"]) <= cidr[10] <= IPv4Address(pool["end"])
        for pool in subnet.allocation_pools
    ]
    assert not any(inside)
    assert f"{cidr[10]} is kept out by --aux-address" in sentence


def test_internal_network_has_no_gateway(stage: Stage) -> None:
    name = stage.create_network("--internal")

    container = stage.run_container(name)

    (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
    assert subnet.gateway_ip is None
    assert "default" not in stage.exec(container, "ip", "route")


def test_container_has_neutrons_mtu_and_the_subnets_gateway_and_one_interface(
    stage: Stage, lan: str
) -> None:
    container = stage.run_container(lan)

    network = stage.neutron_network(lan)
    (subnet,) = stage.neutron_subnets(network.id)
    assert f"mtu {network.mtu} " in stage.exec(container, "ip", "link", "show", "eth0")
    assert f"default via {subnet.gateway_ip}" in stage.exec(container, "ip", "route")
    assert "eth1" not in stage.exec(container, "ip", "link")


def test_two_networks_may_have_the_same_range(stage: Stage) -> None:
    cidr = stage.cidr()
    with stage.unchanged():
        one, two = stage.create_network(subnet=cidr), stage.create_network(subnet=cidr)
        address = str(cidr[77])
        here, there = (stage.run_container(net, "--ip", address) for net in (one, two))
        peer = stage.run_container(two)
        assert stage.pings(peer, address)
        stage.remove_container(here)
        assert stage.pings(peer, address)
        assert stage.neutron_network(one).id != stage.neutron_network(two).id
        stage.remove_container(there, peer)
        stage.remove_network(one)
        stage.remove_network(two)


def test_shared_network_is_shared_in_neutron(stage: Stage) -> None:
    name = stage.create_network("-o", "neutron.net.shared=true")

    assert stage.neutron_network(name).is_shared


def test_network_without_ipv4(stage: Stage) -> None:
    if int(stage.docker("version", "--format", "{{.Server.Version}}").partition(".")[0]) < 28:
        pytest.skip("this engine makes no network without IPv4")
    cidr = stage.cidr6()
    name = stage.create_network("--ipv4=false", "--ipv6", "--subnet", str(cidr))

    one, two = stage.run_container(name), stage.run_container(name)

    assert stage.ip_of(one) == ""
    assert stage.pings(one, stage.ip_of(two, family=6))
