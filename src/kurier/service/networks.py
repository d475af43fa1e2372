# SPDX-License-Identifier: Apache-2.0
"""CreateNetwork and DeleteNetwork, and the engine networks that this host knows."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from kurier.model.errors import NOTHING_WAS_MADE, Code, KurierError, bad_request
from kurier.model.ids import DockerNetworkId, PoolId
from kurier.model.options import NetworkOptions, parse_network_options
from kurier.model.records import Job, NetworkRecord, NetworkState, PoolRecord
from kurier.service.assembly import Assembly
from kurier.service.context import Context
from kurier.service.doing import doing, patience
from kurier.service.keeper import Keeper
from kurier.service.outbox import UNANSWERED, JobKind, Outbox, why_again
from kurier.service.part import Part
from kurier.service.pools import Pools
from kurier.service.recovery import Recovery
from kurier.service.removal import LEFT_KEY, OWN
from kurier.service.requests import NetworkAsk, PoolData
from kurier.service.turns import Turns

LOG = logging.getLogger(__name__)
_REMOVAL_PATIENCE = 3.0
"""Seconds that a removal is waited for: a network may have many ready ports."""
_FORGETTING = 20.0
"""Seconds between the looks whether an engine still knows a network whose range it gave back."""
_LOOKED = "looked"
_OWN = {OWN: "it was made here"}
_POOL_PATIENCE = 6.0
"""Seconds that a creation with `kurier.pool.wait` waits at most for its pool."""


class Networks:
    """The engine networks of this host."""

    def __init__(
        self,
        context: Context,
        outbox: Outbox,
        pools: Pools,
        assembly: Assembly,
        recovery: Recovery,
        keeper: Keeper,
    ) -> None:
        self._context = context
        self._ledger = context.ledger
        self._outbox = outbox
        self._pools = pools
        self._assembly = assembly
        self._recovery = recovery
        self._keeper = keeper
        self._turns = Turns()
        outbox.handle(JobKind.FORGET_NETWORK, self._forget)

    async def require(self, network_id: DockerNetworkId) -> NetworkRecord:
        """A network in use; recovered from Neutron's tags where the ledger has none."""
        record = self._ledger.network(network_id)
        if record is None:
            record = await self._recovery.network(network_id)
        if record.state is not NetworkState.ACTIVE:
            raise KurierError(
                Code.NOT_FOUND,
                f"Network {record.name or network_id} is being "
                f"{'made' if record.state is NetworkState.CREATING else 'removed'}: try again.",
            )
        return record

    async def pool(self, pool_id: PoolId) -> PoolRecord:
        """A pool; recovered from Neutron's tags where the ledger has none."""
        return self._ledger.pool(pool_id) or await self._recovery.pool(pool_id)

    async def create(self, ask: NetworkAsk) -> None:
        """Answers CreateNetwork; what was half made is taken away before an error leaves."""
        with self._pools.awaited():
            await self._create_in_turn(ask)

    async def _create_in_turn(self, ask: NetworkAsk) -> None:
        async with self._turns.turn(ask.id):
            record = self._ledger.network(ask.id)
            if record is not None and record.state is NetworkState.ACTIVE:
                if not self._was_given_up(ask):
                    return
                self.schedule_removal(record)
            elif record is not None and record.state is NetworkState.CREATING:
                self._undo_former(record)
            if record is not None:
                await self._outbox.settle(JobKind.DROP_NETWORK, ask.id)
            await self._create(ask)

    def _was_given_up(self, ask: NetworkAsk) -> bool:
        """Whether the engine asks for a network that it holds for failed, or removed, although it
        was made: it asked for the range again, and addresses of the earlier one will not be asked
        for any more.
        """
        return any(self._fitting(pool) for pool in ask.pools)

    async def _create(self, ask: NetworkAsk) -> None:
        options = parse_network_options(ask.options)
        parts = tuple(self._part(pool, options) for pool in ask.pools)
        if not parts:
            raise bad_request(
                "This network has no address range: give --subnet, and --ipam-driver kuryr."
            )
        record = NetworkRecord(
            ask.id,
            NetworkState.CREATING,
            self._context.clock.now(),
            name=ask.name,
            internal=ask.internal,
            gateway_service=options.gateway_service,
            pool_minimum=options.pool_minimum,
            pool_maximum=options.pool_maximum,
        )
        try:
            active = await self._assembly.build(record, options, parts)
        except BaseException as error:
            await self._undo(ask.id, error)
            raise
        self._bind(active, parts)
        await self._pools.announce()
        self._keeper.stock.changed.set()
        if options.pool_wait:
            doing("Neutron was making the pool's first ports")
            await self._keeper.filled(active, patience(_POOL_PATIENCE))
        # The engine lists the network once it has our answer.
        self._outbox.add(JobKind.NAME_NETWORK, active.id, delay=0.7)

    async def delete(self, network_id: DockerNetworkId) -> None:
        """Answers DeleteNetwork. Where Neutron is away the work is done later; where a network
        of Kurier's making must stand, since others use it, the sentence says so.
        """
        record = self._ledger.network(network_id)
        if record is None:
            record = NetworkRecord(network_id, NetworkState.REMOVING, self._context.clock.now())
        await self.remove(record)

    async def remove(self, record: NetworkRecord) -> None:
        """Takes a network away, or has that go on where it takes long; IN_USE, in a sentence, where
        it must be left standing.
        """
        self.schedule_removal(record)
        try:
            async with asyncio.timeout(_REMOVAL_PATIENCE):
                await self._outbox.settle(JobKind.DROP_NETWORK, record.id)
        except TimeoutError:
            LOG.info("network %s takes long to remove; that goes on", record.id)
            return
        except KurierError as error:
            if error.code is Code.IN_USE:
                raise
            LOG.warning("network %s is removed later: %s", record.id, error.sentence)
            return
        left = self.left_standing().get(record.id)
        if left:
            raise KurierError(Code.IN_USE, left)

    async def take_back(self, record: NetworkRecord) -> None:
        """Removes what was just made for a network, whatever else has its id."""
        self.schedule_removal(record, why=_OWN)
        await self._settle_undoing(record.id)

    def left_standing(self) -> dict[str, str]:
        """What Kurier had to leave in Neutron, by engine network, with the reason."""
        found: dict[str, str] = json.loads(self._ledger.meta(LEFT_KEY) or "{}")
        return found

    def finish_what_was_cut_off(self) -> None:
        """At start: takes away networks whose making or removal a stop cut off, but for those that
        are being made again.
        """
        for record in self._ledger.networks():
            if record.state is NetworkState.CREATING and not self._turns.busy(record.id):
                self._undo_former(record)
            elif (
                record.state is NetworkState.REMOVING
                and self._ledger.job(JobKind.DROP_NETWORK, record.id) is None
            ):
                self.schedule_removal(record)

    def _undo_former(self, record: NetworkRecord) -> None:
        """Takes away what a former life had begun to make."""
        self.schedule_removal(record, why={**_OWN, UNANSWERED: "Kurier was stopped"})

    async def _forget(self, job: Job) -> None:
        """Takes away a network whose range the engine gave back, if two whole lists of the engine's
        lack it: the answer to its creation was lost, or the call that removes it.
        """
        record = self._ledger.network(DockerNetworkId(job.key))
        if record is None or record.state is not NetworkState.ACTIVE:
            return
        if record.id in await self._context.engine.networks():
            return
        if _LOOKED not in job.payload:
            again = {**job.payload, _LOOKED: "once"}
            self._outbox.add(JobKind.FORGET_NETWORK, record.id, delay=_FORGETTING, **again)
            return
        LOG.warning("network %s is taken away: the engine does not know it any more", record.id)
        self.schedule_removal(record)

    def schedule_removal(
        self, record: NetworkRecord, *, delay: float = 0.0, why: Mapping[str, str] | None = None
    ) -> None:
        """Has a network taken away in the background, `delay` seconds from now."""
        with self._ledger.transaction():
            self._ledger.put_network(replace(record, state=NetworkState.REMOVING))
            self._outbox.add(JobKind.DROP_NETWORK, record.id, delay=delay, **(why or {}))
            self._ledger.drop_job(JobKind.FORGET_NETWORK, record.id)

    async def _undo(self, network_id: DockerNetworkId, error: BaseException) -> None:
        record = self._ledger.network(network_id)
        if record is None:
            return
        refused = isinstance(error, KurierError) and error.code in NOTHING_WAS_MADE
        if refused and record.neutron_id is None:
            self._ledger.drop_network(network_id)
            return
        cancelled = isinstance(error, asyncio.CancelledError)
        why = {**_OWN, **why_again(error)}
        self.schedule_removal(record, delay=3.0 if cancelled else 0.0, why=why)
        if not cancelled:
            await self._settle_undoing(network_id)

    async def _settle_undoing(self, network_id: DockerNetworkId) -> None:
        try:
            async with asyncio.timeout(3.0):
                await self._outbox.settle(JobKind.DROP_NETWORK, network_id)
        except (KurierError, TimeoutError) as undo:
            LOG.warning("what was made for network %s is removed later: %s", network_id, undo)

    def _fitting(self, data: PoolData) -> list[PoolRecord]:
        """The ranges asked for that this one of a network may be, newest first."""
        return [
            pool
            for pool in self._pools.unbound(data.cidr)
            if data.gateway is None or pool.gateway in (None, data.gateway)
        ]

    def _part(self, data: PoolData, options: NetworkOptions) -> Part:
        """A range of the network with the pool that the engine asked for first."""
        fitting = self._fitting(data)
        if data.cidr.prefixlen == 0:
            raise bad_request(
                "Range 0.0.0.0/0 cannot be a Neutron subnet: use --ipam-driver kuryr and --subnet."
            )
        pool = fitting[0] if fitting else None
        if pool is None and data.ours:
            raise KurierError(
                Code.CONFLICT,
                f"Range {data.cidr} was asked for before Kurier's ledger was lost, or was given up "
                "since: create the network again.",
            )
        named = pool.options if pool else NetworkOptions()
        version = data.cidr.version
        return Part(
            data.cidr,
            data.gateway,
            pool,
            options.subnet(version) or named.subnet(version),
            options.pool(version) or named.pool(version),
            options.network or named.network,
            tuple(data.auxiliary.values()),
        )

    def _bind(self, record: NetworkRecord, parts: tuple[Part, ...]) -> None:
        with self._ledger.transaction():
            self._ledger.put_network(record)
            for part in parts:
                if part.pool is not None:
                    subnet = next(one for one in record.subnets if one.cidr == part.cidr)
                    self._ledger.put_pool(
                        replace(
                            part.pool, network=record.id, subnet_id=subnet.id, held_network=None
                        )
                    )
