# SPDX-License-Identifier: Apache-2.0
"""Two hosts, each with an engine, a switch and a Kurier of its own, on one Neutron network."""

from __future__ import annotations

import pytest

from tests.cloud.stage import Stage

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]


def test_containers_of_two_hosts_talk_through_the_tunnel(stage: Stage, second_stage: Stage) -> None:
    """Ping and TCP, both ways: the hosts share nothing but Neutron's network."""
    cidr = stage.cidr()
    there = stage.create_network(subnet=cidr)
    network = stage.neutron_network(there)
    here = second_stage.attach(network.id, cidr)
    first = stage.run_container(there)
    second = second_stage.run_container(here)
    stage.serve(first, 80)
    second_stage.serve(second, 80)

    assert stage.pings(first, second_stage.ip_of(second))
    assert second_stage.pings(second, stage.ip_of(first))
    assert stage.fetches(first, second_stage.ip_of(second), 80)
    assert second_stage.fetches(second, stage.ip_of(first), 80)


def test_a_full_size_packet_crosses_the_tunnel(stage: Stage, second_stage: Stage) -> None:
    """The network's MTU leaves room for Geneve: a packet of exactly that size is not cut."""
    cidr = stage.cidr()
    there = stage.create_network(subnet=cidr)
    network = stage.neutron_network(there)
    first = stage.run_container(there)
    second = second_stage.run_container(second_stage.attach(network.id, cidr))
    payload = str(network.mtu - 28)
    assert stage.pings(first, second_stage.ip_of(second), "-s", payload)


def test_neutron_has_each_port_on_its_containers_host(stage: Stage, second_stage: Stage) -> None:
    cidr = stage.cidr()
    there = stage.create_network(subnet=cidr)
    here = second_stage.attach(stage.neutron_network(there).id, cidr)
    first = stage.run_container(there)
    second = second_stage.run_container(here)

    ports = [stage.neutron_port(first), second_stage.neutron_port(second)]
    assert [port.binding_host_id for port in ports] == [
        stage.machine.hostname,
        second_stage.machine.hostname,
    ]
    stage.await_active(*ports)
    assert [f"kurier.host:{port.binding_host_id}" in port.tags for port in ports] == [True, True]


def test_an_address_of_the_other_host_is_refused(stage: Stage, second_stage: Stage) -> None:
    """Neutron alone knows what the other host's containers have."""
    cidr = stage.cidr()
    there = stage.create_network(subnet=cidr)
    here = second_stage.attach(stage.neutron_network(there).id, cidr)
    taken = stage.ip_of(stage.run_container(there))
    stage.settled()
    with second_stage.unchanged():
        said = second_stage.fail_container(here, "--ip", taken)
    assert f"Address {taken} is already in use" in said
