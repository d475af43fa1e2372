# SPDX-License-Identifier: Apache-2.0
"""RequestPool and ReleasePool: ranges that an engine asks for before it names the network.

The engine does not say for which network it asks, and CreateNetwork does not carry the pool's id:
the two meet by range and gateway. So a second request for the same range waits until the first
has its network.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import IPNetwork, PoolId, SubnetPoolId
from kurier.model.naming import held_description, held_name
from kurier.model.neutron import NetworkSpec, Subnet, SubnetPool, SubnetSpec
from kurier.model.options import NetworkOptions, parse_network_options
from kurier.model.ranges import check_range
from kurier.model.records import Job, PoolRecord
from kurier.model.tags import KURYR_SUBNET_POOL_EXISTING, own_pool
from kurier.service.absence import unless_gone
from kurier.service.context import Context
from kurier.service.lookup import default_pool, find_network, find_pool, find_subnet
from kurier.service.outbox import PRECAUTION, UNANSWERED, JobKind, Outbox, why_again
from kurier.service.requests import PoolAnswer, PoolAsk

_HOLD = timedelta(seconds=30)
"""How long a pool without network counts as a creation under way."""
_PATIENCE = 7.5
"""Seconds that a second creation with the same range waits for the first."""
_REMOVED_BY_THEN = 20.0
"""Seconds after which an engine that removes a network has said so."""
_ABANDONED = 60.0
"""Seconds after which a range that was drawn and not stored is surely nobody's."""
_FORSAKEN = 120.0
"""Seconds after which a range that no network came for is nobody's, by this process's own clock.

No engine's call waits that long, and while a network is being made no range is given up: one that
goes meanwhile would leave a network that gives no addresses.
"""
_MOST_DRAWS = 8
"""Ranges drawn for an engine that refuses each, before it is told to stop."""


class Pools:
    """The ranges of this host's engine."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._changed = asyncio.Condition()
        self._creations = 0
        self._alone_since: dict[PoolId, float] = {}
        """Since when each range is known to have no network, in seconds of the monotonic clock."""
        self.asked = asyncio.Event()
        """Set when a range was asked for without naming one."""
        outbox.handle(JobKind.DROP_POOL, self._drop_held)
        outbox.handle(JobKind.DROP_KURYR_POOL, self._drop_kuryr_pool)

    async def request(self, ask: PoolAsk) -> PoolAnswer:
        """Answers RequestPool. Without a range, one of the user's subnet or a subnet pool."""
        options = parse_network_options(ask.options)
        if ask.cidr is None:
            return await self._unbounded(ask, options)
        check_range(ask.cidr, ask.ip_range)
        subnet = await self._named_subnet(options, ask.cidr.version)
        if subnet is not None and subnet.cidr != ask.cidr:
            raise bad_request(
                f"Subnet {subnet.name or subnet.id} has range {subnet.cidr}, not {ask.cidr}: give "
                f"--subnet {subnet.cidr}, or leave --subnet out."
            )
        pool_id = await self._new_id()
        await self._turn(ask.cidr)
        record = self._record(pool_id, ask.cidr, ask, options)
        if subnet is not None:
            record = replace(record, subnet_id=subnet.id, gateway=subnet.gateway)
        self._ledger.put_pool(record)
        return _answer(record)

    async def release(self, pool_id: PoolId) -> None:
        """Answers ReleasePool. A pool that serves a network goes with that network's removal,
        since the engine releases the pool before it deletes the network.
        """
        record = self._ledger.pool(pool_id)
        if record is None:
            if "-" in pool_id:  # kuryr-libnetwork's pool ids are Neutron subnet pools' UUIDs
                self._outbox.add(JobKind.DROP_KURYR_POOL, pool_id, delay=5.0)
            return
        if record.network is not None and self._ledger.network(record.network) is not None:
            # An engine whose creation failed gives the range back too, and then says no more.
            why = {PRECAUTION: "its range was given back"}
            self._outbox.add(JobKind.FORGET_NETWORK, record.network, delay=_REMOVED_BY_THEN, **why)
            return
        self._give_up(record)
        await self.announce()

    @property
    def creating(self) -> bool:
        """Whether a network is being made."""
        return self._creations > 0

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """While a network is being made, whatever Neutron takes for it."""
        self._creations += 1
        try:
            yield
        finally:
            self._creations -= 1

    def forget_forsaken(self) -> None:
        """Gives up ranges that no network came for: their engine never read the answer, or died."""
        if self._creations:
            self._alone_since.clear()
            return
        now = self._context.clock.monotonic()
        alone = self._alone()
        self._alone_since = {one.id: self._alone_since.get(one.id, now) for one in alone}
        for one in alone:
            if now - self._alone_since[one.id] >= _FORSAKEN:
                self._give_up(one)

    def unbound(self, cidr: IPNetwork) -> list[PoolRecord]:
        """The pools of this range that no network has come for, newest first."""
        found = [one for one in self._alone() if one.cidr == cidr]
        return sorted(found, key=lambda one: one.requested_at, reverse=True)

    def _alone(self) -> list[PoolRecord]:
        """The pools that no network has come for, but for those kept for one to come."""
        return [one for one in self._ledger.pools() if one.network is None and not one.waiting]

    def _give_up(self, record: PoolRecord) -> None:
        with self._ledger.transaction():
            self._ledger.drop_pool(record.id)
            if record.held_network:
                self._outbox.add(JobKind.DROP_POOL, record.id, network=record.held_network)

    async def announce(self) -> None:
        """Wakes those who wait for a range to be bound or released."""
        async with self._changed:
            self._changed.notify_all()

    async def _turn(self, cidr: IPNetwork) -> None:
        def free() -> bool:
            since = self._context.clock.now() - _HOLD
            return all(one.requested_at < since for one in self.unbound(cidr))

        if not await self._until(free):
            raise KurierError(
                Code.CONFLICT,
                f"Another docker network create with --subnet {cidr} is under way on this host: "
                "try again when it has ended.",
            )

    async def _until(self, ready: Callable[[], bool]) -> bool:
        try:
            async with asyncio.timeout(_PATIENCE), self._changed:
                await self._changed.wait_for(ready)
        except TimeoutError:
            return False
        return True

    async def _unbounded(self, ask: PoolAsk, options: NetworkOptions) -> PoolAnswer:
        version = 6 if ask.v6 else 4
        subnet = await self._named_subnet(options, version)
        if subnet is None and options.network:
            subnet = await self._subnet_of_network(options, version)
        record = (
            await self._draw(ask, options, version)
            if subnet is None
            else await self._offer(subnet, ask, options)
        )
        self.keep(record)
        return _answer(record)

    async def _named_subnet(self, options: NetworkOptions, version: int) -> Subnet | None:
        reference = options.subnet(version)
        if not reference:
            return None
        cloud = self._context.cloud
        network = await find_network(cloud, options.network) if options.network else None
        return await find_subnet(cloud, reference, network, version)

    async def _subnet_of_network(self, options: NetworkOptions, version: int) -> Subnet | None:
        network = await find_network(self._context.cloud, options.network)
        subnets = await self._context.cloud.subnets(network_id=network.id)
        fitting = [one for one in subnets if one.cidr.version == version]
        if len(fitting) > 1:
            raise KurierError(
                Code.AMBIGUOUS,
                f"Network {network.name or network.id} has {len(fitting)} IPv{version} subnets "
                f"({', '.join(sorted(str(one.cidr) for one in fitting))}): "
                "say which with --subnet.",
            )
        return fitting[0] if fitting else None

    async def _offer(self, subnet: Subnet, ask: PoolAsk, options: NetworkOptions) -> PoolRecord:
        pool_id = await self._new_id()
        if any(one.unbounded for one in self.unbound(subnet.cidr)):
            raise KurierError(
                Code.CONFLICT,
                f"The engine refuses the range {subnet.cidr} of subnet {subnet.name or subnet.id}: "
                "it overlaps a network or route of this host; give --subnet to insist.",
            )
        record = self._record(pool_id, subnet.cidr, ask, options)
        return replace(record, subnet_id=subnet.id, gateway=subnet.gateway, unbounded=True)

    async def _draw(self, ask: PoolAsk, options: NetworkOptions, version: int) -> PoolRecord:
        pool = await self._subnet_pool(options, version)
        self._refuse_endless_draws(pool)
        now = self._context.clock.now()
        drawn = self._waiting(pool) or await self.draw(pool)
        return replace(drawn, requested_at=now, options=options, waiting=False)

    def _waiting(self, pool: SubnetPool) -> PoolRecord | None:
        """A range of a subnet pool that was drawn beforehand, the oldest first."""
        self.asked.set()
        found = [
            one for one in self._ledger.pools() if one.waiting and one.subnet_pool_id == pool.id
        ]
        return min(found, key=lambda one: one.requested_at, default=None)

    async def draw(self, pool: SubnetPool) -> PoolRecord:
        """The next range of a subnet pool, with the network that holds it; not in the ledger.

        The job that takes it away is there first, and goes when the record is stored.
        """
        pool_id = await self._new_id()
        why = {UNANSWERED: "draw a range", PRECAUTION: "before it is drawn"}
        self._outbox.add(JobKind.DROP_POOL, pool_id, delay=_ABANDONED, **why)
        held = await self._hold(pool_id, pool)
        return PoolRecord(
            pool_id,
            held.cidr,
            self._context.clock.now(),
            subnet_id=held.id,
            held_network=held.network_id,
            gateway=held.gateway,
            subnet_pool_id=pool.id,
            unbounded=True,
            waiting=True,
        )

    def keep(self, record: PoolRecord) -> None:
        """Stores a range that was drawn; from now on it is not abandoned."""
        with self._ledger.transaction():
            self._ledger.put_pool(record)
            self._ledger.drop_job(JobKind.DROP_POOL, record.id)

    async def _subnet_pool(self, options: NetworkOptions, version: int) -> SubnetPool:
        cloud, settings = self._context.cloud, self._context.settings
        if options.pool(version):
            return await find_pool(cloud, options.pool(version), version)
        configured = settings.default_pool_v4 if version == 4 else settings.default_pool_v6
        return await default_pool(cloud, configured, version)

    def _refuse_endless_draws(self, pool: SubnetPool) -> None:
        since = self._context.clock.now() - _HOLD
        drawn = [
            one
            for one in self._ledger.pools()
            if one.unbounded
            and one.network is None
            and not one.waiting
            and one.requested_at >= since
        ]
        if len(drawn) >= _MOST_DRAWS:
            ranges = ", ".join(sorted(str(one.cidr) for one in drawn))
            raise KurierError(
                Code.CONFLICT,
                f"Subnet pool {pool.name or pool.id} gave {len(drawn)} ranges ({ranges}) and the "
                "engine refused each, as they overlap networks or routes of this host: give "
                "--subnet, or use another subnet pool.",
            )

    async def _hold(self, pool_id: PoolId, pool: SubnetPool) -> Subnet:
        """Draws a range: Neutron gives one only to a subnet, and a subnet needs a network."""
        spec = NetworkSpec(held_name(pool_id), held_description(pool_id))
        try:
            network = await self._context.cloud.create_network(spec)
            subnet = await self._context.cloud.create_subnet(
                SubnetSpec(
                    network.id,
                    f"kuryr-subnet-{pool_id[:8]}",
                    pool.ip_version,
                    subnet_pool_id=pool.id,
                    enable_dhcp=self._context.settings.enable_dhcp,
                )
            )
        except BaseException as error:
            self._outbox.add(JobKind.DROP_POOL, pool_id, delay=0.2, **why_again(error))
            raise
        return subnet

    def _record(
        self, pool_id: PoolId, cidr: IPNetwork, ask: PoolAsk, options: NetworkOptions
    ) -> PoolRecord:
        now = self._context.clock.now()
        return PoolRecord(pool_id, cidr, now, ip_range=ask.ip_range, options=options)

    async def _new_id(self) -> PoolId:
        """An id that tells this host, so that it finds its own among a Swarm's again."""
        random = self._context.names.hex(32)
        try:
            return own_pool(await self._context.host(), random)
        except KurierError:  # the switch is away, and a range can be had without it
            return PoolId(random)

    async def _drop_held(self, job: Job) -> None:
        cloud, pool_id = self._context.cloud, PoolId(job.key)
        for network in await cloud.networks(name=held_name(pool_id)):
            if network.description.endswith(pool_id):
                await cloud.delete_network(network.id)

    async def _drop_kuryr_pool(self, job: Job) -> None:
        pool_id = SubnetPoolId(job.key)
        pool = await unless_gone(self._context.cloud.subnet_pool(pool_id))
        if pool is None:
            return
        if pool.name.startswith("kuryrPool-") and KURYR_SUBNET_POOL_EXISTING not in pool.tags:
            await self._context.cloud.delete_subnet_pool(pool_id)


def _answer(record: PoolRecord) -> PoolAnswer:
    gateway = (
        ipaddress.ip_interface(f"{record.gateway}/{record.cidr.prefixlen}")
        if record.gateway is not None
        else None
    )
    return PoolAnswer(record.id, record.cidr, gateway)
