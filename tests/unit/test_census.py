# SPDX-License-Identifier: Apache-2.0
"""Who is attached to a Neutron network, read from its tags."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.model import tags
from kurier.model.census import Attachment, attachments, maker
from kurier.model.ids import DockerNetworkId, EnvironmentId
from kurier.model.swarm import definition_id, definition_tags, node_tag

ENGINES = DockerNetworkId("ab" * 32)
SWARMS = DockerNetworkId("a1b2c3d4e5f6g7h8i9j0k1l2m")
OTHER = DockerNetworkId("cd" * 32)
ids = st.text("0123456789abcdef", min_size=64, max_size=64).map(DockerNetworkId) | st.just(SWARMS)
marks = st.text("0123456789abcdef", min_size=8, max_size=8)


def kuryr(*networks: DockerNetworkId) -> frozenset[str]:
    return frozenset(tag for one in networks for tag in tags.kuryr_network_tags(one))


@given(st.dictionaries(ids, marks, max_size=4), st.booleans())
def test_each_mapping_is_one_attachment(mapped: dict[DockerNetworkId, str], existing: bool) -> None:
    found = {
        tag
        for network, mark in mapped.items()
        for tag in tags.network_tags(tags.Mapping(mark, network), existing=existing)
    }
    told = {one.network: one.environment for one in attachments(frozenset(found | {"theirs"}))}
    assert told == mapped


def test_a_swarms_network_tells_how_many_hosts_use_it() -> None:
    mapping = tags.Mapping("0123abcd", SWARMS)
    hosts = {tags.attendance_tag(mapping, f"host{number}") for number in range(3)}
    found = frozenset({*tags.network_tags(mapping, existing=False), *hosts})
    assert attachments(found) == (Attachment("0123abcd", SWARMS, 3),)
    assert attachments(found - hosts) == (Attachment("0123abcd", SWARMS, 0),)


def test_a_swarms_definition_tells_how_many_nodes_have_it() -> None:
    environment = EnvironmentId("swarm-1")
    identity, mark = definition_id(environment, "web"), tags.environment_mark(environment)
    nodes = {node_tag(identity, f"host{number}") for number in range(2)}
    own = {tags.mapping_tag(tags.Mapping(mark, identity)), *definition_tags(environment, "web")}
    assert attachments(frozenset(own | nodes)) == (Attachment(mark, identity, 2),)


def test_what_kuryr_libnetwork_attached_has_no_environment() -> None:
    ours = frozenset(tags.network_tags(tags.Mapping("0123abcd", OTHER), existing=False))
    assert attachments(ours | kuryr(ENGINES)) == (
        Attachment("", ENGINES),
        Attachment("0123abcd", OTHER),
    )
    assert attachments(kuryr(SWARMS)) == (Attachment("", SWARMS),)


def test_halves_that_nothing_joins_stand_alone() -> None:
    assert attachments(kuryr(ENGINES, OTHER)) == (
        Attachment("", DockerNetworkId("ab" * 16)),
        Attachment("", DockerNetworkId("cd" * 16)),
    )


@pytest.mark.parametrize(
    ("found", "made_by"),
    [
        ({tags.MADE}, "kurier"),
        (kuryr(ENGINES), "kuryr-libnetwork"),
        ({*kuryr(ENGINES), tags.KURYR_EXISTING}, "others"),
        ({tags.MADE, *kuryr(ENGINES), tags.existing_network_tag(ENGINES)}, "kurier"),
        ({"theirs"}, "others"),
    ],
)
def test_who_made_a_network(found: set[str], made_by: str) -> None:
    assert maker(frozenset(found)) == made_by
