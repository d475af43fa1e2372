# SPDX-License-Identifier: Apache-2.0
"""Who shares a Neutron network comes and goes at the same moment: hosts of one environment, as a
Swarm has them, and environments that know nothing of each other.

`KURIER_TEST_RACES` is how often each race is run (2 where it is not set, 6 with `--long`).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from openstack.connection import Connection

from kurier.model import tags
from kurier.model.ids import DockerNetworkId, EnvironmentId
from localcloud.api import Cloud
from tests.cloud.conftest import HOST, SECOND_HOST, THIRD_HOST, further_host
from tests.cloud.stage import wait_until
from tests.cloud.stage.racers import Racer, at_once, racer, swarm_id
from tests.speed import LONG

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]
RACES = int(os.environ.get("KURIER_TEST_RACES", "6" if LONG else "2"))
ENVIRONMENT = "kt-races"


@pytest.fixture(scope="module")
def racers(cloud: Cloud) -> Iterator[list[Racer]]:
    """Three daemons of one environment, each on a host of its own."""
    hosts = [further_host(cloud, name) for name in (HOST, SECOND_HOST, THIRD_HOST)]
    running = [racer(host, "kurier-local", ENVIRONMENT) for host in hosts]
    for one in running:
        one.daemon.start()
    yield running
    for one in running:
        one.daemon.stop()


def left(neutron: Connection, network: str) -> list[str]:
    """Every Neutron network made for an engine network, by name."""
    key = f"Kurier: Docker network {network} of environment {ENVIRONMENT}"
    return [one.name for one in neutron.network.networks(description=key)]


def settle(racers: list[Racer]) -> None:
    for one in racers:
        wait_until(one.settled, "every daemon has told Neutron all", 40)


def attendants(neutron: Connection, network_id: str, network: str) -> int:
    """How many hosts the network's tags say use it; 0 where the mapping itself is not told."""
    found = frozenset(neutron.network.get_network(network_id).tags)
    mark = tags.environment_mark(EnvironmentId(ENVIRONMENT))
    mapping = tags.Mapping(mark, DockerNetworkId(network))
    return len(tags.attendants(found, mapping)) if mapping in tags.mappings(found) else 0


@pytest.mark.timeout(60 + 30 * RACES)
def test_made_once_and_gone_with_the_last(racers: list[Racer], neutron: Connection) -> None:
    """Three hosts meet a network's first task at once, and its last one."""
    for number in range(RACES):
        network, cidr = swarm_id(), f"10.98.{number % 250}.0/24"
        said = at_once([partial(insists, one, network, cidr) for one in racers])
        assert said == ["", "", ""], f"race {number}"
        behind = {one.known()[network] for one in racers}
        assert len(behind) == 1, f"race {number}: {behind}"
        assert left(neutron, network) == [f"kuryr-net-{network[:8]}"], f"race {number}"
        assert attendants(neutron, behind.pop(), network) == 3, f"race {number}"

        assert at_once([partial(one.remove, network) for one in racers]) == ["", "", ""]
        settle(racers)
        assert left(neutron, network) == [], f"race {number}"


@pytest.mark.timeout(60 + 30 * RACES)
def test_hosts_come_and_go_at_the_same_moment(racers: list[Racer], neutron: Connection) -> None:
    """One leaves as another joins, two leave at once: tags and networks say the truth after."""
    chance, network, cidr = random.Random(7), swarm_id(), "10.97.1.0/24"
    here: set[int] = set()
    for number in range(RACES):
        turning = chance.sample(range(3), chance.choice((2, 2, 3)))
        moves = [
            partial(racers[one].remove, network)
            if one in here
            else partial(insists, racers[one], network, cidr)
            for one in turning
        ]
        assert not any(at_once(moves)), f"turn {number}"
        here ^= set(turning)
        settle(racers)
        expect(racers, neutron, network, here)
    at_once([partial(racers[one].remove, network) for one in here] or [lambda: ""])
    settle(racers)
    assert left(neutron, network) == []


def expect(racers: list[Racer], neutron: Connection, network: str, here: set[int]) -> None:
    """Those who are there share one network, which tells each of them; nobody, and none is left."""
    behind = {one.known().get(network) for one in racers} - {None}
    assert len(left(neutron, network)) == len(behind) == min(1, len(here))
    assert {n for n, one in enumerate(racers) if network in one.known()} == here
    if here:
        assert attendants(neutron, str(behind.pop()), network) == len(here)


@pytest.mark.timeout(60 + 40 * RACES)
def test_one_that_joins_dies_half_way(racers: list[Racer], neutron: Connection) -> None:
    """Killed at any moment of its joining, a host leaves the others' network as it was and takes
    its own part away when it is back.
    """
    chance = random.Random(11)
    for number in range(RACES):
        network, cidr = swarm_id(), f"10.96.{number % 250}.0/24"
        unlucky, others = racers[number % 3], [*racers[: number % 3], *racers[number % 3 + 1 :]]
        joining = [partial(joins_or_dies, unlucky, network, cidr)]
        said = at_once(
            [
                *(partial(insists, one, network, cidr) for one in others),
                *joining,
                partial(dies_in, unlucky, chance.uniform(0.0, 4.0)),
            ]
        )
        assert said[:2] == ["", ""], f"death {number}"
        unlucky.daemon.start()
        settle(racers)
        if network in unlucky.known():  # it was done before it died, and the answer was lost
            unlucky.remove(network)
        settle(racers)
        expect(others, neutron, network, {0, 1})
        at_once([partial(one.remove, network) for one in others])
        settle(racers)
        assert left(neutron, network) == [], f"death {number}"


@pytest.mark.timeout(60 + 30 * RACES)
def test_hosts_join_an_operators_network_without_the_subnet_at_once(
    racers: list[Racer], neutron: Connection
) -> None:
    """One of them makes the subnet, the others use it; the last one takes it along."""
    theirs = neutron.network.create_network(name="kt-races-theirs")
    neutron.network.set_tags(theirs, ["kept"])
    try:
        for number in range(RACES):
            network, cidr = swarm_id(), f"10.93.{number % 250}.0/24"
            options = {"neutron.net.uuid": theirs.id}
            said = at_once([partial(one.create, network, cidr, **options) for one in racers])
            assert said == ["", "", ""], f"race {number}"
            (subnet,) = neutron.network.subnets(network_id=theirs.id)
            assert subnet.cidr == cidr, f"race {number}"
            assert attendants(neutron, theirs.id, network) == 3, f"race {number}"

            assert at_once([partial(one.remove, network) for one in racers]) == ["", "", ""]
            settle(racers)
            assert list(neutron.network.subnets(network_id=theirs.id)) == [], f"race {number}"
            assert neutron.network.get_network(theirs.id).tags == ["kept"], f"race {number}"
    finally:
        neutron.network.delete_network(theirs.id)


@pytest.mark.timeout(60 + 30 * RACES)
def test_the_last_takes_an_operators_networks_subnet_along_as_others_come(
    racers: list[Racer], neutron: Connection
) -> None:
    """Who came has a subnet that stands, the one that goes or another."""
    theirs = neutron.network.create_network(name="kt-races-theirs")
    chance, network, cidr = random.Random(13), swarm_id(), "10.91.0.0/24"
    options = {"neutron.net.uuid": theirs.id}
    last, *coming = racers
    try:
        assert last.create(network, cidr, **options) == ""
        for number in range(RACES):
            joins = [
                partial(later, chance.uniform(0.0, 1.5), partial(one.create, network, cidr))
                for one in coming
            ]
            moves = [partial(last.remove, network), *(partial(one, **options) for one in joins)]
            assert at_once(moves) == ["", "", ""], f"race {number}"
            settle(racers)
            (subnet,) = neutron.network.subnets(network_id=theirs.id)
            served = {tags.parse_pool(tag) for tag in subnet.tags} - {None}
            assert served == {one.pools[network] for one in coming}, f"race {number}"
            assert attendants(neutron, theirs.id, network) == len(coming), f"race {number}"
            assert not any(map(tags.going_mark, subnet.tags)), f"race {number}"
            coming[0].remove(network)
            settle(racers)
            last, coming = coming[1], [coming[0], last]
        assert last.remove(network) == ""
        settle(racers)
        assert list(neutron.network.subnets(network_id=theirs.id)) == []
        assert neutron.network.get_network(theirs.id).tags == []
    finally:
        neutron.network.delete_network(theirs.id)


@pytest.mark.timeout(60 + 30 * RACES)
def test_hosts_keep_an_address_out_of_an_operators_subnet_at_once(
    racers: list[Racer], neutron: Connection
) -> None:
    """One port holds it for all, and goes with the last."""
    theirs = neutron.network.create_network(name="kt-races-theirs")
    neutron.network.create_subnet(network_id=theirs.id, ip_version=4, cidr="10.92.0.0/24")
    held = {"network_id": theirs.id, "fixed_ips": "ip_address=10.92.0.77"}
    try:
        for number in range(RACES):
            network = swarm_id()
            joins = [
                partial(
                    one.create,
                    network,
                    "10.92.0.0/24",
                    auxiliary="10.92.0.77",
                    **{"neutron.net.uuid": theirs.id},
                )
                for one in racers
            ]
            assert at_once(joins) == ["", "", ""], f"race {number}"
            assert len(list(neutron.network.ports(**held))) == 1, f"race {number}"
            assert at_once([partial(one.remove, network) for one in racers]) == ["", "", ""]
            settle(racers)
            assert list(neutron.network.ports(**held)) == [], f"race {number}"
    finally:
        neutron.network.delete_network(theirs.id)


def insists(one: Racer, network: str, cidr: str) -> str:
    """Creates as a Swarm does: again after a call that waited too long for a dead host."""
    for _ in range(3):
        said = one.create(network, cidr)
        if "trying again" not in said:
            break
        one.remove(network)
    return said


def joins_or_dies(one: Racer, network: str, cidr: str) -> str:
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        return one.create(network, cidr)
    return "it died"


def later(seconds: float, join: Callable[..., str], **options: str) -> str:
    time.sleep(seconds)
    return join(**options)


def dies_in(one: Racer, seconds: float) -> str:
    time.sleep(seconds)
    one.daemon.kill()
    return ""


@pytest.fixture(scope="module")
def strangers(cloud: Cloud) -> Iterator[list[Racer]]:
    """Two daemons of two environments, each on a host of its own."""
    hosts = [further_host(cloud, name) for name in (HOST, SECOND_HOST)]
    running = [
        racer(host, "kurier-local", f"{ENVIRONMENT}-{number}") for number, host in enumerate(hosts)
    ]
    for one in running:
        one.daemon.start()
    yield running
    for one in running:
        one.daemon.stop()


@pytest.mark.timeout(60 + 40 * RACES)
def test_one_environment_leaves_as_another_joins(
    strangers: list[Racer], neutron: Connection
) -> None:
    """The maker goes as a guest comes: the guest has a network that stays, or a sentence."""
    maker, guest = strangers
    chance, kept = random.Random(13), 0
    for number in range(RACES):
        made, joined, cidr = secrets.token_hex(32), secrets.token_hex(32), f"10.95.{number}.0/24"
        assert maker.create(made, cidr) == ""
        behind = maker.known()[made]
        leave = partial(leaves_in, maker, made, chance.uniform(0.0, 2.5))
        join = partial(guest.create, joined, cidr, **{"neutron.net.uuid": behind})
        said = at_once([leave, join])
        settle(strangers)
        network = neutron.network.find_network(behind)
        if said[1]:
            assert network is None, f"race {number}: {said[1]}"
            continue
        kept += 1
        assert network is not None, f"race {number}"
        assert [one.network for one in tags.mappings(frozenset(network.tags))] == [joined]
        assert guest.remove(joined) == ""
        settle(strangers)
        assert neutron.network.find_network(behind) is None, f"race {number}"
    print(f"the guest kept the network {kept} times of {RACES}")


def leaves_in(one: Racer, network: str, seconds: float) -> str:
    time.sleep(seconds)
    return one.remove(network)


@pytest.mark.timeout(60 + 40 * RACES)
def test_two_environments_leave_at_once(strangers: list[Racer], neutron: Connection) -> None:
    maker, guest = strangers
    for number in range(RACES):
        made, joined, cidr = secrets.token_hex(32), secrets.token_hex(32), f"10.94.{number}.0/24"
        assert maker.create(made, cidr) == ""
        behind = maker.known()[made]
        assert guest.create(joined, cidr, **{"neutron.net.uuid": behind}) == ""
        said = at_once([partial(maker.remove, made), partial(guest.remove, joined)])
        settle(strangers)
        assert said == ["", ""], f"race {number}"
        assert neutron.network.find_network(behind) is None, f"race {number}"
