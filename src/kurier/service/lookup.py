# SPDX-License-Identifier: Apache-2.0
"""Finds by id or name what somebody else made: networks, subnets, pools, groups, QoS policies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from kurier.model.errors import Code, KurierError
from kurier.model.ids import QosPolicyId, SecurityGroupId, SubnetPoolId
from kurier.model.neutron import Network, SecurityGroup, Subnet, SubnetPool
from kurier.model.options import NetworkReference, Policy, PoolReference, SubnetReference
from kurier.service.protocols import Cloud

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_Found = TypeVar("_Found", Network, Subnet, SubnetPool, SecurityGroup)


async def find_network(cloud: Cloud, reference: NetworkReference) -> Network:
    """The network named; NOT_FOUND, AMBIGUOUS, or BAD_REQUEST where id and name differ."""
    if reference.id is None:
        return _only(
            "network", reference.name, "neutron.net.uuid", await cloud.networks(name=reference.name)
        )
    network = await cloud.network(reference.id)
    if reference.name and network.name != reference.name:
        raise _disagree("network", reference.id, network.name, reference.name)
    return network


async def find_subnet(
    cloud: Cloud, reference: SubnetReference, network: Network | None, version: int
) -> Subnet:
    """The subnet named; on `network`, where one is given, and of the IP version asked for."""
    key = "neutron.subnet.uuid" if version == 4 else "neutron.subnet.v6.uuid"
    if reference.id is not None:
        subnet = await cloud.subnet(reference.id)
        if reference.name and subnet.name != reference.name:
            raise _disagree("subnet", reference.id, subnet.name, reference.name)
    else:
        everywhere = await cloud.subnets(name=reference.name)
        here = [one for one in everywhere if network is None or one.network_id == network.id]
        subnet = _only("subnet", reference.name, key, here or everywhere)
    if network is not None and subnet.network_id != network.id:
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet {subnet.name or subnet.id} ({subnet.cidr}) is not on network "
            f"{network.name or network.id} but on {subnet.network_id}: name a subnet of that "
            "network, or leave the subnet out.",
        )
    if subnet.cidr.version != version:
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet {subnet.name or subnet.id} ({subnet.cidr}) is IPv{subnet.cidr.version}: "
            f"name an IPv{version} subnet with {key}.",
        )
    return subnet


async def find_pool(cloud: Cloud, reference: PoolReference, version: int) -> SubnetPool:
    """The subnet pool named, of the IP version asked for."""
    key = "neutron.pool.uuid" if version == 4 else "neutron.pool.v6.uuid"
    if reference.id is not None:
        pool = await cloud.subnet_pool(reference.id)
        if reference.name and pool.name != reference.name:
            raise _disagree("subnet pool", reference.id, pool.name, reference.name)
    else:
        pool = _only(
            "subnet pool", reference.name, key, await cloud.subnet_pools(name=reference.name)
        )
    if pool.ip_version != version:
        raise KurierError(
            Code.BAD_REQUEST,
            f"Subnet pool {pool.name or pool.id} is IPv{pool.ip_version}: name an IPv{version} "
            f"pool with {key}.",
        )
    return pool


async def default_pool(cloud: Cloud, configured: str, version: int) -> SubnetPool:
    """The subnet pool for a network without --subnet: as configured, else Neutron's default."""
    if configured:
        return await find_pool(cloud, _pool_reference(configured), version)
    found = await cloud.subnet_pools(default=True, ip_version=version)
    if found:
        return found[0]
    raise KurierError(
        Code.NOT_FOUND,
        f"No --subnet was given and Neutron has no default IPv{version} subnet pool: give "
        f"--subnet, name a pool with --ipam-opt neutron.pool{'.v6' if version == 6 else ''}.name=, "
        f"or set network.default_subnet_pool_v{version} in Kurier's configuration.",
    )


async def find_groups(cloud: Cloud, policy: Policy) -> tuple[SecurityGroupId, ...] | None:
    """The security groups of a policy by id or name; None where the policy names none."""
    if policy.security_groups is None:
        return None
    return tuple([await _group(cloud, text) for text in policy.security_groups])


async def find_qos(cloud: Cloud, policy: Policy) -> QosPolicyId | None:
    """The QoS policy of a policy by id or name; UNSUPPORTED where the cloud has no QoS."""
    text = policy.qos_policy
    if not text:
        return None
    if not (await cloud.capabilities()).qos:
        raise KurierError(
            Code.UNSUPPORTED,
            f"QoS policy {text} cannot be used: this cloud's Neutron has no qos extension.",
        )
    if _UUID.match(text):
        return await cloud.qos_policy(QosPolicyId(text))
    found = await cloud.qos_policies(text)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _missing("QoS policy", text)
    raise _ambiguous("QoS policies", text, list(found), "kurier.qos_policy")


async def _group(cloud: Cloud, text: str) -> SecurityGroupId:
    if _UUID.match(text):
        return (await cloud.security_group(SecurityGroupId(text))).id
    return _only(
        "security group", text, "kurier.security_groups", await cloud.security_groups(name=text)
    ).id


def _pool_reference(text: str) -> PoolReference:
    return PoolReference(id=SubnetPoolId(text)) if _UUID.match(text) else PoolReference(name=text)


def _only(what: str, name: str, key: str, found: Sequence[_Found]) -> _Found:
    if len(found) == 1:
        return found[0]
    if not found:
        raise _missing(what, name)
    raise _ambiguous(f"{what}s", name, [one.id for one in found], key)


def _missing(what: str, name: str) -> KurierError:
    return KurierError(
        Code.NOT_FOUND,
        f"Neutron has no {what} named {name} that these credentials may see: check the name with "
        f"`openstack {_command(what)} list`.",
    )


def _ambiguous(what: str, name: str, ids: Sequence[str], key: str) -> KurierError:
    return KurierError(
        Code.AMBIGUOUS,
        f"{len(ids)} {what} are named {name} ({', '.join(sorted(ids))}): "
        f"say which one with {key}=.",
    )


def _disagree(what: str, identity: str, is_named: str, said: str) -> KurierError:
    return KurierError(
        Code.BAD_REQUEST,
        f"The {what} {identity} is named {is_named}, not {said}: give its id or its name, "
        "not both.",
    )


def _command(what: str) -> str:
    return {"QoS policy": "network qos policy"}.get(what, what)
