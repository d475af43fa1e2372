# SPDX-License-Identifier: Apache-2.0
"""Takes an engine network out of Neutron: our tags always, what we made only if nobody needs it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable

from kurier.model import tags
from kurier.model.departure import Step, next_step
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId
from kurier.model.naming import (
    bid_name,
    going_name,
    lasting_name,
    network_description,
    network_name,
    reserving_key,
)
from kurier.model.neutron import Kind, Network, Port, PortFilter
from kurier.model.port import IN_USE
from kurier.model.records import Job, NetworkRecord, NetworkState
from kurier.model.swarm import has_rivals, is_definition
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.holders import holders, named
from kurier.service.outbox import JobKind, Outbox
from kurier.service.ports import Ports
from kurier.service.recovery import Recovery
from kurier.service.stock import Stock
from kurier.service.subnet_claims import SubnetClaims

LOG = logging.getLogger(__name__)
LEFT_KEY = "left-standing"
OWN = "own"
"""In a job's payload: only what this host itself made goes, not whatever has the network's tags."""
_MOST_NOTES = 50
_LOOKS = 8
"""How often a network that changes under our hands is looked at again before giving up a turn."""


class Removal:
    """Ends mappings."""

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        ports: Ports,
        recovery: Recovery,
        stock: Stock,
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._cloud = context.cloud
        self._outbox = outbox
        self._ports = ports
        self._recovery = recovery
        self._claims = SubnetClaims(context)
        self._stock = stock
        outbox.handle(JobKind.DROP_NETWORK, self.drop)

    async def drop(self, job: Job) -> None:
        """Ends one engine network of this host: the outbox's job."""
        network_id = DockerNetworkId(job.key)
        record = self._ledger.network(network_id)
        if record is None or record.state is not NetworkState.REMOVING:
            return  # the engine asked for it anew since
        await self._drop_ports(network_id)
        if record.neutron_id is None:
            record = await self._find(record, own=OWN in job.payload)
        await self._drop_unknown(record)
        note = await self.leave(record) if record.neutron_id is not None else ""
        with self._ledger.transaction():
            for pool in self._ledger.pools():
                if pool.network == network_id:
                    self._ledger.drop_pool(pool.id)
                    if "-" in pool.id:  # kuryr-libnetwork's: the UUID of a subnet pool
                        self._outbox.add(JobKind.DROP_KURYR_POOL, pool.id)
            if self._outbox.last_look(job):
                self._ledger.drop_network(network_id)
            if note:
                self._remember(network_id, note)

    async def _drop_ports(self, network_id: DockerNetworkId) -> None:
        """All that the network has here; the deletion is waited for. The engine removes a network
        only when no endpoint is left on it.
        """
        for port in self._ledger.ports(network_id):
            if port.stage in IN_USE:
                self._ports.release(port)
        await self._stock.grown(network_id)
        self._stock.drop_all(self._stock.pooled(network_id), "its network is removed")
        await asyncio.gather(*map(self._ports.dropped, self._ledger.ports(network_id)))

    async def _drop_unknown(self, record: NetworkRecord) -> None:
        """Deletes this host's ports of an engine network that a lost ledger knew: no endpoint is
        left on it, and they would keep the network standing.
        """
        if record.neutron_id is None:
            return
        mine = (tags.host_tag(await self._context.host()),)
        known = {port.port_id for port in self._ledger.ports()}
        for port in await self._cloud.ports(PortFilter(record.neutron_id, tags=mine)):
            told = port.description.endswith(f"Docker network {record.id}")
            ours = not {tags.KURYR_PORT_EXISTING, tags.RESERVED} & port.tags
            if told and ours and port.id not in known:
                await self._cloud.delete_port(port.id)

    async def _find(self, record: NetworkRecord, *, own: bool) -> NetworkRecord:
        """Looks for a network that the ledger does not know, or whose create's answer was lost. Of
        a definition that could not be made, what is found by its tags is another manager's.
        """
        shared = tags.is_shared(record.id)
        await self._delete_unclaimed(record)
        if own and is_definition(record.id):
            return record
        try:
            found = await self._recovery.read(record.id)
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                raise
            return record
        if shared and not any(map(tags.is_attendance, found.tags)):
            return record  # other hosts' alone
        return found

    async def _delete_unclaimed(self, record: NetworkRecord) -> None:
        """Deletes what was made for an engine network and never tagged. Of a shared network that
        is this host's bid alone: whatever has its final name may be another host's.
        """
        if has_rivals(record.id):
            name = bid_name(record.id, await self._context.host())
        else:
            name = network_name(self._context.settings.network_prefix, record.id, record.name)
        keys = {
            network_description(environment, record.id)
            for environment in await self._context.environment.all()
        }
        for network in await self._cloud.networks(name=name):
            if network.description in keys and not tags.mappings(network.tags):
                await self._cloud.delete_network(network.id)

    async def leave(self, record: NetworkRecord) -> str:
        """Takes a mapping's marks off and removes what is its own; the sentence tells what had to
        stay. The record may be another host's, as read from tags.
        """
        neutron_id = record.neutron_id
        if neutron_id is None:
            return ""
        network = await unless_gone(self._cloud.network(neutron_id))
        if network is None:
            return ""
        await self._unserve(record)
        mapping = tags.Mapping(await self._mark(record), record.id)
        # Left by a stop in the middle of making a subnet, or of removing one.
        await self._remove_tags(network, (tags.making_tag(mapping, await self._context.host()),))
        await self._claims.stay(network, mapping)
        for _ in range(_LOOKS):
            network = await unless_gone(self._cloud.network(neutron_id))
            if network is None:
                return ""
            step = next_step(network.tags, frozenset(record.tags), mapping, made=record.made)
            try:
                note = await self._take(step, record, network, mapping)
            except KurierError as error:
                if error.code is not Code.CHANGED:
                    raise
                continue
            if note is not None:
                return note
        raise KurierError(Code.CHANGED, f"Network {neutron_id} changes while it is removed.")

    async def _take(
        self, step: Step, record: NetworkRecord, network: Network, mapping: tags.Mapping
    ) -> str | None:
        """Carries a step out; the note with which all is done, or None where more is to do."""
        attendance = [tag for tag in record.tags if tags.is_attendance(tag)]
        if step is Step.STEP_BACK:
            await self._remove_tags(network, attendance)
        elif step is Step.MEND:
            for tag in record.tags:
                if tag not in attendance:
                    await self._cloud.add_tag(Kind.NETWORK, network.id, tag)
        elif step is Step.DELETE:
            return await self._remove_network(record, network)
        elif step is Step.TAKE_OFF:
            await self._drop_reserved(record)
            await self._remove_tags(network, record.tags)
        elif tags.attendants(network.tags, mapping):
            return ""  # other hosts of the environment go on with network and subnets
        else:
            await self._drop_reserved(record)  # of one that failed before it had its tags
            return await self._clear(record, network, mapping)
        return None

    async def _mark(self, record: NetworkRecord) -> str:
        """The environment that the network was made in, which this host may have left since."""
        told = tags.environment_of(record.tags, record.id)
        return told or await self._context.environment.mark()

    async def _remove_tags(self, network: Network, which: Iterable[str]) -> None:
        for tag in which:
            if tag in network.tags:
                await self._cloud.remove_tag(Kind.NETWORK, network.id, tag)

    async def _unserve(self, record: NetworkRecord) -> None:
        """Takes this host's pools off the subnets."""
        for subnet in record.subnets:
            if subnet.pool_id:
                for tag in tags.pool_tags(record.id, subnet.pool_id):
                    await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tag)

    async def _drop_reserved(self, record: NetworkRecord) -> None:
        """Gives auxiliary addresses free. Another host may have made their ports, and the answer to
        one's create may have been lost: they are found by their key.
        """
        gone = set(record.reserved_ports)
        kept_out = any(subnet.auxiliary for subnet in record.subnets)
        if (kept_out or tags.is_shared(record.id)) and record.neutron_id is not None:
            held = PortFilter(record.neutron_id, device_id=reserving_key(record.id))
            gone |= {port.id for port in await self._cloud.ports(held)}
        for port_id in gone:
            await self._cloud.delete_port(port_id)

    async def _clear(self, record: NetworkRecord, network: Network, mapping: tags.Mapping) -> str:
        """Removes the subnets that are ours from a network that stays."""
        notes = [
            await self._claims.leave(record, network, subnet, mapping)
            for subnet in await self._cloud.subnets(network_id=network.id)
        ]
        return " ".join(filter(None, notes))

    async def _remove_network(self, record: NetworkRecord, network: Network) -> str:
        users = await self._users(record, network)
        if not users:
            await self._doom(record, network)
            try:
                await self._cloud.delete_network(network.id)
                return ""
            except KurierError as error:
                if error.code is not Code.IN_USE:
                    raise
            users = await self._users(record, network)
        return await self._hand_over(record, network, users)

    async def _users(self, record: NetworkRecord, network: Network) -> list[Port]:
        """Ports that keep a network from being deleted."""
        await self._drop_reserved(record)
        return holders(await self._cloud.ports(PortFilter(network_id=network.id)))

    async def _doom(self, record: NetworkRecord, network: Network) -> None:
        """Says by the network's name that it goes, then looks once more; CHANGED where somebody
        came in between.

        Neutron compares the revision of a DELETE at its beginning alone (it takes subnets and
        ports away first, in transactions of their own), so that the rename is what decides. Who
        comes puts his tags on and then looks at the name: one of the two sees the other.
        """
        name = lasting_name(network.name)
        going = going_name(name, self._context.names.hex(8))
        doomed = await self._cloud.rename_network(
            network.id, going, network.description, network.revision
        )
        seen = await unless_gone(self._cloud.network(network.id))
        if seen is not None and tags.in_use(seen.tags - frozenset(record.tags)):
            await self._cloud.rename_network(network.id, name, network.description, seen.revision)
            raise KurierError(Code.CHANGED, f"Network {doomed.id} has a new user.")

    async def _hand_over(self, record: NetworkRecord, network: Network, users: list[Port]) -> str:
        """Leaves a network that Kurier made to those who use it, with no mark of ours."""
        for subnet in await self._cloud.subnets(network_id=network.id):
            if tags.MADE in subnet.tags:
                await self._cloud.remove_tag(Kind.SUBNET, subnet.id, tags.MADE)
        await self._remove_tags(network, (*record.tags, tags.MADE))
        name = lasting_name(network.name)
        await self._cloud.rename_network(network.id, name, network.description)
        return (
            f"Neutron network {name or network.id} ({network.id}) is left standing, since "
            f"{named(users)} still uses it: remove it with `openstack network delete "
            f"{network.id}` when nobody does."
        )

    def _remember(self, network_id: DockerNetworkId, note: str) -> None:
        LOG.warning("network %s: %s", network_id, note)
        notes: dict[str, str] = json.loads(self._ledger.meta(LEFT_KEY) or "{}")
        notes[network_id] = note
        kept = dict(list(notes.items())[-_MOST_NOTES:])
        self._ledger.set_meta(LEFT_KEY, json.dumps(kept))
