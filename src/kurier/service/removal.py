# SPDX-License-Identifier: Apache-2.0
"""Takes an engine network out of Neutron: our tags always, what we made only if nobody needs it."""

from __future__ import annotations

import asyncio
import json
import logging

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, NetworkId
from kurier.model.naming import network_description, network_name
from kurier.model.neutron import Kind, Network, Port, PortFilter, Subnet
from kurier.model.records import Job, LeaseState, NetworkRecord
from kurier.model.stock import Stage
from kurier.service.context import Context
from kurier.service.growth import Growth
from kurier.service.outbox import JobKind, Outbox
from kurier.service.ports import Ports
from kurier.service.recovery import Recovery

LOG = logging.getLogger(__name__)
LEFT_KEY = "left-standing"
_MOST_NOTES = 50
_LOOKS = 5
"""How often a network that changes under our hands is looked at again before giving up a turn."""
_SERVICE_OWNERS = ("network:dhcp", "network:distributed")
"""Ports that Neutron makes by itself and removes with the network."""


class Removal:
    """Ends mappings."""

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        ports: Ports,
        recovery: Recovery,
        growth: Growth,
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._outbox = outbox
        self._ports = ports
        self._recovery = recovery
        self._growth = growth
        outbox.handle(JobKind.DROP_NETWORK, self._drop)

    async def _drop(self, job: Job) -> None:
        network_id = DockerNetworkId(job.key)
        record = self._ledger.network(network_id)
        if record is None:
            return
        await self._release_leases(network_id)
        await self._empty_pool(network_id)
        if record.neutron_id is None:
            record = await self._find(record)
        note = await self._leave(record) if record.neutron_id is not None else ""
        with self._ledger.transaction():
            for pool in self._ledger.pools():
                if pool.network == network_id:
                    self._ledger.drop_pool(pool.id)
                    if "-" in pool.id:  # kuryr-libnetwork's: the UUID of a subnet pool
                        self._outbox.add(JobKind.DROP_KURYR_POOL, pool.id)
            self._ledger.drop_network(network_id)
            if note:
                self._remember(network_id, note)

    async def _release_leases(self, network_id: DockerNetworkId) -> None:
        """The engine removes a network only when no endpoint is left on it."""
        for lease in self._ledger.leases(network_id):
            if lease.state is not LeaseState.RELEASING:
                self._ports.release(lease)
            await self._ports.dropped(lease)

    async def _empty_pool(self, network_id: DockerNetworkId) -> None:
        """The keeper gives up the ports of a network that goes; their deletion is waited for."""
        await self._growth.ended(network_id)
        ports = [port for port in self._ledger.stock() if port.network == network_id]
        standing = [port for port in ports if port.stage is not Stage.DROPPING]
        self._growth.stock.drop_all(standing, "its network is removed")
        await asyncio.gather(*(self._outbox.settle(JobKind.DROP_STOCK, port.id) for port in ports))

    async def _find(self, record: NetworkRecord) -> NetworkRecord:
        """Looks for a network that the ledger does not know, or whose create's answer was lost."""
        try:
            return await self._recovery.read(record.id)
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                raise
        environment = await self._context.environment.require()
        description = network_description(environment, record.id)
        name = network_name(self._context.settings.network_prefix, record.id)
        for network in await self._cloud.networks(name=name):
            if network.description == description:
                await self._cloud.delete_network(network.id)
        return record

    async def _leave(self, record: NetworkRecord) -> str:
        """Takes our marks off and removes what is ours; the sentence tells what had to stay."""
        neutron_id = record.neutron_id
        if neutron_id is None or await self._look(neutron_id) is None:
            return ""
        for port_id in record.reserved_ports:
            await self._cloud.delete_port(port_id)
        for tag in record.tags:
            await self._cloud.remove_tag(Kind.NETWORK, neutron_id, tag)
        for subnet in record.subnets:
            if subnet.pool_id:
                for tag in (
                    tags.pool_tag(subnet.pool_id),
                    tags.serving_tag(record.id, subnet.pool_id),
                ):
                    await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tag)
        for _ in range(_LOOKS):
            try:
                return await self._clear(record, neutron_id)
            except KurierError as error:
                if error.code is not Code.CHANGED:
                    raise
        raise KurierError(Code.CHANGED, f"Network {neutron_id} changes while it is removed.")

    async def _clear(self, record: NetworkRecord, neutron_id: NetworkId) -> str:
        network = await self._look(neutron_id)
        if network is None:
            return ""
        ours = record.made or tags.MADE in network.tags
        others = tags.mappings(network.tags) or tags.kuryr_networks(network.tags)
        if ours and not others:
            return await self._remove_network(network)
        notes = [
            await self._remove_subnet(network, subnet)
            for subnet in await self._cloud.subnets(network_id=neutron_id)
            if _is_ours(subnet, record)
        ]
        return " ".join(filter(None, notes))

    async def _remove_network(self, network: Network) -> str:
        users = _foreign(await self._cloud.ports(PortFilter(network_id=network.id)))
        if users:
            return await self._hand_over(network, users)
        revision = network.revision
        if not (await self._cloud.capabilities()).revision_if_match:
            revision = 0
        try:
            await self._cloud.delete_network(network.id, revision or None)
        except KurierError as error:
            if error.code is not Code.IN_USE:
                raise
            users = _foreign(await self._cloud.ports(PortFilter(network_id=network.id)))
            return await self._hand_over(network, users)
        return ""

    async def _hand_over(self, network: Network, users: list[Port]) -> str:
        """Leaves a network that Kurier made to those who use it, with no mark of ours."""
        for subnet in await self._cloud.subnets(network_id=network.id):
            if tags.MADE in subnet.tags:
                await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tags.MADE)
        await self._cloud.remove_tag(Kind.NETWORK, network.id, tags.MADE)
        return (
            f"Neutron network {network.name or network.id} ({network.id}) is left standing, since "
            f"{_names(users)} still uses it: remove it with `openstack network delete "
            f"{network.id}` when nobody does."
        )

    async def _remove_subnet(self, network: Network, subnet: Subnet) -> str:
        try:
            await self._cloud.delete_subnet(subnet.id)
        except KurierError as error:
            if error.code is not Code.IN_USE:
                raise
            await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tags.MADE)
            return (
                f"Subnet {subnet.cidr} ({subnet.id}) of Neutron network "
                f"{network.name or network.id} is left standing, since ports still use it."
            )
        return ""

    async def _look(self, network_id: NetworkId) -> Network | None:
        try:
            return await self._cloud.network(network_id)
        except KurierError as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise

    def _remember(self, network_id: DockerNetworkId, note: str) -> None:
        LOG.warning("network %s: %s", network_id, note)
        notes: dict[str, str] = json.loads(self._ledger.meta(LEFT_KEY) or "{}")
        notes[network_id] = note
        kept = dict(list(notes.items())[-_MOST_NOTES:])
        self._ledger.set_meta(LEFT_KEY, json.dumps(kept))


def _is_ours(subnet: Subnet, record: NetworkRecord) -> bool:
    """Whether a subnet is Kurier's and no other pool is served from it."""
    made_here = any(one.id == subnet.id and one.made for one in record.subnets)
    served = any(tags.parse_pool(tag) for tag in subnet.tags)
    return (made_here or tags.MADE in subnet.tags) and not served


def _foreign(ports: list[Port]) -> list[Port]:
    return [port for port in ports if port.device_owner not in _SERVICE_OWNERS]


def _names(ports: list[Port]) -> str:
    told = [f"port {port.id} ({port.device_owner or 'no owner'})" for port in ports[:3]]
    more = f" and {len(ports) - 3} more" if len(ports) > 3 else ""
    return (", ".join(told) + more) or "something that these credentials may not see"
