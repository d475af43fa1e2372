# SPDX-License-Identifier: Apache-2.0
"""The hosts of this cloud, and the end of one that died for good.

Everything is looked at before anything is touched: a list that fails means that nothing is done.
What goes then goes through the same steps as when its own host leaves, so that hosts that come and
go meanwhile are safe. Whatever is cut off is finished by doing it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from kurier.model import tags
from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.hosts import HostTraces, Life, life_of, traces
from kurier.model.ids import SecurityGroupId
from kurier.model.leftovers import Leftovers, Seen, leftovers, served, sharers
from kurier.model.neutron import Agent, Network, Port, PortFilter
from kurier.service.context import DEVICE_OWNER, Context
from kurier.service.exposure import Exposure
from kurier.service.ports import give_back
from kurier.service.removal import Removal

LOG = logging.getLogger(__name__)
_AT_ONCE = 4
"""Ports deleted at the same time: the daemon's own work needs threads as well."""
_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class HostView:
    """One host, as Neutron tells of it."""

    host: str
    """Empty where only its mark is told."""
    mark: str
    here: bool
    leased: int
    ready: int
    networks: int
    alive: Life


@dataclass(frozen=True, slots=True)
class LeftPort:
    """A port of a host that is to be forgotten."""

    port: str
    name: str
    network: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeftNetwork:
    """An engine network of such a host."""

    docker_id: str
    neutron_id: str
    neutron_name: str
    others: int
    """Hosts that share it and keep it."""


@dataclass(frozen=True, slots=True)
class HostLeftovers:
    """What forgetting a host takes away; as an answer to it, what was taken away."""

    host: str
    alive: Life
    ports: tuple[LeftPort, ...] = ()
    given_back: tuple[LeftPort, ...] = ()
    """Ports that were there before, which go back to their owners."""
    networks: tuple[LeftNetwork, ...] = ()
    unclaimed: tuple[str, ...] = ()
    """Neutron networks that it made and had not put to use, by name."""
    tags: int = 0
    """Further tags of its own, on networks and subnets."""
    notes: tuple[str, ...] = field(default=())
    """What stays, and why."""


class Hosts:
    """Tells of hosts, and forgets them."""

    def __init__(self, context: Context, removal: Removal, exposure: Exposure) -> None:
        self._context = context
        self._cloud = context.cloud
        self._removal = removal
        self._exposure = exposure
        self._one = asyncio.Lock()

    async def views(self) -> list[HostView]:
        """Every host that has ports of Kurier's, or a part in a network."""
        own = await self._context.host()
        agents = await self._cloud.agents()
        ports = await self._ports_everywhere()
        networks, subnets = await self._cloud.networks(), await self._cloud.subnets()
        names = {own, *(agent.host for agent in agents)}
        return [
            _host_view(one, own, agents) for one in traces(ports, networks, subnets, sorted(names))
        ]

    async def look(self, host: str, *, force: bool = False) -> HostLeftovers:
        """What forgetting a host would take away. BAD_REQUEST where it is this daemon's own,
        IN_USE where it is alive and `force` is off.
        """
        life = await self._refuse_living(host, force)
        return _told(host, life, await self._left(host))

    async def forget(self, host: str, *, force: bool = False) -> HostLeftovers:
        """Takes it away; what was taken, and what had to stay. Refuses as :meth:`look` does."""
        async with self._one:
            life = await self._refuse_living(host, force)
            found = await self._left(host)
            groups = await self._exposure.worn_by(found.made)
            LOG.warning("host %s is forgotten: %d ports", host, len(found.made + found.adopted))
            notes = await self._take_away(found, groups)
        return _told(host, life, found, notes)

    async def _refuse_living(self, host: str, force: bool) -> Life:
        if host == await self._context.host():
            raise bad_request(
                f"{host} is the host that this daemon runs on: forget it from another one, when "
                "it is gone for good."
            )
        life = life_of(host, await self._cloud.agents())
        if life is Life.YES and not force:
            raise KurierError(
                Code.IN_USE,
                f"Neutron's agents on host {host} are alive (`openstack network agent list --host "
                f"{host}`): remove its networks there, or give --force if its engine is gone for "
                "good.",
            )
        return life

    async def _ports_everywhere(self) -> list[Port]:
        made = await self._cloud.ports(PortFilter(device_owner=DEVICE_OWNER))
        adopted = await self._cloud.ports(PortFilter(tags=(tags.KURYR_PORT_EXISTING,)))
        return list({port.id: port for port in (*made, *adopted)}.values())

    async def _left(self, host: str) -> Leftovers:
        networks, subnets = await self._cloud.networks(), await self._cloud.subnets()
        ports = await self._cloud.ports(PortFilter(tags=(tags.host_tag(host),)))
        neighbours: list[Port] = []
        for network in served(host, networks, subnets):
            neighbours += await self._cloud.ports(PortFilter(network_id=network.id))
        seen = Seen(networks, subnets, ports, neighbours)
        return leftovers(host, seen, self._context.clock.now())

    async def _take_away(
        self, found: Leftovers, groups: Sequence[SecurityGroupId]
    ) -> tuple[str, ...]:
        await _in_batches(found.made, lambda port: self._cloud.delete_port(port.id))
        await _in_batches(found.adopted, lambda port: give_back(self._cloud, port))
        for group in groups:
            await self._exposure.drop(group)
        notes = [await self._drop_unclaimed(network) for network in found.unclaimed]
        notes += [await self._removal.leave(record) for _, record in found.endings]
        for stray in found.strays:
            await self._cloud.remove_tag(stray.kind, stray.resource, stray.tag)
        return tuple(filter(None, notes))

    async def _drop_unclaimed(self, network: Network) -> str:
        try:
            await self._cloud.delete_network(network.id, network.revision)
        except KurierError as error:
            if error.code not in (Code.CHANGED, Code.IN_USE):
                raise
            return f"Neutron network {network.name} ({network.id}) stays: {error.sentence}"
        return ""


async def _in_batches(
    things: Sequence[_Thing], work: Callable[[_Thing], Awaitable[object]]
) -> None:
    for start in range(0, len(things), _AT_ONCE):
        await asyncio.gather(*(work(one) for one in things[start : start + _AT_ONCE]))


def _host_view(found: HostTraces, own: str, agents: Sequence[Agent]) -> HostView:
    return HostView(
        found.host,
        found.mark,
        found.host == own,
        found.leased,
        found.ready,
        found.networks,
        life_of(found.host, agents) if found.host else Life.UNKNOWN,
    )


def _told(host: str, life: Life, found: Leftovers, notes: tuple[str, ...] = ()) -> HostLeftovers:
    return HostLeftovers(
        host,
        life,
        tuple(map(_left_port, found.made)),
        tuple(map(_left_port, found.adopted)),
        tuple(
            LeftNetwork(record.id, network.id, network.name, sharers(host, network, record))
            for network, record in found.endings
        ),
        tuple(network.name for network in found.unclaimed),
        len(found.strays),
        (*found.kept, *notes),
    )


def _left_port(port: Port) -> LeftPort:
    return LeftPort(
        port.id, port.name, port.network_id, tuple(str(one.address) for one in port.fixed_ips)
    )
