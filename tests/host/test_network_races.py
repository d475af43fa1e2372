# SPDX-License-Identifier: Apache-2.0
"""Hosts that make, join and leave one shared network, in thousands of orders of their calls.

The code that runs is the daemon's own; Neutron is in memory, and time leaps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network
from random import Random
from types import SimpleNamespace
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from kurier.model import tags
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, EnvironmentId, NetworkId, PoolId, SubnetId
from kurier.model.naming import network_name
from kurier.model.neutron import Kind, Network, NetworkSpec, Subnet, SubnetSpec
from kurier.model.options import NetworkOptions, NetworkReference, PoolReference, SubnetReference
from kurier.model.port import PortRecord
from kurier.model.records import Job, NetworkRecord, NetworkState, PoolRecord
from kurier.service.assembly import Assembly
from kurier.service.context import Context, ServiceSettings
from kurier.service.environment import Environment
from kurier.service.outbox import JobKind, Outbox
from kurier.service.part import Part
from kurier.service.ports import Ports
from kurier.service.protocols import Cloud, Datapath, Engine, Ledger, SwarmEngine
from kurier.service.recovery import Recovery
from kurier.service.removal import LEFT_KEY, Removal
from kurier.service.stock import Stock
from tests.host.clock import HostClock, run
from tests.host.gate import Gate, Pace, Unharmed
from tests.host.neutron import Neutron, NeutronFace

NETWORK = DockerNetworkId("a1b2c3d4e5f6g7h8i9j0k1l2m")
ENVIRONMENT = EnvironmentId("swarm-1")
MAPPING = tags.Mapping(tags.environment_mark(ENVIRONMENT), NETWORK)
NAME = network_name("kuryr-net-", NETWORK)
RANGE = ip_network("10.0.0.0/24")
seeds = st.integers(0, 2**32)


class RacedNeutron(NeutronFace):
    """A Neutron to which all hosts go by one way, whose calls take times of a race's choice."""

    def __init__(self, chance: Random, usual: float = 0.2, tail: float = 0.1) -> None:
        pace = Pace(usual, rare=round(1 / tail) if tail else 10**9)
        self.whole = Neutron(chance, _clock().now)
        super().__init__(self.whole, Gate("neutron", Code.CLOUD_AWAY, chance, Unharmed(), pace))

    @property
    def there(self) -> dict[NetworkId, Network]:
        """Every network."""
        return self.whole.networks

    @property
    def made(self) -> int:
        """How many networks were ever made."""
        return self.whole.net.networks.made

    @property
    def deleted(self) -> list[str]:
        """The names of networks that were deleted, in order."""
        return self.whole.net.deleted


class Records:
    """As much of a ledger as one network without containers needs."""

    def __init__(self) -> None:
        self.record: NetworkRecord | None = None
        self._meta: dict[str, str] = {}

    def network(self, network_id: DockerNetworkId) -> NetworkRecord | None:
        return self.record

    def put_network(self, record: NetworkRecord) -> None:
        self.record = record

    def drop_network(self, network_id: DockerNetworkId) -> None:
        self.record = None

    def pools(self) -> list[PoolRecord]:
        return []

    def ports(self, network_id: DockerNetworkId | None = None) -> list[PortRecord]:
        return []

    def meta(self, key: str) -> str | None:
        return self._meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self._meta[key] = value

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield


class Host:
    """One host's part in making and leaving networks."""

    def __init__(self, name: str, cloud: RacedNeutron, chance: Random):
        self.name = name
        self._ledger = Records()
        self._chance = chance
        context = Context(
            cast(Cloud, cloud),
            cast(Datapath, None),
            cast(Ledger, self._ledger),
            cast(Engine, None),
            cast(SwarmEngine, None),
            _clock(),
            self,
            Environment(cast(Ledger, self._ledger), ENVIRONMENT),
            ServiceSettings(host=name),
        )
        self._assembly = Assembly(context)
        removal = Removal(
            context,
            cast(Outbox, self),
            cast(Ports, SimpleNamespace(dropped=_at_once)),
            Recovery(context),
            cast(Stock, NO_POOL),
        )
        self._drop = removal.drop

    def handle(self, kind: JobKind, work: object) -> None:
        """The outbox is played by :meth:`leave`."""

    def last_look(self, job: Job) -> bool:
        """No call goes unanswered here."""
        return True

    def hex(self, digits: int) -> str:
        """Random digits, as `Names` gives them."""
        return f"{self._chance.getrandbits(4 * digits):0{digits}x}"

    @property
    def _record(self) -> NetworkRecord:
        assert self._ledger.record is not None
        return self._ledger.record

    @property
    def behind(self) -> NetworkId | None:
        """The Neutron network that this host has."""
        return self._ledger.record.neutron_id if self._ledger.record else None

    @property
    def subnet(self) -> SubnetId:
        """The one subnet that this host uses."""
        (found,) = self._record.subnets
        return found.id

    @property
    def pool(self) -> PoolId | None:
        """The pool of this host's that is served from it."""
        (found,) = self._record.subnets
        return found.pool_id

    @property
    def left_standing(self) -> str | None:
        """What this host said that it had to leave."""
        return self._ledger.meta(LEFT_KEY)

    async def join(self, existing: NetworkId | None = None) -> None:
        """CreateNetwork, on a network of the user's where one is named."""
        blank = NetworkRecord(NETWORK, NetworkState.CREATING, _clock().now())
        options = NetworkOptions(network=NetworkReference(existing))
        self._ledger.record = await self._assembly.build(blank, options, (self._part(),))

    async def leave(self) -> None:
        """DeleteNetwork: the outbox tries it again until it is done."""
        job = Job(JobKind.DROP_NETWORK, NETWORK, _clock().now())
        if self._ledger.record is not None:
            self._ledger.record = replace(self._ledger.record, state=NetworkState.REMOVING)
        while self._ledger.record is not None:
            try:
                await self._drop(job)
            except KurierError as error:
                if error.code not in (Code.CHANGED, Code.NOT_FOUND):
                    raise
                await asyncio.sleep(1.0)

    def _part(self) -> Part:
        pool = PoolRecord(tags.own_pool(self.name, self.hex(32)), RANGE, _clock().now())
        subnet, subnets, network = SubnetReference(), PoolReference(), NetworkReference()
        return Part(RANGE, None, pool, subnet, subnets, network)


async def _at_once(*_: object) -> None:
    """What has nothing to wait for."""


NO_POOL = SimpleNamespace(grown=_at_once, pooled=lambda _: [], drop_all=lambda *_: None)


def _clock() -> HostClock:
    return HostClock(asyncio.get_running_loop())


def hosts_of(cloud: RacedNeutron, chance: Random, number: int) -> list[Host]:
    return [Host(f"host{one}", cloud, chance) for one in range(number)]


async def with_theirs(seed: int) -> tuple[Random, RacedNeutron, Network]:
    """A cloud with a network of a user's, which has no subnet."""
    chance = Random(seed)
    cloud = RacedNeutron(chance)
    return chance, cloud, await cloud.create_network(NetworkSpec("theirs", ""))


async def assert_bare(cloud: RacedNeutron, theirs: Network) -> None:
    """The user's network is as it was before any host came."""
    assert (cloud.there[theirs.id].tags, await cloud.subnets()) == (frozenset(), [])


def attendants(cloud: RacedNeutron) -> set[str]:
    """The marks of those who attend the one network that there is."""
    (network,) = cloud.there.values()
    found = set(tags.attendants(network.tags, MAPPING))
    assert (MAPPING in tags.mappings(network.tags)) == bool(found)
    return found


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(1, 5))
def test_one_network_is_made_and_its_last_user_deletes_it(seed: int, number: int) -> None:
    async def race() -> None:
        chance = Random(seed)
        cloud = RacedNeutron(chance)
        hosts = hosts_of(cloud, chance, number)
        await asyncio.gather(*(one.join() for one in hosts))
        assert {one.behind for one in hosts} == set(cloud.there)
        assert [one.name for one in cloud.there.values()] == [NAME]
        assert attendants(cloud) == {tags.host_mark(one.name) for one in hosts}

        before = len(cloud.deleted)
        await asyncio.gather(*(one.leave() for one in hosts))
        assert cloud.there == {}
        assert [name.startswith(f"{NAME}~going~") for name in cloud.deleted[before:]] == [True]

    run(race)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 5))
def test_where_neutron_is_quick_nobody_is_taken_for_dead(seed: int, number: int) -> None:
    async def race() -> None:
        chance = Random(seed)
        cloud = RacedNeutron(chance, usual=0.3, tail=0.0)
        await asyncio.gather(*(one.join() for one in hosts_of(cloud, chance, number)))
        assert cloud.made <= number  # nobody had to bid again
        assert len(cloud.there) == 1

    run(race)


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(2, 4), st.integers(1, 4))
def test_a_users_network_is_as_before_when_the_last_has_left(
    seed: int, number: int, turns: int
) -> None:
    async def race() -> None:
        chance, cloud, theirs = await with_theirs(seed)
        await cloud.add_tag(Kind.NETWORK, theirs.id, "kept")
        await cloud.create_subnet(SubnetSpec(theirs.id, "s", 4, cidr=RANGE))
        hosts = hosts_of(cloud, chance, number)
        for _ in range(turns):
            turning = chance.sample(hosts, chance.randint(1, number))
            await asyncio.gather(
                *(one.leave() if one.behind else one.join(theirs.id) for one in turning)
            )
            here = {tags.host_mark(one.name) for one in hosts if one.behind}
            assert attendants(cloud) == here
        await asyncio.gather(*(one.leave() for one in hosts))
        assert cloud.there[theirs.id].tags == {"kept"}
        assert [one.tags for one in await cloud.subnets()] == [frozenset()]

    run(race)


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(2, 4), st.integers(1, 4))
def test_one_makes_the_subnet_that_a_users_network_lacks_and_the_last_takes_it_along(
    seed: int, number: int, turns: int
) -> None:
    async def race() -> None:
        chance, cloud, theirs = await with_theirs(seed)
        for _ in range(turns):
            hosts = hosts_of(cloud, chance, number)
            await asyncio.gather(*(one.join(theirs.id) for one in hosts))
            assert attendants(cloud) == {tags.host_mark(one.name) for one in hosts}
            assert [one.cidr for one in await cloud.subnets()] == [RANGE]
            await asyncio.gather(*(one.leave() for one in hosts))
            await assert_bare(cloud, theirs)
            assert not any(one.left_standing for one in hosts)

    run(race)


@settings(max_examples=300, deadline=None)
@given(seeds, st.integers(2, 4), st.integers(1, 4))
def test_a_users_network_has_the_subnet_while_anybody_is_there(
    seed: int, number: int, turns: int
) -> None:
    """The last one takes the subnet along; at that moment others come."""

    async def race() -> None:
        chance, cloud, theirs = await with_theirs(seed)
        hosts = hosts_of(cloud, chance, number)
        last = chance.choice(hosts)
        await last.join(theirs.id)
        for _ in range(turns):
            coming = [one for one in hosts if one is not last]
            await asyncio.gather(last.leave(), *(_later(chance, one, theirs.id) for one in coming))
            assert attendants(cloud) == {tags.host_mark(one.name) for one in coming}
            await subnet_used_by(cloud, coming)
            last, *others = coming
            await asyncio.gather(*(one.leave() for one in others))
        await last.leave()
        await assert_bare(cloud, theirs)

    run(race)


async def subnet_used_by(cloud: RacedNeutron, here: list[Host]) -> Subnet:
    """The one subnet that there is, which all these hosts use and which serves them alone."""
    there = await cloud.subnets()
    assert [one.id for one in there] == list({one.subnet for one in here})
    pools = {tags.parse_pool(tag) for tag in there[0].tags} - {None}
    assert pools == {one.pool for one in here}
    return there[0]


async def _later(chance: Random, host: Host, existing: NetworkId) -> None:
    await asyncio.sleep(chance.uniform(0.0, 3.0))
    await host.join(existing)


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(2, 4), st.floats(0.0, 5.0))
def test_who_dies_while_it_makes_a_subnet_keeps_nobody_from_it(
    seed: int, number: int, moment: float
) -> None:
    async def race() -> None:
        chance, cloud, theirs = await with_theirs(seed)
        unlucky, *others = hosts_of(cloud, chance, number)
        joining = asyncio.create_task(unlucky.join(theirs.id))
        asyncio.get_running_loop().call_later(moment, joining.cancel)
        await asyncio.gather(*(one.join(theirs.id) for one in others))
        with suppress(asyncio.CancelledError):
            await joining
        assert [one.cidr for one in await cloud.subnets()] == [RANGE]
        await asyncio.gather(*(one.leave() for one in (unlucky, *others)))
        await assert_bare(cloud, theirs)

    run(race)


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(2, 4), st.floats(0.0, 4.0))
def test_who_dies_while_it_takes_the_subnet_along_keeps_nobody_from_it(
    seed: int, number: int, moment: float
) -> None:
    async def race() -> None:
        chance, cloud, theirs = await with_theirs(seed)
        unlucky, *others = hosts_of(cloud, chance, number)
        await unlucky.join(theirs.id)
        leaving = asyncio.create_task(unlucky.leave())
        asyncio.get_running_loop().call_later(moment, leaving.cancel)
        await asyncio.gather(*(_later(chance, one, theirs.id) for one in others))
        with suppress(asyncio.CancelledError):
            await leaving
        await unlucky.leave()  # it is back, with what its ledger tells
        used = await subnet_used_by(cloud, others)
        assert not any(map(tags.going_mark, used.tags))
        await asyncio.gather(*(one.leave() for one in others))
        await assert_bare(cloud, theirs)

    run(race)


@settings(max_examples=150, deadline=None)
@given(seeds, st.integers(2, 4), st.integers(1, 4))
def test_who_comes_and_goes_at_the_same_moment(seed: int, number: int, turns: int) -> None:
    async def race() -> None:
        chance = Random(seed)
        cloud = RacedNeutron(chance)
        hosts = hosts_of(cloud, chance, number)
        for _ in range(turns):
            turning = chance.sample(hosts, chance.randint(1, number))
            await asyncio.gather(*(one.leave() if one.behind else one.join() for one in turning))
            here = {one.name for one in hosts if one.behind}
            if here:
                assert {one.behind for one in hosts if one.behind} == set(cloud.there)
                assert attendants(cloud) == {tags.host_mark(one) for one in here}
            else:
                assert cloud.there == {}

    run(race)


@settings(max_examples=100, deadline=None)
@given(seeds, st.integers(2, 4), st.floats(0.0, 12.0))
def test_one_that_dies_at_any_moment_keeps_nobody_from_having_the_network(
    seed: int, number: int, death: float
) -> None:
    async def race() -> None:
        chance = Random(seed)
        cloud = RacedNeutron(chance)
        unlucky, *others = hosts_of(cloud, chance, number)
        joining = asyncio.create_task(unlucky.join())
        asyncio.get_running_loop().call_later(death, joining.cancel)
        await asyncio.gather(*(one.join() for one in others))
        await asyncio.gather(joining, return_exceptions=True)
        claimed = {one.id for one in cloud.there.values() if one.name == NAME}
        assert {one.behind for one in others} == claimed
        await unlucky.leave()  # it is back, with what its ledger tells
        await asyncio.gather(*(one.leave() for one in others))
        assert cloud.there == {}

    run(race)


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_hosts_that_are_only_slow_and_taken_for_dead(seed: int) -> None:
    """Calls take up to 5 seconds, and a bid that stands still for 5 is cleared away."""

    async def race() -> None:
        chance = Random(seed)
        cloud = RacedNeutron(chance, usual=2.5, tail=0.0)
        hosts = hosts_of(cloud, chance, 3)
        await asyncio.gather(*(one.join() for one in hosts))
        assert {one.behind for one in hosts} == set(cloud.there)
        assert attendants(cloud) == {tags.host_mark(one.name) for one in hosts}

    run(race)
