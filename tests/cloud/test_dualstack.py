# SPDX-License-Identifier: Apache-2.0
"""Both families, end to end: in Neutron, in `docker inspect`, and on the wire."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest

from tests.cloud.stage import Stage

Dual = tuple[str, IPv4Network, IPv6Network]


@pytest.fixture
def dual(stage: Stage) -> Dual:
    four, six = stage.cidr(), stage.cidr6()
    name = stage.create_network("--ipv6", "--subnet", str(four), "--subnet", str(six))
    return name, four, six


def test_one_port_has_both_addresses_and_both_answer(stage: Stage, dual: Dual) -> None:
    name, _, _ = dual
    one, two = stage.run_container(name), stage.run_container(name)
    stage.serve(two, 80)

    port = stage.neutron_port(two)
    addresses = {stage.ip_of(two), stage.ip_of(two, family=6)}
    assert {ip["ip_address"] for ip in port.fixed_ips} == addresses
    for address in addresses:
        assert stage.pings(one, address)
        assert stage.fetches(one, address, 80)
    assert "default via" in stage.exec(one, "ip", "-6", "route")


def test_both_addresses_asked_for_are_given(stage: Stage, dual: Dual) -> None:
    name, four, six = dual

    both = stage.run_container(name, "--ip", str(four[50]), "--ip6", str(six[50]))
    only_six = stage.run_container(name, "--ip6", str(six[51]))

    port = stage.neutron_port(both)
    assert {ip["ip_address"] for ip in port.fixed_ips} == {str(four[50]), str(six[50])}
    assert stage.ip_of(only_six, family=6) == str(six[51])
    assert len(stage.neutron_port(only_six).fixed_ips) == 2


def test_many_starts_at_once_never_mix_addresses(stage: Stage, dual: Dual) -> None:
    from concurrent.futures import ThreadPoolExecutor

    name, _, _ = dual
    with stage.unchanged(), ThreadPoolExecutor(4) as workers:
        containers = list(workers.map(lambda _: stage.run_container(name), range(6)))
        for container in containers:
            port = stage.neutron_port(container)
            assert {ip["ip_address"] for ip in port.fixed_ips} == {
                stage.ip_of(container),
                stage.ip_of(container, family=6),
            }
        stage.remove_container(*containers)
