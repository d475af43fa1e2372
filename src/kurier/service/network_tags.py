# SPDX-License-Identifier: Apache-2.0
"""Puts a mapping's tags on its Neutron network and subnets."""

from __future__ import annotations

from dataclasses import replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.naming import is_going, lasting_name
from kurier.model.neutron import Kind, Network
from kurier.model.records import NetworkRecord, SubnetRecord
from kurier.model.swarm import definition_tags, is_definition
from kurier.service.context import Context
from kurier.service.doing import doing

_TRIES = 5


class NetworkTags:
    """Tags networks: one by one where others tag them too, all at once where nobody else can."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud

    async def of(
        self, record: NetworkRecord, mapping: tags.Mapping, *, adopted: bool
    ) -> tuple[str, ...]:
        """Every tag that a mapping puts on its network."""
        found = (*await self._mapping_tags(record, mapping, adopted), *_attributes(record))
        if not is_definition(record.id):
            return found
        # Last, where tags are put on one by one: who sees a definition sees all that it says.
        environment = await self._context.environment.require()
        return (*found, *definition_tags(environment, record.name))

    async def put(
        self, record: NetworkRecord, network: Network, mapping: tags.Mapping, *, adopted: bool
    ) -> NetworkRecord:
        """A network's tags. Where others use it too, its subnets were claimed before
        (`SubnetClaims`): a network that somebody leaves keeps the subnets that tags say are used.
        """
        wanted = await self.of(record, mapping, adopted=adopted)
        shared = tags.is_shared(record.id)
        # A shared network's tags are there when the second host comes, and are his as well.
        mine = tuple(tag for tag in wanted if shared or tag not in network.tags)
        record = replace(record, tags=mine)
        self._ledger.put_network(record)
        doing("Neutron was tagging the network")
        if not adopted and not shared:
            await self.put_at_once(network, mine, record)
            return record
        await self._add(network, (*mine, *(() if adopted else (tags.MADE,))))
        if shared or (adopted and tags.MADE in network.tags):
            await self._see_standing(network, mine)
        return record

    async def put_at_once(
        self, network: Network, wanted: tuple[str, ...], record: NetworkRecord
    ) -> None:
        """Gives a network that was just made, and that nobody else uses yet, all its tags by one
        write, and each of its subnets.
        """
        for subnet in record.subnets:
            await self._cloud.replace_tags(Kind.SUBNET, subnet.id, subnet_tags(record, subnet))
        await self._cloud.replace_tags(Kind.NETWORK, network.id, (*wanted, tags.MADE))

    async def _mapping_tags(
        self, record: NetworkRecord, mapping: tags.Mapping, adopted: bool
    ) -> tuple[str, ...]:
        own = tags.network_tags(mapping, existing=adopted)
        if is_definition(record.id):
            return (tags.mapping_tag(mapping),)
        if tags.is_shared(record.id):
            return (tags.attendance_tag(mapping, await self._context.host()), *own)
        return own

    async def _see_standing(self, network: Network, mine: tuple[str, ...]) -> None:
        """Looks again after the tags are on: others may be leaving a network that Kurier made.

        One that left as the last one for all it knew may have taken shared tags off meanwhile;
        one that deletes the network says so by its name. NOT_FOUND where it goes.
        """
        for _ in range(_TRIES):
            network = await self._cloud.network(network.id)
            if is_going(network.name):
                for tag in mine:
                    await self._cloud.remove_tag(Kind.NETWORK, network.id, tag)
                raise KurierError(
                    Code.NOT_FOUND,
                    f"Neutron network {lasting_name(network.name)} ({network.id}) is being removed "
                    "by its last user: name another one.",
                )
            if network.tags.issuperset(mine):
                return
            await self._add(network, mine)

    async def _add(self, network: Network, wanted: tuple[str, ...]) -> None:
        for tag in wanted:
            if tag not in network.tags:
                await self._cloud.add_tag(Kind.NETWORK, network.id, tag)


def subnet_tags(record: NetworkRecord, subnet: SubnetRecord) -> tuple[str, ...]:
    """Every tag that a network puts on one of its subnets."""
    made = (tags.MADE,) if subnet.made else ()
    if not subnet.pool_id:
        return made
    return (*made, *tags.pool_tags(record.id, subnet.pool_id))


def _attributes(record: NetworkRecord) -> tuple[str, ...]:
    """What a host without its ledger must know of the network to serve it rightly."""
    found: list[tuple[str, str]] = [("sg", group) for group in record.security_groups or ()]
    if record.qos_policy_id:
        found.append(("qos", record.qos_policy_id))
    if record.port_security is not None:
        found.append(("ps", str(int(record.port_security))))
    if record.pool_minimum is not None:
        found.append(("pmin", str(record.pool_minimum)))
    if record.pool_maximum is not None:
        found.append(("pmax", str(record.pool_maximum)))
    plain = [("internal", record.internal), ("gws", record.gateway_service)]
    return (
        *(tags.attribute_tag(record.id, key, value) for key, value in found),
        *(tags.attribute_tag(record.id, key) for key, there in plain if there),
    )
