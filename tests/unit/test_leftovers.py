# SPDX-License-Identifier: Apache-2.0
"""What a dead host is found to have left, and what is never taken for its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from kurier.model import tags
from kurier.model.hosts import Life, life_of, traces
from kurier.model.ids import DockerNetworkId, EnvironmentId, NetworkId, PoolId, PortId, SubnetId
from kurier.model.leftovers import Leftovers, Seen, leftovers, served, sharers
from kurier.model.naming import (
    bid_name,
    held_description,
    held_name,
    network_description,
    reserving_key,
)
from kurier.model.neutron import Agent, Kind, Network, Port, Subnet
from kurier.model.swarm import definition_id, definition_tags, node_tag

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DEAD, ALIVE = "host2", "host1"
ENVIRONMENT = EnvironmentId("swarm-1")
MARK = tags.environment_mark(ENVIRONMENT)
OWN = DockerNetworkId("ab" * 32)
SHARED = DockerNetworkId("a1b2c3d4e5f6g7h8i9j0k1l2m")
BLUE = NetworkId("blue")


def pool(host: str) -> PoolId:
    return tags.own_pool(host, "0" * 32)


def subnet(*serves: tuple[DockerNetworkId, PoolId], made: bool = True) -> Subnet:
    found = {tags.MADE} if made else set()
    for network, one in serves:
        found |= {tags.pool_tag(one), tags.serving_tag(network, one)}
    return Subnet(SubnetId("s1"), BLUE, "s", ip_network("10.0.0.0/24"), tags=frozenset(found))


def network(*mapped: DockerNetworkId, attended: tuple[str, ...] = (), more: str = "") -> Network:
    found = {tags.MADE} | ({more} if more else set())
    for one in mapped:
        mapping = tags.Mapping(MARK, one)
        found |= {*tags.network_tags(mapping, existing=False)}
        found |= {tags.attendance_tag(mapping, host) for host in attended}
    return Network(BLUE, "kuryr-net-blue", tags=frozenset(found))


def port(host: str, *more: str, name: str = "p", key: str = "") -> Port:
    found = frozenset({tags.host_tag(host), tags.environment_tag(ENVIRONMENT), *more})
    return Port(PortId(name), BLUE, "fa:16:3e:00:00:01", device_id=key, tags=found)


def left(
    there: Network, subnets: Subnet, ports: tuple[Port, ...] = (), others: tuple[Port, ...] = ()
) -> Leftovers:
    return leftovers(DEAD, Seen([there], [subnets], ports, (*ports, *others)), NOW)


def test_its_ports_are_deleted_and_others_go_back() -> None:
    made, lent = port(DEAD, tags.READY), port(DEAD, tags.KURYR_PORT_EXISTING, name="theirs")
    kept = port(DEAD, tags.RESERVED, name="aux")
    found = left(network(), subnet(), (made, lent, kept))
    assert (found.made, found.adopted) == ((made,), (lent,))


def test_its_own_network_ends_with_its_pool_and_reserved_ports() -> None:
    held = port(DEAD, tags.RESERVED, name="aux", key=reserving_key(OWN))
    there = network(OWN, more=tags.attribute_tag(OWN, "internal"))
    ((_, record),) = left(there, subnet((OWN, pool(DEAD))), (held,)).endings
    assert (record.id, record.made, record.reserved_ports) == (OWN, True, ("aux",))
    assert [(one.id, one.made, one.pool_id) for one in record.subnets] == [("s1", True, pool(DEAD))]
    assert set(record.tags) == there.tags - {tags.MADE}


def test_a_shared_network_is_left_with_this_hosts_pool_alone() -> None:
    there = network(SHARED, attended=(DEAD, ALIVE))
    both = subnet((SHARED, pool(DEAD)), (SHARED, pool(ALIVE)))
    ((_, record),) = left(there, both).endings
    assert [one.pool_id for one in record.subnets] == [pool(DEAD)]
    mapping = tags.Mapping(MARK, SHARED)
    assert set(there.tags) - set(record.tags) == {tags.MADE, tags.attendance_tag(mapping, ALIVE)}
    assert sharers(DEAD, there, record) == 1


def test_another_hosts_networks_are_not_named() -> None:
    there = network(OWN, SHARED, attended=(ALIVE,))
    found = left(there, subnet((OWN, pool(ALIVE)), (SHARED, pool(ALIVE))))
    assert found.is_empty()
    assert found.kept == ()


@pytest.mark.parametrize(
    ("ranges", "others", "doubt"),
    [
        ((pool(DEAD), pool(ALIVE)), (), "another host has ranges of it"),
        ((pool(DEAD),), (port("renamed", name="q"),), "host renamed has ports there"),
    ],
)
def test_what_another_host_may_use_stays(
    ranges: tuple[PoolId, ...], others: tuple[Port, ...], doubt: str
) -> None:
    there = network(OWN)
    found = left(there, subnet(*((OWN, one) for one in ranges)), others=others)
    assert (found.endings, found.strays) == ((), ())
    (said,) = found.kept
    assert doubt in said


def test_neighbours_with_networks_of_their_own_raise_no_doubt() -> None:
    """Two hosts of a Swarm, each with its own Docker network on one Neutron network."""
    other = DockerNetworkId("cd" * 32)
    ranges = subnet((OWN, pool(DEAD)), (other, pool(ALIVE)))
    found = left(network(OWN, other), ranges, others=(port(ALIVE, name="q"),))
    assert [record.id for _, record in found.endings] == [OWN]
    assert served(DEAD, [network(OWN)], [ranges]) == [network(OWN)]


def test_a_swarms_definition_stays_although_the_dead_host_made_it() -> None:
    identity = definition_id(ENVIRONMENT, "web")
    own = {tags.mapping_tag(tags.Mapping(MARK, identity)), *definition_tags(ENVIRONMENT, "web")}
    nodes = {node_tag(identity, host) for host in (DEAD, ALIVE)}
    there = Network(BLUE, "web", tags=frozenset({tags.MADE, *own, *nodes}))
    found = left(there, subnet((identity, pool(DEAD))))
    assert [(one.kind, one.tag) for one in found.strays] == [
        (Kind.NETWORK, node_tag(identity, DEAD))
    ]
    assert found.endings == ()


def test_tags_that_nothing_explains_go() -> None:
    """It died between tagging the subnet and the network, or was just leaving."""
    mapping = tags.Mapping(MARK, SHARED)
    there = network(more=tags.attendance_tag(mapping, DEAD))
    found = left(there, subnet((OWN, pool(DEAD)), (OWN, pool(ALIVE))))
    assert {one.tag for one in found.strays} == {
        tags.attendance_tag(mapping, DEAD),
        tags.pool_tag(pool(DEAD)),
        tags.serving_tag(OWN, pool(DEAD)),
    }


def test_what_it_said_of_a_subnet_that_it_was_deleting_goes() -> None:
    mapping = tags.Mapping(MARK, SHARED)
    going = {tags.going_tag(mapping, DEAD), tags.going_tag(mapping, ALIVE)}
    found = left(network(), replace(subnet((OWN, pool(ALIVE))), tags=frozenset(going)))
    assert [(one.kind, one.tag) for one in found.strays] == [
        (Kind.SUBNET, tags.going_tag(mapping, DEAD))
    ]


@pytest.mark.parametrize("network_id", [OWN, SHARED])
def test_a_network_that_was_half_made_ends(network_id: DockerNetworkId) -> None:
    """Its description tells what it was made for; no tag does yet."""
    told = network_description(ENVIRONMENT, network_id)
    there = Network(BLUE, "kuryr-net-ab", description=told)
    ((_, record),) = left(there, subnet((network_id, pool(DEAD)), made=False)).endings
    assert (record.id, record.made) == (network_id, True)
    assert tags.environment_of(record.tags, network_id) == MARK


@pytest.mark.parametrize(
    ("host", "unclaimed"), [(DEAD, True), (ALIVE, False)], ids=["its own", "another's"]
)
def test_bids_and_held_ranges_go(host: str, unclaimed: bool) -> None:
    told = network_description(ENVIRONMENT, SHARED)
    bid = Network(NetworkId("b"), bid_name(SHARED, host), description=told)
    drawn = pool(host)
    held = Network(NetworkId("h"), held_name(drawn), description=held_description(drawn))
    found = leftovers(DEAD, Seen([bid, held], [], []), NOW)
    assert found.unclaimed == ((bid, held) if unclaimed else ())
    assert found.endings == ()


def test_every_host_with_traces_is_listed_once() -> None:
    ports = [port(DEAD, tags.READY), port(DEAD, tags.LEASED), port(DEAD, tags.RESERVED)]
    there = network(SHARED, attended=(ALIVE, "gone"))
    rows = traces(ports, [there], [subnet((SHARED, pool(DEAD)))], [ALIVE, "idle"])
    assert [(one.host, one.leased, one.ready, one.networks) for one in rows] == [
        ("", 0, 0, 1),
        (ALIVE, 0, 0, 1),
        (DEAD, 1, 1, 1),
    ]
    assert rows[0].mark == tags.host_mark("gone")


def test_a_long_name_is_told_by_who_knows_it() -> None:
    name = "a-host-with-a-name-that-no-tag-has-room-for.example.org"
    assert [one.host for one in traces([port(name)], [], [], [name])] == [name]
    (row,) = traces([port(name)], [], [], [])
    assert row.host.startswith("sha256-")


def test_a_pool_of_a_random_id_makes_no_host() -> None:
    assert traces([], [network(OWN)], [subnet((OWN, PoolId("9" * 32)))], [ALIVE]) == ()


@pytest.mark.parametrize(
    ("agents", "life"),
    [
        ([], Life.UNKNOWN),
        ([Agent(ALIVE, alive=True)], Life.NO),
        ([Agent(DEAD, alive=False), Agent(ALIVE, alive=True)], Life.NO),
        ([Agent(DEAD, alive=False), Agent(DEAD, alive=True)], Life.YES),
    ],
)
def test_a_host_lives_if_any_of_its_agents_does(agents: list[Agent], life: Life) -> None:
    assert life_of(DEAD, agents) is life


def test_what_was_adopted_is_not_taken_for_kuriers() -> None:
    there = network(OWN)
    existing = tags.existing_network_tag(OWN)
    there = replace(there, tags=(there.tags - {tags.MADE}) | {existing, "theirs"})
    ((_, record),) = left(there, subnet((OWN, pool(DEAD)), made=False)).endings
    assert record.made is False
    assert existing in record.tags
    assert "theirs" not in record.tags
