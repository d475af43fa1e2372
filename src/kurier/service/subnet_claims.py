# SPDX-License-Identifier: Apache-2.0
"""Who comes to a subnet on a network that others use too, and who takes it along as the last one.

Both say so by a tag on the subnet, and look after that: who comes puts its pool's tags on it, who
deletes it one that says that it goes. At least the later of the two sees the other. Who deletes
steps back; who comes waits for what becomes of the subnet.
"""

from __future__ import annotations

import asyncio
import logging

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.naming import subnet_description
from kurier.model.neutron import Kind, Network, PortFilter, Subnet
from kurier.model.records import NetworkRecord, SubnetRecord
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.doing import doing
from kurier.service.holders import holders, named
from kurier.service.network_tags import subnet_tags
from kurier.service.standing import Standing

LOG = logging.getLogger(__name__)
_PACE = 0.3
_TRIES = 12


class SubnetClaims:
    """Uses of subnets that several engine networks, or several hosts, may have."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._cloud = context.cloud

    async def claim(self, record: NetworkRecord, subnet: SubnetRecord) -> bool:
        """Puts a network's tags on its subnet; False where that is gone."""
        doing(f"Neutron was tagging subnet {subnet.cidr}")
        standing = Standing(self._context.clock)
        try:
            for tag in subnet_tags(record, subnet):
                await self._cloud.add_tag(Kind.SUBNET, subnet.id, tag)
            while going := await self._going(subnet):
                doing(f"the last host that used subnet {subnet.cidr} was removing it")
                for tag in standing.dead(going):
                    LOG.warning("%s of subnet %s stands still: it is taken off", tag, subnet.id)
                    await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tag)
                await asyncio.sleep(_PACE)
        except KurierError as error:
            gone = error.code is Code.NOT_FOUND
            if not gone or await unless_gone(self._cloud.subnet(subnet.id)) is not None:
                raise
            return False
        return True

    async def stay(self, network: Network, mapping: tags.Mapping) -> None:
        """Takes back what a removal said of subnets that was stopped in the middle of it."""
        mine = tags.going_tag(mapping, await self._context.host())
        for subnet in await self._cloud.subnets(network_id=network.id):
            if mine in subnet.tags:
                await self._cloud.remove_tag(Kind.SUBNET, subnet.id, mine)

    async def leave(
        self, record: NetworkRecord, network: Network, subnet: Subnet, mapping: tags.Mapping
    ) -> str:
        """Deletes a network's own subnet unless somebody else claims it; the sentence tells why it
        had to stay though nobody does. CHANGED where others change it all the time.
        """
        if not _is_ours(subnet, record):
            return ""
        mine = tags.going_tag(mapping, await self._context.host())
        for _ in range(_TRIES):
            try:
                return await self._delete(subnet, mine)
            except KurierError as error:
                if error.code not in (Code.CHANGED, Code.IN_USE):
                    raise
                refusal = error
            on_it = PortFilter(network_id=network.id, subnet_id=subnet.id)
            users = holders(await self._cloud.ports(on_it))
            if users:
                break
            # Neutron calls a subnet used, too, while another host's deletion is under way.
            await asyncio.sleep(_PACE)
        await self._cloud.remove_tag(Kind.SUBNET, subnet.id, mine)
        seen = await unless_gone(self._cloud.subnet(subnet.id))
        if seen is None or _is_served(seen):
            return ""
        if refusal.code is Code.CHANGED:
            raise refusal
        await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tags.MADE)
        return (
            f"Subnet {subnet.cidr} ({subnet.id}) of Neutron network "
            f"{network.name or network.id} is left standing, since {named(users)} still uses it."
        )

    async def _delete(self, subnet: Subnet, mine: str) -> str:
        """Says that a subnet goes, and deletes it unless somebody claims it, who has it then with
        the mark that it is Kurier's. CHANGED, IN_USE.
        """
        try:
            if not _is_served(subnet):
                await self._cloud.add_tag(Kind.SUBNET, subnet.id, mine)
                subnet = await self._cloud.subnet(subnet.id)
                if not _is_served(subnet):
                    await self._cloud.delete_subnet(subnet.id, subnet.revision)
                    return ""
            if tags.MADE not in subnet.tags:
                await self._cloud.add_tag(Kind.SUBNET, subnet.id, tags.MADE)
            if mine in subnet.tags:
                await self._cloud.remove_tag(Kind.SUBNET, subnet.id, mine)
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        return ""

    async def _going(self, subnet: SubnetRecord) -> set[str]:
        return {tag for tag in (await self._cloud.subnet(subnet.id)).tags if tags.going_mark(tag)}


def _is_ours(subnet: Subnet, record: NetworkRecord) -> bool:
    """Whether Kurier made a subnet. One whose maker was stopped before it had its tags is told by
    its description.
    """
    made_here = any(one.id == subnet.id and one.made for one in record.subnets)
    described = subnet.description == subnet_description(record.id)
    return made_here or described or tags.MADE in subnet.tags


def _is_served(subnet: Subnet) -> bool:
    """Whether any pool is served from a subnet."""
    return any(tags.parse_pool(tag) for tag in subnet.tags)
