# SPDX-License-Identifier: Apache-2.0
"""Families, gateways and ways out, under the oldest and the newest engine."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.cloud.conftest import Troupe
from tests.cloud.faults.engines import running_engine
from tests.cloud.stage import Stage, wait_until

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]


@pytest.fixture(scope="module", params=[pytest.param("20.10", marks=pytest.mark.long), "28.5"])
def stage(request: pytest.FixtureRequest, second_troupe: Troupe) -> Iterator[Stage]:
    with running_engine(second_troupe, request.param) as stage:
        yield stage


def links(stage: Stage, container: str) -> set[str]:
    """The container's Ethernet interfaces, as engines name them."""
    return {
        name
        for name in stage.exec(container, "ls", "/sys/class/net").split()
        if name.startswith("eth")
    }


def default_route(stage: Stage, container: str, family: str = "-4") -> str:
    return stage.exec(container, "ip", family, "route", "show", "default")


def bridge(stage: Stage) -> str:
    """A network of Docker's own bridge driver."""
    name = stage.name("bridge")
    stage.docker("network", "create", "--subnet", str(stage.cidr()), name)
    stage.undo(lambda: stage.docker("network", "rm", name, check=False))
    return name


def test_a_network_of_ipv6_alone(stage: Stage) -> None:
    version = stage.docker("version", "--format", "{{.Server.Version}}")
    if version.startswith("20.10"):
        pytest.skip("Docker 20.10 gives every network an IPv4 range")
    network = stage.create_network("--ipv4=false", "--ipv6", "--subnet", str(stage.cidr6()))
    first, second = stage.run_container(network), stage.run_container(network)

    address = stage.ip_of(second, family=6)
    (fixed,) = stage.neutron_port(second).fixed_ips
    assert fixed["ip_address"] == address
    assert not stage.ip_of(second)
    assert stage.pings(first, address)
    assert "default via" in default_route(stage, first, "-6")
    assert links(stage, first) == {"eth0"}


def test_an_internal_network_has_no_way_out(stage: Stage) -> None:
    network = stage.create_network("--internal")
    first, second = stage.run_container(network), stage.run_container(network)

    assert stage.pings(first, stage.ip_of(second))
    assert not default_route(stage, first)
    assert links(stage, first) == {"eth0"}


def test_a_subnet_without_gateway_has_no_way_out(stage: Stage) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network()
    stage.make_subnet(theirs.id, cidr, gateway_ip=None)
    network = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    first, second = stage.run_container(network), stage.run_container(network)

    assert stage.pings(first, stage.ip_of(second))
    assert not default_route(stage, first)
    assert links(stage, first) == {"eth0"}


def test_no_gateway_bridge_beside_a_kurier_network(stage: Stage) -> None:
    network = stage.create_network()
    container = stage.run_container(network)

    assert links(stage, container) == {"eth0"}
    gateway = stage.endpoint(container)["Gateway"]
    assert f"via {gateway} dev eth0" in default_route(stage, container)


def test_a_way_out_through_the_host_where_it_is_wanted(stage: Stage) -> None:
    """Docker adds its own bridge to a container that has no gateway, if the network lets it."""
    stage.undo(lambda: stage.machine.run(["ip", "link", "del", "docker_gwbridge"], check=False))
    stage.undo(lambda: stage.docker("network", "rm", "docker_gwbridge", check=False))
    cidr = stage.cidr()
    theirs = stage.make_network()
    stage.make_subnet(theirs.id, cidr, gateway_ip=None)
    options = ("-o", f"neutron.net.uuid={theirs.id}", "-o", "kurier.gateway_service=true")
    container = stage.run_container(stage.create_network(*options, subnet=cidr))

    assert links(stage, container) == {"eth0", "eth1"}
    gateway = stage.docker.inspect("network", "docker_gwbridge")["IPAM"]["Config"][0]["Gateway"]
    assert f"via {gateway} dev eth1" in default_route(stage, container)


@pytest.mark.parametrize("order", ["bridge first", "kurier first"])
def test_beside_a_bridge_network_one_default_route_works(stage: Stage, order: str) -> None:
    ours, theirs = stage.create_network(), bridge(stage)
    peer = stage.run_container(ours)
    first, second = (theirs, ours) if order == "bridge first" else (ours, theirs)
    container = stage.run_container(first)
    stage.docker("network", "connect", second, container)

    assert stage.pings(container, stage.ip_of(peer))
    assert links(stage, container) == {"eth0", "eth1"}
    (route,) = default_route(stage, container).splitlines()
    gateways = {stage.endpoint(container, name)["Gateway"] for name in (ours, theirs)}
    assert route.split()[2] in gateways
    stage.docker("network", "disconnect", theirs, container)
    assert f"via {stage.endpoint(container, ours)['Gateway']} " in default_route(stage, container)


def test_both_addresses_of_a_dual_stack_port_are_bound_at_once(stage: Stage) -> None:
    network = stage.create_network(
        "--ipv6", "--subnet", str(stage.cidr()), "--subnet", str(stage.cidr6())
    )
    peer, server = stage.run_container(network), stage.run_container(network)
    addresses = {stage.ip_of(server), stage.ip_of(server, family=6)}

    fixed = {ip["ip_address"] for ip in stage.neutron_port(server).fixed_ips}
    assert {ip_address(one) for one in fixed} == {ip_address(one) for one in addresses}
    for address in sorted(addresses):
        at = f"[{address}]:80" if ":" in address else f"{address}:80"
        stage.docker("exec", "-d", server, "httpd", "-f", "-p", at, "-h", "/www")
    wait_until(
        lambda: all(stage.fetches(peer, address, 80) for address in addresses),
        "both addresses are bound and answer at once",
        30,
    )
