# SPDX-License-Identifier: Apache-2.0
"""The cloud room against a real Neutron: what it makes, finds, refuses and leaves behind.

Needs a cloud: `OS_CLOUD` (admin; default `kurier-local`) and `KURIER_MEMBER_CLOUD` (a project's
`member`; default `kurier-local-member`). Whatever a test makes, it takes away again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import openstack
import pytest
from keystoneauth1.identity.base import BaseIdentityPlugin
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.connection import Connection

from kurier.cloud.bounds import Bounds
from kurier.cloud.calls import Call
from kurier.cloud.neutron import NeutronCloud
from kurier.cloud.reading import whole_list
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireNetwork
from kurier.model.errors import Code
from kurier.model.ids import QosPolicyId, SubnetPoolId
from kurier.model.neutron import (
    Kind,
    Network,
    NetworkSpec,
    PortChange,
    PortFilter,
    Rule,
    Subnet,
    SubnetSpec,
)
from kurier.service.protocols import Cloud
from tests.agreement.neutron import (
    CIDR,
    NOWHERE,
    NeutronAgrees,
    Operator,
    a_network,
    fresh,
    port_spec,
    refusal,
)

ADMIN = os.environ.get("OS_CLOUD", "kurier-local")
MEMBER = os.environ.get("KURIER_MEMBER_CLOUD", "kurier-local-member")
PATIENT = Bounds(read=60.0)


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def region(name: str, **changes: Any) -> Callable[[], CloudRegion]:
    return lambda: OpenStackConfig(load_envvars=False).get_one(cloud=name, **changes)


@asynccontextmanager
async def opened(name: str, **changes: Any) -> AsyncIterator[NeutronCloud]:
    cloud = NeutronCloud(region(name, **changes), PATIENT, Now())
    yield cloud
    cloud.close()


@pytest.fixture
async def cloud() -> AsyncIterator[NeutronCloud]:
    async with opened(ADMIN) as admin:
        yield admin


@pytest.fixture
async def member() -> AsyncIterator[NeutronCloud]:
    async with opened(MEMBER) as tenant:
        yield tenant


@contextmanager
def connected(name: str) -> Iterator[Connection]:
    """The SDK beside the room: what an operator does, and a second pair of eyes."""
    with openstack.connect(cloud=name) as connection:
        yield connection


@pytest.fixture
def operator() -> Iterator[Connection]:
    with connected(ADMIN) as connection:
        yield connection


@pytest.fixture
async def network(cloud: NeutronCloud) -> AsyncIterator[Network]:
    async with a_network(cloud) as made:
        yield made


@pytest.fixture
async def subnet(cloud: NeutronCloud, network: Network) -> Subnet:
    return await cloud.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR, no_gateway=True))


@dataclass
class OperatorOfTheCloud:
    """An administrator, by the SDK."""

    connection: Connection

    def make_subnet_pool(self, name: str, prefix: str, length: int) -> SubnetPoolId:
        made = self.connection.network.create_subnet_pool(
            name=name, prefixes=[prefix], default_prefixlen=length, min_prefixlen=length - 1
        )
        return SubnetPoolId(str(made.id))

    def living_host(self) -> str:
        agents = [str(one.host) for one in self.connection.network.agents() if one.is_alive]
        assert agents, "this Neutron has no live agent on any host"
        return agents[0]


class TestNeutron(NeutronAgrees):
    """What the Neutron in memory does as well."""

    @pytest.fixture
    async def cloud(self) -> AsyncIterator[Cloud]:
        async with opened(ADMIN) as admin:
            yield admin

    @pytest.fixture
    def operator(self, operator: Connection) -> Operator:
        return OperatorOfTheCloud(operator)


# ── networks ─────────────────────────────────────────────────────────────────


async def test_warming_up_asks_once(cloud: NeutronCloud) -> None:
    await cloud.warm()
    capabilities = await cloud.capabilities()
    assert capabilities.standard_attr_tag
    assert capabilities.revision_if_match
    assert cloud.calls == {("GET", "extensions"): 1}
    assert cloud.health.last_ok is not None
    assert cloud.health.away_since is None


async def test_a_list_in_many_pages_is_whole(cloud: NeutronCloud) -> None:
    made = [await cloud.create_network(NetworkSpec(fresh("page"), "")) for _ in range(3)]
    way = Transport(region(ADMIN), PATIENT, Now())
    try:
        found = whole_list(way, Call("GET", "/networks", "list"), "networks", WireNetwork, 1)
        assert {network.id for network in made} <= {network.id for network in found}
        assert way.counter.calls["GET", "networks"] > len(made)
    finally:
        for network in made:
            await cloud.delete_network(network.id)


async def test_tags_that_neutron_has_no_room_for(cloud: NeutronCloud) -> None:
    for tag in ("a/b", "ünï"):
        with refusal(Code.UNSUPPORTED, tag):
            await cloud.add_tag(Kind.NETWORK, NOWHERE, tag)


async def test_a_group_lets_nothing_out(cloud: NeutronCloud, operator: Connection) -> None:
    made = await cloud.create_security_group(fresh("group"), "", [Rule("tcp", 80, 80)], [])
    try:
        rules = operator.network.security_group_rules(security_group_id=made.id)
        assert {str(rule.direction) for rule in rules} == {"ingress"}
    finally:
        await cloud.delete_security_group(made.id)


# ── ports ────────────────────────────────────────────────────────────────────


async def test_a_port_costs_a_write_and_its_tags_at_most_another(
    cloud: NeutronCloud, subnet: Subnet
) -> None:
    await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:first",)))
    before = dict(cloud.calls)
    made = await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:second",)))
    after = cloud.calls
    spent = {key: after[key] - before.get(key, 0) for key in after}
    tagging = spent.pop(("PUT", "ports/tags"), 0)
    assert {key: count for key, count in spent.items() if count} == {("POST", "ports"): 1}
    assert tagging in {0, 1}
    assert (await cloud.port(made.id)).tags == frozenset({"kurier-test:second"})


async def test_many_ports_are_made_by_one_write_in_their_order(
    cloud: NeutronCloud, subnet: Subnet
) -> None:
    await cloud.create_port(replace(port_spec(subnet), tags=("kurier-test:first",)))
    tags = [("kurier-test:a", "x:y"), (), ("kurier-test:c",)]
    specs = [replace(port_spec(subnet), tags=given) for given in tags]
    before = cloud.calls["POST", "ports"]
    made = await cloud.create_ports(specs)
    assert cloud.calls["POST", "ports"] == before + 1
    assert [port.device_id for port in made] == [spec.device_id for spec in specs]
    assert [port.tags for port in made] == [frozenset(given) for given in tags]
    wanted = tuple(spec.device_id for spec in specs)
    found = await cloud.ports(PortFilter(device_ids=wanted))
    assert {port.id: port.tags for port in found} == {port.id: port.tags for port in made}
    (second,) = await cloud.ports(PortFilter(subnet_id=subnet.id, device_ids=wanted[1:2]))
    assert second == made[1]
    assert await cloud.ports(PortFilter(device_ids=(NOWHERE,))) == []


@pytest.mark.alone
async def test_many_ports_beyond_the_quota_are_none(
    member: NeutronCloud, operator: Connection
) -> None:
    with connected(MEMBER) as tenant:
        project = str(tenant.current_project_id)
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        used = len(list(operator.network.ports(project_id=project)))
        operator.network.update_quota(project, port=used + 1)
        try:
            with refusal(Code.QUOTA, "port", "openstack quota show"):
                await member.create_ports([port_spec(subnet) for _ in range(3)])
        finally:
            operator.network.delete_quota(project)
        owned = PortFilter(network_id=network.id, device_owner="compute:kuryr")
        assert await member.ports(owned) == []


# ── security groups and QoS ──────────────────────────────────────────────────


async def test_a_qos_policy_is_found_and_worn(
    cloud: NeutronCloud, subnet: Subnet, operator: Connection
) -> None:
    name = fresh("qos")
    policy = QosPolicyId(str(operator.network.create_qos_policy(name=name).id))
    try:
        assert await cloud.qos_policies(name) == [policy]
        assert await cloud.qos_policy(policy) == policy
        port = await cloud.create_port(replace(port_spec(subnet), qos_policy_id=policy))
        assert port.qos_policy_id == policy
        bare = await cloud.update_port(port.id, PortChange(qos_policy_id=""))
        assert bare.qos_policy_id is None
    finally:
        operator.network.delete_qos_policy(policy)
    assert await cloud.qos_policies(name) == []
    with refusal(Code.NOT_FOUND, policy, "QoS policy"):
        await cloud.qos_policy(policy)


# ── who may, and who answers ─────────────────────────────────────────────────


@pytest.mark.alone
@pytest.mark.local_cloud
@pytest.mark.usefixtures("own_policy")
async def test_a_tenant_lives_on_its_own(member: NeutronCloud) -> None:
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        port = await member.create_port(replace(port_spec(subnet), tags=("kurier-test:m",)))
        assert (port.vif_type, port.host_id) == ("", "")
        await member.delete_port(port.id)
        with refusal(Code.NOT_FOUND, port.id):
            await member.port(port.id)


@pytest.mark.alone
@pytest.mark.local_cloud
@pytest.mark.usefixtures("own_policy")
async def test_a_tenant_may_not_choose_the_host(member: NeutronCloud) -> None:
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        with refusal(Code.POLICY, '"create_port:binding:host_id": "role:member"', "policy.yaml"):
            await member.create_port(replace(port_spec(subnet), host_id="host1"))
        port = await member.create_port(port_spec(subnet))
        with refusal(Code.POLICY, "update_port:binding:host_id"):
            await member.update_port(port.id, PortChange(host_id="host1"))


async def test_a_servers_port_is_not_freed_for_its_deletion(
    member: NeutronCloud, cloud: NeutronCloud
) -> None:
    async with a_network(member) as network:
        subnet = await member.create_subnet(SubnetSpec(network.id, "s", 4, cidr=CIDR))
        spec = replace(port_spec(subnet), device_owner="compute:nova")
        port = await member.create_port(spec)
        with refusal(Code.POLICY, "delete_port"):
            await member.delete_port(port.id)
        assert (await cloud.port(port.id)).device_owner == "compute:nova"
        await cloud.delete_port(port.id)


@pytest.mark.alone
async def test_a_quota_is_named(member: NeutronCloud, operator: Connection) -> None:
    with connected(MEMBER) as tenant:
        project = str(tenant.current_project_id)
    used = len(list(operator.network.security_groups(project_id=project)))
    operator.network.update_quota(project, security_group=used)
    try:
        with refusal(Code.QUOTA, "security_group", "openstack quota show"):
            await member.create_security_group(fresh("group"), "", [], [])
    finally:
        operator.network.delete_quota(project)


async def test_a_wrong_password_is_told_without_it() -> None:
    auth = region(ADMIN)().get_auth_args() | {"password": "not-the-s3cret"}
    async with opened(ADMIN, auth=auth) as cloud:
        with refusal(Code.CREDENTIALS, str(auth["username"]), str(auth["auth_url"])):
            await cloud.networks()
        assert "s3cret" not in cloud.health.last_error


async def test_a_catalogue_without_neutron() -> None:
    async with opened(ADMIN, network_service_type="no-such-service") as cloud:
        with refusal(Code.CREDENTIALS, "no-such-service", "region_name"):
            await cloud.networks()


async def test_a_token_that_ran_out_is_replaced() -> None:
    held = region(ADMIN)()
    cloud = NeutronCloud(lambda: held, PATIENT, Now())
    await cloud.warm()
    plugin = held.get_session().auth
    assert isinstance(plugin, BaseIdentityPlugin)
    state = json.loads(plugin.get_auth_state() or "{}")
    plugin.set_auth_state(json.dumps(state | {"auth_token": "gAAAAABno-longer-valid"}))
    assert await cloud.networks(name=fresh()) == []
    assert held.get_session().get_token() != "gAAAAABno-longer-valid"
    cloud.close()


async def test_neutron_away_is_told_with_its_place() -> None:
    async with opened(ADMIN, network_endpoint_override="http://127.0.0.1:9/v2.0") as cloud:
        with refusal(Code.CLOUD_AWAY, "Neutron at http://127.0.0.1:9/v2.0", "since 2"):
            await cloud.networks()
        assert cloud.health.away_since is not None
