# SPDX-License-Identifier: Apache-2.0
"""Makes one Neutron network for an engine network that several hosts meet at the same moment.

Neutron has no unique names, so that nothing stops two hosts from making a network each. So each
makes a *bid*: a network of its own with the engine network's key as description. A host looks only
after its bid is there; of two bids, therefore, at least the later one's maker sees the other. Who
sees no other bid builds its own and claims it, by a new name, with the revision that it looked at
(`If-Match`). Who sees another withdraws, but for the bid with the lowest id: its maker waits until
the others have withdrawn or one has claimed, since that one may have looked before. A bid that
stands still is a dead host's. Before it is deleted, it gets a name that says so, with the revision
that was looked at: a maker who was only slow either has claimed before, or finds its bid going.
(Neutron compares the revision of a DELETE at its beginning alone, so that the rename decides.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import NetworkId
from kurier.model.naming import BID_PREFIX, going_name, is_going, lasting_name
from kurier.model.neutron import Network, NetworkSpec
from kurier.service.doing import doing
from kurier.service.protocols import Clock, Cloud

LOG = logging.getLogger(__name__)
_PACE = 0.3
_DEAD = 5.0
"""Seconds after which a bid that does not change is taken for a dead host's. Building one takes
three calls to Neutron, each of which changes it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a host would make. `spec.name` is the network's name once it is claimed, and
    `spec.description` the engine network's whole key.
    """

    spec: NetworkSpec
    bid: str
    """The bid's name, this host's alone; as :func:`kurier.model.naming.bid_name` makes it."""
    entered: Callable[[Network], None]
    """Told of the bid before anything else is done with it."""
    mapping: tags.Mapping
    build: Callable[[Network], Awaitable[None]]
    """Puts into the bid whatever the others shall find in it."""


@dataclass(slots=True)
class _Watch:
    """Since when each bid is as it is, in seconds of the monotonic clock."""

    since: dict[tuple[NetworkId, int], float] = field(default_factory=dict)

    def still_for(self, bid: Network, now: float) -> float:
        return now - self.since.setdefault((bid.id, bid.revision), now)


class Election:
    """Finds the network of an engine network, or makes it: one, whoever takes part."""

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock

    async def run(self, candidate: Candidate) -> Network:
        """The network, claimed and built; goes on until there is one or it is cancelled."""
        watch = _Watch()
        doing("other hosts were making the same network")
        while True:
            claimed, bids = await self._look(candidate)
            if claimed is not None:
                return claimed
            # One that goes is awaited too: who deletes it may yet have to leave it.
            if not bids:
                won = await self._stand(candidate, watch)
                if won is not None:
                    return won
            else:
                await self._wait_for(bids, candidate.mapping, watch)

    async def _stand(self, candidate: Candidate, watch: _Watch) -> Network | None:
        """Bids; the network that came of it, or None where another's is awaited."""
        mine = await self._cloud.create_network(replace(candidate.spec, name=candidate.bid))
        candidate.entered(mine)
        while True:
            claimed, bids = await self._look(candidate)
            standing = {bid.id: bid for bid in bids if not is_going(bid.name)}
            if claimed is None and mine.id not in standing:
                await self._cloud.delete_network(mine.id)  # it is taken for dead, or gone
                return None
            others = [bid for bid in standing.values() if bid.id != mine.id]
            if claimed is not None or any(other.id < mine.id for other in others):
                await self._cloud.delete_network(mine.id)
                return claimed
            if not others:
                won = await self._claim(candidate, mine)
                if won is not None:
                    return won
            await self._wait_for(others, candidate.mapping, watch)

    async def _claim(self, candidate: Candidate, mine: Network) -> Network | None:
        spec = candidate.spec
        try:
            await candidate.build(mine)
            seen = await self._cloud.network(mine.id)
            if is_going(seen.name):
                return None  # taken for dead
            return await self._cloud.rename_network(
                mine.id, spec.name, spec.description, seen.revision
            )
        except KurierError as error:
            if error.code not in (Code.CHANGED, Code.NOT_FOUND):
                raise
            LOG.info("bid %s was not claimed: %s", mine.id, error.sentence)
            return None

    async def _look(self, candidate: Candidate) -> tuple[Network | None, list[Network]]:
        """What is claimed, and every bid and every former network that is being deleted."""
        found = await self._cloud.networks(description=candidate.spec.description)
        claimed = [one for one in found if one.name == candidate.spec.name]
        others = [one for one in found if one.name.startswith(BID_PREFIX) or is_going(one.name)]
        return min(claimed, key=lambda one: one.id, default=None), others

    async def _wait_for(self, others: list[Network], mapping: tags.Mapping, watch: _Watch) -> None:
        await asyncio.sleep(_PACE)
        for other in others:
            if watch.still_for(other, self._clock.monotonic()) < _DEAD:
                continue
            LOG.warning("%s (%s) stands still: its host is taken for dead", other.id, other.name)
            try:
                await self._clear(other, mapping)
            except KurierError as error:
                if error.code not in (Code.CHANGED, Code.IN_USE, Code.NOT_FOUND):
                    raise

    async def _clear(self, left: Network, mapping: tags.Mapping) -> None:
        """Ends what a dead host was at: a bid goes, and so does a network that was being deleted,
        unless others use it.
        """
        rest = left.tags - {tags.mapping_tag(mapping), *tags.kuryr_network_tags(mapping.network)}
        if left.name.startswith(BID_PREFIX):
            if not is_going(left.name):
                name = going_name(left.name, f"{left.revision:x}")
                await self._cloud.rename_network(left.id, name, left.description, left.revision)
            await self._cloud.delete_network(left.id)  # nobody claims it any more
        elif tags.in_use(rest):
            name = lasting_name(left.name)
            await self._cloud.rename_network(left.id, name, left.description, left.revision)
        else:
            await self._cloud.delete_network(left.id, left.revision)
