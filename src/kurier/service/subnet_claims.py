# SPDX-License-Identifier: Apache-2.0
"""Who comes to a subnet on a network that is not Kurier's, and who takes it along as the last one.

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
from kurier.model.neutron import Kind, Network, Port, PortFilter, Subnet
from kurier.model.records import NetworkRecord, SubnetRecord
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
            if error.code is Code.NOT_FOUND:
                return False
            raise
        return True

    async def remove(
        self, record: NetworkRecord, network: Network, subnet: Subnet, mapping: tags.Mapping
    ) -> str:
        """Deletes a network's own subnet that nobody else claims; the sentence tells why it had to
        stay though nobody does.
        """
        mine = tags.going_tag(mapping, await self._context.host())
        users: list[Port] = []
        for _ in range(_TRIES):
            try:
                if not await self._gone(record, subnet, mine):
                    await self._cloud.remove_tag(Kind.SUBNET, subnet.id, mine)
                return ""
            except KurierError as error:
                if error.code not in (Code.CHANGED, Code.IN_USE):
                    raise
            on_it = PortFilter(network_id=network.id, subnet_id=subnet.id)
            users = holders(await self._cloud.ports(on_it))
            if users:
                break
            # Neutron calls a subnet used, too, while another host's deletion is under way.
            await asyncio.sleep(_PACE)
        for tag in (mine, tags.MADE):
            await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tag)
        return (
            f"Subnet {subnet.cidr} ({subnet.id}) of Neutron network "
            f"{network.name or network.id} is left standing, since {named(users)} still uses it."
        )

    async def _gone(self, record: NetworkRecord, subnet: Subnet, mine: str) -> bool:
        """Says that a subnet goes and deletes it; False where somebody else claims it. CHANGED,
        IN_USE.
        """
        try:
            await self._cloud.add_tag(Kind.SUBNET, subnet.id, mine)
            seen = await self._cloud.subnet(subnet.id)
            if not is_ours(seen, record):
                return False
            await self._cloud.delete_subnet(subnet.id, seen.revision)
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        return True

    async def _going(self, subnet: SubnetRecord) -> set[str]:
        return set(filter(tags.is_going, (await self._cloud.subnet(subnet.id)).tags))


def is_ours(subnet: Subnet, record: NetworkRecord) -> bool:
    """Whether a subnet is Kurier's and no other pool is served from it. One whose maker was stopped
    before it had its tags is told by its description.
    """
    made_here = any(one.id == subnet.id and one.made for one in record.subnets)
    made_here = made_here or subnet.description == subnet_description(record.id)
    served = any(tags.parse_pool(tag) for tag in subnet.tags)
    return (made_here or tags.MADE in subnet.tags) and not served
