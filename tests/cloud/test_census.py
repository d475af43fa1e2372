# SPDX-License-Identifier: Apache-2.0
"""`kurier network list`: who uses which Neutron network, told by its tags to whoever asks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from kurier.model.ids import DockerNetworkId, EnvironmentId
from kurier.model.tags import environment_mark, kuryr_network_tags
from localcloud.api import Cloud
from tests.cloud.conftest import HOST, SECOND_HOST, further_host
from tests.cloud.stage import wait_until
from tests.cloud.stage.racers import Racer, racer, swarm_id

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]
SWARM, ENGINE = "kt-census-swarm", "kt-census-engine"


@pytest.fixture(scope="module")
def daemons(cloud: Cloud) -> Iterator[tuple[Racer, Racer, Racer]]:
    """Two hosts of one environment, and a daemon of another one."""
    one, two = cloud.host(HOST), further_host(cloud, SECOND_HOST)
    places = ((one, SWARM), (two, SWARM), (one, ENGINE))
    first, second, other = (racer(host, "kurier-local", where) for host, where in places)
    for daemon in (first, second, other):
        daemon.daemon.start()
    yield first, second, other
    for daemon in (first, second, other):
        daemon.daemon.stop()


def listed(one: Racer, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = one.daemon.told("network", "list", *options)
    return rows


def mark(environment: str) -> str:
    return environment_mark(EnvironmentId(environment))


def test_everyone_attached_is_listed_from_any_host(daemons: tuple[Racer, Racer, Racer]) -> None:
    """A Swarm's network of two hosts, and an engine's of another environment on the same Neutron
    network.
    """
    first, second, other = daemons
    shared, single, cidr = swarm_id(), secrets.token_hex(32), "10.95.1.0/24"
    assert [one.create(shared, cidr) for one in (first, second)] == ["", ""]
    behind = first.known()[shared]
    assert other.create(single, cidr, **{"neutron.net.uuid": behind}) == ""

    rows = {row["docker_id"]: row for row in listed(other, "--all") if row["neutron_id"] == behind}
    assert {one: (row["environment"], row["here"], row["hosts"]) for one, row in rows.items()} == {
        shared: (mark(SWARM), "no", 2),
        single: (mark(ENGINE), "yes", None),
    }
    assert {row["made_by"] for row in rows.values()} == {"kurier"}
    assert {row["neutron_name"] for row in rows.values()} == {f"kuryr-net-{shared[:8]}"}
    of_swarm = [row["docker_id"] for row in listed(second, "--environment")]
    assert of_swarm == [shared]

    for one, network in ((first, shared), (other, single), (second, shared)):
        assert one.remove(network) == ""
    for one in daemons:
        wait_until(one.settled, "every daemon has told Neutron all", 40)
    assert [row for row in listed(first, "--all") if row["neutron_id"] == behind] == []


@pytest.mark.alone
def test_this_hosts_ledger_tells_the_environment_of_each_network(
    daemons: tuple[Racer, Racer, Racer], cloud: Cloud
) -> None:
    """Where it was made, whatever became of this host since; Neutron is not asked."""
    first = daemons[0]
    network = secrets.token_hex(32)
    assert first.create(network, "10.95.2.0/24") == ""
    first.daemon.stop()
    first.daemon.setting({"daemon": {"environment": "kt-census-later"}})
    first.daemon.start()
    try:
        cloud.service("neutron").stop()
        (row,) = listed(first)
        cloud.service("neutron").start()
        assert (row["docker_id"], row["environment"]) == (network, mark(SWARM))
        (row,) = [row for row in listed(first, "--environment") if row["docker_id"] == network]
        assert row["here"] == "former"
    finally:
        cloud.up()
        first.daemon.stop()
        first.daemon.setting({"daemon": {"environment": SWARM}})
        first.daemon.start()
    first.remove(network)
    wait_until(first.settled, "the daemon has told Neutron all", 40)


def test_what_kuryr_libnetwork_attached_is_listed(
    daemons: tuple[Racer, Racer, Racer], neutron: Connection
) -> None:
    network = DockerNetworkId(secrets.token_hex(32))
    theirs = neutron.network.create_network(name="kt-census-kuryr")
    try:
        neutron.network.set_tags(theirs, [*kuryr_network_tags(network), "kuryr.net.existing"])
        (row,) = [row for row in listed(daemons[0], "--all") if row["neutron_id"] == theirs.id]
        assert (row["docker_id"], row["environment"], row["here"]) == (network, "", "no")
        assert (row["made_by"], row["hosts"]) == ("others", None)
    finally:
        neutron.network.delete_network(theirs.id)
