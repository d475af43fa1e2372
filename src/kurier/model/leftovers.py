# SPDX-License-Identifier: Apache-2.0
"""What a host that died for good leaves in Neutron, and what of it is surely its own.

Only what carries the host's mark is named: its ports by `kurier.host:`, its part in a Swarm's
networks by `kurier.at:`, its ranges by ids that begin with its mark. What others may need as well
stays, with a sentence that says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from kurier.model import tags
from kurier.model.census import attachments
from kurier.model.hosts import Serving, servings
from kurier.model.ids import DockerNetworkId
from kurier.model.naming import described_mapping, held_pool, is_bid_of, reserving_key
from kurier.model.neutron import Kind, Network, Port, Subnet
from kurier.model.records import NetworkRecord, NetworkState, SubnetRecord
from kurier.model.swarm import is_definition, node_mark


@dataclass(frozen=True, slots=True)
class Seen:
    """Neutron as it was looked at; every list is whole."""

    networks: Sequence[Network]
    subnets: Sequence[Subnet]
    ports: Sequence[Port]
    """The host's own."""
    neighbours: Sequence[Port] = ()
    """All on the networks that :func:`served` names."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A tag that nothing else explains."""

    kind: Kind
    resource: str
    tag: str


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is to be taken away."""

    made: tuple[Port, ...] = ()
    adopted: tuple[Port, ...] = ()
    """Others' ports, which go back to them."""
    endings: tuple[tuple[Network, NetworkRecord], ...] = ()
    """Engine networks that end here, or that the host leaves to those who share them."""
    unclaimed: tuple[Network, ...] = ()
    """Networks that it made and had not put to use yet."""
    strays: tuple[Stray, ...] = ()
    kept: tuple[str, ...] = ()
    """What stays although it may have been the host's, and why."""

    def is_empty(self) -> bool:
        """Whether there is nothing to take away."""
        return not (self.made or self.adopted or self.endings or self.unclaimed or self.strays)


def served(host: str, networks: Sequence[Network], subnets: Sequence[Subnet]) -> list[Network]:
    """The networks on which a host has a pool."""
    mark = tags.host_mark(host)
    return [
        network
        for network in networks
        if any(one.mark == mark for one in servings(network, subnets))
    ]


def leftovers(host: str, seen: Seen, now: datetime) -> Leftovers:
    """What a host left; `now` is the time that its records are given."""
    working = [port for port in seen.ports if tags.RESERVED not in port.tags]
    unclaimed = tuple(one for one in seen.networks if _is_unclaimed(one, host))
    endings: list[tuple[Network, NetworkRecord]] = []
    strays: list[Stray] = []
    kept: list[str] = []
    for network in seen.networks:
        if network in unclaimed:
            continue
        on = _Network(host, network, servings(network, seen.subnets), seen, now)
        records = on.records()
        endings += [(network, record) for record in records]
        strays += on.strays(records)
        kept += on.kept()
    return Leftovers(
        tuple(port for port in working if tags.KURYR_PORT_EXISTING not in port.tags),
        tuple(port for port in working if tags.KURYR_PORT_EXISTING in port.tags),
        tuple(endings),
        unclaimed,
        tuple(strays),
        tuple(kept),
    )


def sharers(host: str, network: Network, record: NetworkRecord) -> int:
    """How many other hosts share an engine network, and go on with it."""
    mapping = tags.Mapping(tags.environment_of(record.tags, record.id), record.id)
    return len(tags.attendants(network.tags, mapping) - {tags.host_mark(host)})


def _is_unclaimed(network: Network, host: str) -> bool:
    """Whether a network is this host's bid for a shared one, or holds a range drawn for it."""
    held = held_pool(network.description)
    if held is not None and network.name.startswith("kuryr-held-"):
        return tags.pool_mark(held) == tags.host_mark(host)
    return is_bid_of(network.name, host)


@dataclass(frozen=True, slots=True)
class _Network:
    """One Neutron network and one host on it."""

    host: str
    network: Network
    pools: tuple[Serving, ...]
    seen: Seen
    now: datetime

    def records(self) -> list[NetworkRecord]:
        """What the host's ledger would say of the engine networks that are its own here."""
        return [
            self._record(mapping)
            for mapping in self._mappings()
            if self._takes_part(mapping) and not self._doubt(mapping)
        ]

    def kept(self) -> Iterator[str]:
        """Sentences on engine networks that may be the host's, and are not surely."""
        for mapping in self._mappings():
            doubt = self._doubt(mapping) if self._takes_part(mapping) else ""
            if doubt:
                yield (
                    f"Docker network {mapping.network} stays on Neutron network "
                    f"{self.network.name or self.network.id} ({self.network.id}): {doubt}"
                )

    def strays(self, records: list[NetworkRecord]) -> Iterator[Stray]:
        """Tags with the host's mark that no engine network explains."""
        explained = {tag for record in records for tag in record.tags}
        for tag in sorted(self.network.tags - explained):
            if self._mark in (tags.attending_mark(tag), tags.making_mark(tag), node_mark(tag)):
                yield Stray(Kind.NETWORK, self.network.id, tag)
        for subnet in self.seen.subnets:
            if subnet.network_id == self.network.id:
                for tag in sorted(subnet.tags):
                    if tags.going_mark(tag) == self._mark:
                        yield Stray(Kind.SUBNET, subnet.id, tag)
        told = {mapping.network[:8] for mapping in self._mappings()}
        for one in self._mine():
            if one.network not in told:
                for tag in (f"kurier.for:{one.network}:{one.pool}", tags.pool_tag(one.pool)):
                    yield Stray(Kind.SUBNET, one.subnet.id, tag)

    @property
    def _mark(self) -> str:
        return tags.host_mark(self.host)

    def _mappings(self) -> list[tags.Mapping]:
        """The engine networks that tags tell here, and the one that it was made for."""
        told = {one for one in tags.mappings(self.network.tags) if not is_definition(one.network)}
        made_for = described_mapping(self.network.description)
        if made_for is not None and not is_definition(made_for.network):
            told.add(made_for)
        return sorted(told)

    def _mine(self, network: DockerNetworkId | None = None) -> list[Serving]:
        return [
            one
            for one in self.pools
            if one.mark == self._mark and network in (None, *self._named(one))
        ]

    def _named(self, pool: Serving) -> list[DockerNetworkId]:
        return [one.network for one in self._mappings() if one.network[:8] == pool.network]

    def _takes_part(self, mapping: tags.Mapping) -> bool:
        attends = tags.attendance_tag(mapping, self.host) in self.network.tags
        return bool(self._mine(mapping.network)) or (attends and tags.is_shared(mapping.network))

    def _doubt(self, mapping: tags.Mapping) -> str:
        """Why an engine network may be another host's as well; a shared one needs no reason."""
        if tags.is_shared(mapping.network):
            return ""
        others = {
            one.mark
            for one in self.pools
            if one.network == mapping.network[:8] and one.mark != self._mark
        }
        if others:
            return "another host has ranges of it."
        strangers = self._strangers(mapping)
        if strangers:
            return (
                f"host {', '.join(strangers)} has ports there that no other Docker network "
                "explains. Was the host renamed?"
            )
        return ""

    def _strangers(self, mapping: tags.Mapping) -> list[str]:
        """Hosts with ports of the same environment here, and with no pool of their own."""
        explained = {one.mark for one in self.pools}
        explained |= {tags.attending_mark(tag) for tag in self.network.tags}
        here = {
            tags.host_of(port.tags)
            for port in self.seen.neighbours
            if port.network_id == self.network.id
            and f"kurier.env:{mapping.environment}" in port.tags
            and tags.host_tag(self.host) not in port.tags
        }
        return sorted(one for one in here if one and tags.host_mark(one) not in explained)

    def _record(self, mapping: tags.Mapping) -> NetworkRecord:
        network = self.network
        made = mapping == described_mapping(network.description)
        return NetworkRecord(
            mapping.network,
            NetworkState.REMOVING,
            self.now,
            neutron_id=network.id,
            made=made or not tags.is_existing(network.tags),
            subnets=tuple(
                SubnetRecord(
                    one.subnet.id,
                    one.subnet.cidr,
                    tags.MADE in one.subnet.tags,
                    pool_id=one.pool,
                    gateway=one.subnet.gateway,
                )
                for one in self._mine(mapping.network)
            ),
            tags=self._tags(mapping),
            reserved_ports=tuple(
                port.id
                for port in self.seen.ports
                if port.network_id == network.id
                and port.device_id == reserving_key(mapping.network)
            ),
        )

    def _tags(self, mapping: tags.Mapping) -> tuple[str, ...]:
        """Those that the mapping put there; the mapping's own even if it is gone, since it tells
        the environment.
        """
        found = self.network.tags
        marks = {*tags.network_tags(mapping, existing=True)}
        if len(attachments(found)) <= 1:
            marks.add(tags.KURYR_EXISTING)
        if tags.is_shared(mapping.network):
            marks.add(tags.attendance_tag(mapping, self.host))
        mine = (found & marks) | tags.attributes(found, mapping.network)
        return tuple(sorted(mine | {tags.mapping_tag(mapping)}))
