# SPDX-License-Identifier: Apache-2.0
"""Two engines, which know nothing of each other, on one Neutron network: who leaves takes away
what is his alone, and the last one out removes what Kurier made.
"""

from __future__ import annotations

import subprocess

import pytest

from tests.cloud.stage import Stage

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]


def tags_of(stage: Stage, network_id: str) -> set[str]:
    return set(stage.neutron.network.get_network(network_id).tags)


def test_the_maker_leaves_first(stage: Stage, second_stage: Stage) -> None:
    """The network that one engine made stays, and works, while the other has it."""
    cidr = stage.cidr()
    before = stage.snapshot()
    there = stage.create_network(subnet=cidr)
    network = stage.neutron_network(there)
    made = tags_of(stage, network.id)
    here = second_stage.attach(network.id, cidr)
    both = tags_of(stage, network.id)

    stage.remove_network(there)
    stage.settled()

    left = tags_of(stage, network.id)
    assert both - left == made - {"kurier.made"}
    first, second = second_stage.run_container(here), second_stage.run_container(here)
    assert second_stage.pings(first, second_stage.ip_of(second))

    second_stage.remove_container(first, second)
    second_stage.remove_network(here)
    second_stage.settled()
    assert stage.neutron.network.find_network(network.id) is None
    stage.nothing_left(before)


def test_the_guest_leaves_first(stage: Stage, second_stage: Stage) -> None:
    """The guest's leaving is not seen by the maker: same tags, same subnet, same traffic."""
    cidr = stage.cidr()
    there = stage.create_network(subnet=cidr)
    first, second = stage.run_container(there), stage.run_container(there)
    network = stage.neutron_network(there)
    made = tags_of(stage, network.id)
    stage.settled()
    subnets = [(one.id, sorted(one.tags)) for one in stage.neutron_subnets(network.id)]

    with second_stage.unchanged():
        here = second_stage.attach(network.id, cidr)
        guest = second_stage.run_container(here)
        assert stage.pings(first, second_stage.ip_of(guest))
        second_stage.remove_container(guest)
        second_stage.remove_network(here)

    assert tags_of(stage, network.id) == made
    assert [(one.id, sorted(one.tags)) for one in stage.neutron_subnets(network.id)] == subnets
    assert stage.pings(first, stage.ip_of(second))


def test_somebody_elses_network_outlives_both(stage: Stage, second_stage: Stage) -> None:
    """Both adopt an operator's network; it has the operator's tags, and those alone, when both
    have left.
    """
    cidr = stage.cidr()
    network = stage.make_network(cidr)
    stage.neutron.network.set_tags(network, ["theirs", "kept:for=us"])
    (subnet,) = stage.neutron_subnets(network.id)
    there, here = stage.attach(network.id, cidr), second_stage.attach(network.id, cidr)
    first, second = stage.run_container(there), second_stage.run_container(here)
    assert stage.pings(first, second_stage.ip_of(second))

    stage.remove_container(first)
    stage.remove_network(there)
    guest = second_stage.run_container(here)
    assert second_stage.pings(guest, second_stage.ip_of(second))
    second_stage.remove_container(guest, second)
    second_stage.remove_network(here)

    for one in (stage, second_stage):
        one.settled()
    assert tags_of(stage, network.id) == {"theirs", "kept:for=us"}
    (after,) = stage.neutron_subnets(network.id)
    assert (after.id, after.tags) == (subnet.id, [])
    owners = [port.device_owner for port in stage.neutron.network.ports(network_id=network.id)]
    assert [owner for owner in owners if not owner.startswith("network:")] == []


def test_a_subnet_of_the_guests_making_goes_with_the_guest(
    stage: Stage, second_stage: Stage
) -> None:
    """A range that the network lacks is made for whoever asks, and goes when he goes."""
    there = stage.create_network()
    network = stage.neutron_network(there)
    with second_stage.unchanged():
        here = second_stage.attach(network.id, second_stage.cidr())
        assert len(stage.neutron_subnets(network.id)) == 2
        second_stage.remove_network(here)
    assert len(stage.neutron_subnets(network.id)) == 1


def test_leaving_at_once_leaves_nothing(stage: Stage, second_stage: Stage) -> None:
    """Whoever is last is decided by Neutron, not by luck."""
    cidr = stage.cidr()
    there = stage.create_network(subnet=cidr)
    network = stage.neutron_network(there)
    here = second_stage.attach(network.id, cidr)
    leaving = [
        [*one.machine.docker_command, "network", "rm", name]
        for one, name in ((stage, there), (second_stage, here))
    ]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in leaving]
    assert [process.wait(60) for process in running] == [0, 0]
    for one in (stage, second_stage):
        one.settled()
    assert stage.neutron.network.find_network(network.id) is None
