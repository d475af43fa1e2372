# SPDX-License-Identifier: Apache-2.0
"""A Neutron of networks, subnets and tags in memory, for races that need every order of events.

It refuses what the real one refuses (`If-Match`, overlaps, what is gone), and each call takes some
of the loop's time before and after its effect, one in ten of them ten times as long. A DELETE
compares its revision at its beginning alone, as the real one was seen to do.
`tests/cloud/test_races.py` runs such races on the real one.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from kurier.model.errors import Code, KurierError
from kurier.model.ids import IPNetwork, NetworkId, PortId, SubnetId
from kurier.model.neutron import (
    Kind,
    Network,
    NetworkSpec,
    Port,
    PortFilter,
    Subnet,
    SubnetSpec,
)

_Answer = TypeVar("_Answer")


class NeutronInMemory:
    """What `service.protocols.Cloud` says of networks, subnets and their tags."""

    def __init__(self, chance: Random, usual: float = 0.2, tail: float = 0.1) -> None:
        self._chance = chance
        self._usual = usual
        self._tail = tail
        self.there: dict[NetworkId, Network] = {}
        self._subnets: dict[SubnetId, Subnet] = {}
        self._going: set[SubnetId] = set()
        self.made = 0
        """How many networks were ever made."""
        self.deleted: list[str] = []
        """The names of networks that were deleted, in order."""

    async def network(self, network_id: NetworkId) -> Network:
        return await self._at_some_moment(lambda: self._require(network_id))

    async def networks(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Network]:
        return await self._at_some_moment(
            lambda: [
                one
                for one in self.there.values()
                if name in (None, one.name)
                and description in (None, one.description)
                and one.tags.issuperset(tags)
            ]
        )

    async def create_network(self, spec: NetworkSpec) -> Network:
        def create() -> Network:
            identity = NetworkId(f"{self._chance.getrandbits(64):016x}")
            self.there[identity] = Network(identity, spec.name, spec.description)
            self.made += 1
            return self.there[identity]

        return await self._at_some_moment(create)

    async def rename_network(
        self, network_id: NetworkId, name: str, description: str, revision: int | None = None
    ) -> Network:
        def rename() -> Network:
            self._compare(network_id, revision)
            return self._change(network_id, name=name, description=description)

        return await self._at_some_moment(rename)

    async def delete_network(self, network_id: NetworkId, revision: int | None = None) -> None:
        def compare() -> bool:
            if network_id in self.there:
                self._compare(network_id, revision)
            return network_id in self.there

        def delete() -> None:
            for subnet in [one for one in self._subnets.values() if one.network_id == network_id]:
                del self._subnets[subnet.id]
            gone = self.there.pop(network_id, None)
            self.deleted += [gone.name] if gone else []

        if await self._at_some_moment(compare):
            await self._at_some_moment(delete)

    async def subnets(
        self, *, network_id: NetworkId | None = None, cidr: IPNetwork | None = None, **_: object
    ) -> list[Subnet]:
        return await self._at_some_moment(
            lambda: [
                one
                for one in self._subnets.values()
                if network_id in (None, one.network_id) and cidr in (None, one.cidr)
            ]
        )

    async def create_subnet(self, spec: SubnetSpec) -> Subnet:
        def check() -> None:
            self._require(spec.network_id)
            there = [one for one in self._subnets.values() if one.network_id == spec.network_id]
            if any(one.cidr == spec.cidr for one in there):
                raise KurierError(Code.CONFLICT, f"{spec.cidr} overlaps another subnet.")

        def create() -> Subnet:
            if spec.network_id not in self.there:
                raise KurierError(Code.CLOUD_ERROR, "An internal error: no such row (HTTP 500).")
            cidr = spec.cidr
            assert cidr is not None, "this Neutron has no subnet pools"
            identity = SubnetId(f"{self._chance.getrandbits(64):016x}")
            self._subnets[identity] = Subnet(
                identity, spec.network_id, spec.name, cidr, description=spec.description
            )
            return self._subnets[identity]

        # Neutron looks for the network and for other subnets first. It ends in an internal error if
        # the network goes meanwhile, and does not see a subnet that comes meanwhile.
        await self._at_some_moment(check)
        return await self._at_some_moment(create)

    async def subnet(self, subnet_id: SubnetId) -> Subnet:
        return await self._at_some_moment(lambda: self._require_subnet(subnet_id))

    async def delete_subnet(self, subnet_id: SubnetId, revision: int | None = None) -> None:
        # Neutron takes its own port off first; whoever comes in between is told that one uses it.
        def begin() -> bool:
            if subnet_id in self._going:
                raise KurierError(Code.IN_USE, "One or more ports have an address of this subnet.")
            if subnet_id in self._subnets:
                if revision not in (None, self._subnets[subnet_id].revision):
                    raise KurierError(Code.CHANGED, f"Subnet {subnet_id} changed.")
                self._going.add(subnet_id)
            return subnet_id in self._subnets

        def delete() -> None:
            self._subnets.pop(subnet_id, None)
            self._going.discard(subnet_id)

        if await self._at_some_moment(begin):
            await self._at_some_moment(delete)

    async def ports(self, which: PortFilter) -> list[Port]:
        return await self._at_some_moment(list)

    async def delete_port(self, port_id: PortId) -> None:
        raise AssertionError("there are no ports here")

    async def add_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        await self._at_some_moment(lambda: self._tag(kind, resource_id, frozenset({tag}), add=True))

    async def remove_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        def remove() -> None:
            if resource_id in self.there or resource_id in self._subnets:
                self._tag(kind, resource_id, frozenset({tag}), add=False)

        await self._at_some_moment(remove)

    async def replace_tags(self, kind: Kind, resource_id: str, tags: Sequence[str]) -> None:
        def replace_all() -> None:
            self._tag(kind, resource_id, frozenset(tags), add=True)
            found = (
                self.there[NetworkId(resource_id)].tags
                if kind is Kind.NETWORK
                else self._subnets[SubnetId(resource_id)].tags
            )
            self._tag(kind, resource_id, found - frozenset(tags), add=False)

        await self._at_some_moment(replace_all)

    async def _at_some_moment(self, effect: Callable[[], _Answer]) -> _Answer:
        await asyncio.sleep(self._some_time())
        answer = effect()
        await asyncio.sleep(self._some_time())
        return answer

    def _some_time(self) -> float:
        spent = self._chance.uniform(0.0, self._usual)
        return spent * 10 if self._chance.random() < self._tail else spent

    def _tag(self, kind: Kind, resource_id: str, tag: frozenset[str], *, add: bool) -> None:
        if kind is Kind.NETWORK:
            found = self._require(NetworkId(resource_id)).tags
            self._change(NetworkId(resource_id), tags=found | tag if add else found - tag)
            return
        subnet = self._require_subnet(SubnetId(resource_id))
        found = subnet.tags | tag if add else subnet.tags - tag
        self._subnets[subnet.id] = replace(subnet, tags=found, revision=subnet.revision + 1)

    def _require(self, network_id: NetworkId) -> Network:
        if network_id not in self.there:
            raise KurierError(Code.NOT_FOUND, f"There is no network {network_id}.")
        return self.there[network_id]

    def _require_subnet(self, subnet_id: SubnetId) -> Subnet:
        if subnet_id not in self._subnets:
            raise KurierError(Code.NOT_FOUND, f"There is no subnet {subnet_id}.")
        return self._subnets[subnet_id]

    def _compare(self, network_id: NetworkId, revision: int | None) -> None:
        if revision is not None and self._require(network_id).revision != revision:
            raise KurierError(Code.CHANGED, f"Network {network_id} changed.")

    def _change(self, network_id: NetworkId, **values: Any) -> Network:
        before = self._require(network_id)
        self.there[network_id] = replace(before, revision=before.revision + 1, **values)
        return self.there[network_id]


class _Leaping(selectors.SelectSelector):
    """Waits for nothing: the loop's clock goes on by as much as it would have waited."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(timeout, 0.0)
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nobody has anything to do; also a clock."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now

    def monotonic(self) -> float:
        """Seconds, for those who take a `Clock`."""
        return self._leaping.now

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._leaping.now, UTC)


def run(work: Callable[[LeapingLoop], Coroutine[Any, Any, _Answer]]) -> _Answer:
    """Runs `work` to its end in a loop that waits for nothing."""
    loop = LeapingLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(work(loop), 3600.0))
    finally:
        loop.close()
