# SPDX-License-Identifier: Apache-2.0
"""Networks whose range comes from a Neutron subnet pool."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage


@pytest.fixture
def pool(stage: Stage) -> Any:
    return stage.make_subnet_pool(stage.cidr())


@pytest.mark.parametrize("by", ["name", "uuid"])
def test_range_is_drawn_from_the_pool_named(stage: Stage, pool: Any, by: str) -> None:
    value = pool.name if by == "name" else pool.id
    with stage.unchanged():
        name = stage.create_network("--ipam-opt", f"neutron.pool.{by}={value}", subnet=None)
        container = stage.run_container(name)
        (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
        address = stage.ip_of(container)
        stage.remove_container(container)
        stage.remove_network(name)

    assert subnet.subnet_pool_id == pool.id
    assert ip_network(f"{address}/26", strict=False) == ip_network(subnet.cidr)


def test_range_named_is_taken_from_the_pool_named(stage: Stage, pool: Any) -> None:
    cidr = ip_network(pool.prefixes[0].replace("/24", "/27"))

    name = stage.create_network("-o", f"neutron.pool.name={pool.name}", subnet=cidr)

    (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
    assert (subnet.subnet_pool_id, subnet.cidr) == (pool.id, str(cidr))


def test_ipv6_range_is_taken_from_the_ipv6_pool_named(stage: Stage) -> None:
    cidr = stage.cidr6()
    pool = stage.make_subnet_pool(cidr, length=80)
    part = next(cidr.subnets(new_prefix=80))

    name = stage.create_network(
        *("-o", f"neutron.pool.v6.uuid={pool.id}", "--ipv6"),
        *("--subnet", str(stage.cidr()), "--subnet", str(part)),
    )

    four, six = stage.neutron_subnets(stage.neutron_network(name).id)
    assert (four.subnet_pool_id, six.subnet_pool_id) == (None, pool.id)
    assert six.cidr == str(part)


def test_range_is_drawn_from_the_configured_pool(
    stage: Stage, pool: Any, own_stage: OwnStage
) -> None:
    with own_stage({"network": {"default_subnet_pool_v4": pool.name}}) as own, own.unchanged():
        name = own.create_network(subnet=None)
        (subnet,) = own.neutron_subnets(own.neutron_network(name).id)
        own.remove_network(name)

    assert subnet.subnet_pool_id == pool.id


def test_range_is_drawn_from_neutrons_default_pool(stage: Stage) -> None:
    pool = stage.make_subnet_pool(stage.cidr(), is_default=True)

    name = stage.create_network(subnet=None)

    (subnet,) = stage.neutron_subnets(stage.neutron_network(name).id)
    assert subnet.subnet_pool_id == pool.id


def test_without_any_pool_the_user_is_told_what_to_give(stage: Stage) -> None:
    with stage.unchanged():
        sentence = stage.fail_network()

    assert "No --subnet was given and Neutron has no default IPv4 subnet pool" in sentence
    assert "--ipam-opt neutron.pool.name=" in sentence


def test_pool_that_is_used_up_is_an_error(stage: Stage) -> None:
    small = stage.make_subnet_pool(stage.cidr(28), length=28)
    option = ("--ipam-opt", f"neutron.pool.name={small.name}")
    stage.create_network(*option, subnet=None)

    with stage.unchanged():
        sentence = stage.fail_network(*option)

    assert small.name in sentence or small.id in sentence
    assert len(list(stage.neutron.network.subnets(subnet_pool_id=small.id))) == 1


def test_draws_that_the_engine_refuses_come_to_an_end(stage: Stage) -> None:
    """The engine asks again, without end, for a range that overlaps a route of its host."""
    route = stage.cidr()
    device = stage.name("r").replace("kt-", "")[-12:]
    stage.machine.run(["ip", "link", "add", device, "type", "bridge"])
    stage.undo(lambda: stage.machine.run(["ip", "link", "del", device]))
    stage.machine.run(["ip", "address", "add", f"{route[1]}/24", "dev", device])
    stage.machine.run(["ip", "link", "set", device, "up"])
    pool = stage.make_subnet_pool(route, length=28)

    with stage.unchanged():
        sentence = stage.fail_network("--ipam-opt", f"neutron.pool.name={pool.name}")

    assert "the engine refused each" in sentence
    assert "give --subnet" in sentence
