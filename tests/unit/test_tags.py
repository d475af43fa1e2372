# SPDX-License-Identifier: Apache-2.0
"""The tag codec: what is written is read again, and is mistaken for nothing else."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kurier.model import tags
from kurier.model.ids import DockerNetworkId, EndpointId, EnvironmentId, PoolId

HEX = "0123456789abcdef"
engine_ids = st.text(HEX, min_size=64, max_size=64).map(DockerNetworkId)
swarm_ids = st.text(string.ascii_lowercase + string.digits, min_size=25, max_size=25).map(
    DockerNetworkId
)
networks = engine_ids | swarm_ids
environments = st.text(min_size=1, max_size=80).map(EnvironmentId)
pools = st.text(HEX, min_size=32, max_size=32).map(PoolId)
mappings = st.builds(tags.Mapping, environments.map(tags.environment_mark), networks)
uuids = st.uuids().map(str)


def attributes(network: DockerNetworkId, value: str) -> tuple[str, ...]:
    valued = tuple(tags.attribute_tag(network, key, value) for key in ("sg", "qos"))
    plain = tuple(tags.attribute_tag(network, key) for key in ("internal", "gws"))
    return (*valued, tags.attribute_tag(network, "ps", "0"), *plain)


@given(mappings)
def test_a_mapping_is_read_as_it_was_written(mapping: tags.Mapping) -> None:
    assert tags.parse_mapping(tags.mapping_tag(mapping)) == mapping


@given(st.sets(mappings, max_size=6))
def test_all_mappings_of_a_network_are_found_among_all_its_tags(
    several: set[tags.Mapping],
) -> None:
    on_network = {
        tag for one in several for tag in tags.network_tags(one, existing=one.environment < "8")
    }
    assert tags.mappings(frozenset(on_network | {tags.MADE, "owner:somebody"})) == several


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    found = tags.parse_mapping(text)
    assert found is None or text.startswith(f"kurier:{found.environment}:")


@given(mappings, pools, st.text(HEX, min_size=64, max_size=64), uuids)
def test_every_tag_fits_and_needs_no_escape(
    mapping: tags.Mapping, pool: PoolId, endpoint: str, value: str
) -> None:
    every = (
        *tags.network_tags(mapping, existing=True),
        *attributes(mapping.network, value),
        tags.pool_tag(pool),
        tags.serving_tag(mapping.network, pool),
        tags.environment_tag(EnvironmentId(mapping.environment)),
        *tags.endpoint_tags(EndpointId(endpoint)),
        tags.MADE,
        tags.LEASED,
        tags.RESERVED,
    )
    assert all(0 < len(tag) <= tags.LIMIT for tag in every)
    assert not any(set(tag) & set(",/ ?&#") for tag in every)  # separators in Neutron's filters


@given(st.text(min_size=1, max_size=255))
def test_any_host_name_makes_a_tag(host: str) -> None:
    tag = tags.host_tag(host)
    assert len(tag) <= tags.LIMIT
    assert not set(tag) & set(",/")
    assert tags.host_tag(host) == tag


@given(st.text(min_size=1, max_size=255), st.text(min_size=1, max_size=255))
def test_two_hosts_have_two_tags(one: str, other: str) -> None:
    assume(one != other)
    assert tags.host_tag(one) != tags.host_tag(other)


@given(engine_ids)
def test_the_users_of_kuryr_libnetwork_find_their_network(network: DockerNetworkId) -> None:
    assert tags.kuryr_network_tags(network) == (
        f"kuryr.net.uuid.lh:{network[:32]}",
        f"kuryr.net.uuid.uh:{network[32:]}",
    )


@given(mappings, mappings)
def test_leaving_takes_no_tag_of_another_mapping(one: tags.Mapping, other: tags.Mapping) -> None:
    assume(one.network != other.network)
    assume(one.network[:32] != other.network[:32] and one.network[32:] != other.network[32:])
    mine = set(tags.network_tags(one, existing=True))
    theirs = set(tags.network_tags(other, existing=True))
    assume(one.network[:12] != other.network[:12])
    assert not mine & theirs


@given(networks, uuids, uuids)
def test_attributes_are_read_by_key_and_network(
    network: DockerNetworkId, one: str, other: str
) -> None:
    found = frozenset({*attributes(network, one), tags.attribute_tag(network, "sg", other)})
    assert tags.attribute_values(found, network, "sg") == tuple(sorted({one, other}))
    assert tags.attribute_values(found, network, "qos") == (one,)
    assert tags.attribute_values(found, network, "internal") == ("",)
    stranger = DockerNetworkId("z" * 25)
    assert tags.attribute_values(found, stranger, "sg") == ()


@given(pools, networks, networks)
def test_a_shared_subnet_tells_which_pool_serves_whom(
    pool: PoolId, network: DockerNetworkId, other: DockerNetworkId
) -> None:
    assume(network[:8] != other[:8])
    found = frozenset({tags.pool_tag(pool), tags.serving_tag(network, pool), tags.MADE})
    assert tags.pool_serving(found, network, "host1") == pool
    assert tags.pool_serving(found, other, "host1") is None
    assert [tags.parse_pool(tag) for tag in sorted(found) if tags.parse_pool(tag)] == [pool]


@pytest.mark.parametrize(
    ("found", "existing"),
    [
        (set(), True),
        ({"owner:somebody"}, True),
        ({tags.MADE}, False),
        ({tags.MADE, "kuryr.net.existing:0123456789ab"}, False),
        ({"kuryr.net.existing:0123456789ab", "kuryr.net.uuid.lh:" + "0" * 32}, True),
        ({"kuryr.net.existing", "kuryr.net.uuid.lh:" + "0" * 32}, True),
        ({"kuryr.net.uuid.lh:" + "0" * 32, "kuryr.net.uuid.uh:" + "0" * 32}, False),
    ],
)
def test_whose_a_network_is(found: set[str], existing: bool) -> None:
    assert tags.is_existing(frozenset(found)) is existing


@pytest.mark.parametrize("tag", ["", "kurier.pool:", "x kurier.pool:abc", "kurier.for:01234567:ab"])
def test_only_a_pool_tag_tells_a_pool(tag: str) -> None:
    assert tags.parse_pool(tag) is None


def test_a_role_takes_the_place_of_the_one_before_and_others_tags_stay() -> None:
    leased = frozenset({"kurier.env:1", "kurier.role:leased", "a" * 32, "b" * 32, "theirs"})
    assert tags.with_role(leased, {tags.READY}) == {"kurier.env:1", tags.READY, "theirs"}


def test_the_host_of_a_port_is_read_back() -> None:
    assert tags.host_of(frozenset({tags.host_tag("node-1"), "x"})) == "node-1"
    assert tags.host_of(frozenset({"x"})) == ""


HOSTS = st.text(min_size=1, max_size=80)


@given(st.builds(tags.Mapping, environments.map(tags.environment_mark), swarm_ids), st.sets(HOSTS))
def test_a_shared_networks_hosts_are_read_as_they_were_written(
    mapping: tags.Mapping, hosts: set[str]
) -> None:
    written = frozenset(tags.attendance_tag(mapping, host) for host in hosts)
    assert tags.attendants(written | {tags.MADE}, mapping) == set(map(tags.host_mark, hosts))
    assert set(map(tags.attending_mark, written)) == set(map(tags.host_mark, hosts))
    assert all(map(tags.is_attendance, written))
    assert all(len(tag) <= tags.LIMIT for tag in written)
    assert tags.in_use(written) is bool(hosts)


@given(swarm_ids, swarm_ids, HOSTS)
def test_attendance_is_of_one_environments_network(
    network: DockerNetworkId, other: DockerNetworkId, host: str
) -> None:
    assume(network[:12] != other[:12])
    found = frozenset({tags.attendance_tag(tags.Mapping("01234567", network), host)})
    assert tags.attendants(found, tags.Mapping("01234567", other)) == frozenset()
    assert tags.attendants(found, tags.Mapping("76543210", network)) == frozenset()


@given(HOSTS, HOSTS, pools, networks)
def test_of_several_hosts_pools_each_finds_its_own(
    host: str, other: str, random: PoolId, network: DockerNetworkId
) -> None:
    assume(host != other)
    mine, theirs = tags.own_pool(host, random), tags.own_pool(other, random)
    assert tags.pool_mark(mine) == tags.host_mark(host)
    assert len(mine) == 32
    served = frozenset(tags.serving_tag(network, one) for one in (mine, theirs))
    assert tags.pool_serving(served, network, host) == mine
    assert tags.pool_serving(served, network, other) == theirs
    assert {tags.parse_serving(tag) for tag in served} == {
        (network[:8], mine),
        (network[:8], theirs),
    }


@given(mappings, mappings)
def test_a_networks_environment_is_that_of_its_mapping(
    one: tags.Mapping, other: tags.Mapping
) -> None:
    assume(one.network != other.network)
    found = [tags.mapping_tag(one), tags.mapping_tag(other)]
    assert tags.environment_of(found, one.network) == one.environment
    assert tags.environment_of(found[1:], one.network) == ""


@given(engine_ids)
def test_an_engines_own_network_is_not_shared(network: DockerNetworkId) -> None:
    assert not tags.is_shared(network)


@given(swarm_ids)
def test_a_swarms_network_is_shared(network: DockerNetworkId) -> None:
    assert tags.is_shared(network)
