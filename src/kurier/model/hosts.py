# SPDX-License-Identifier: Apache-2.0
"""Which hosts left traces in Neutron, as tags tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kurier.model import tags
from kurier.model.ids import NetworkId, PoolId
from kurier.model.neutron import Agent, Network, Port, Subnet
from kurier.model.swarm import is_definition, node_mark


class Life(StrEnum):
    """Whether a host lives, as Neutron's agents tell."""

    YES = "yes"
    NO = "no"
    """None of its agents was heard of lately, or it has none."""
    UNKNOWN = "unknown"
    """The credentials may not see agents."""


@dataclass(frozen=True, slots=True)
class HostTraces:
    """What a host has in Neutron; numbers of ports and networks."""

    host: str
    """Empty where only its mark is told."""
    mark: str
    leased: int
    ready: int
    networks: int


@dataclass(frozen=True, slots=True)
class Serving:
    """One host's pool on a subnet."""

    subnet: Subnet
    network: str
    """The first 8 characters of the engine network's id."""
    pool: PoolId

    @property
    def mark(self) -> str:
        """Of the host that gave the pool out, where it is a pool of Kurier's."""
        return tags.pool_mark(self.pool)


def life_of(host: str, agents: Sequence[Agent]) -> Life:
    """Whether any agent of a host is alive."""
    if not agents:
        return Life.UNKNOWN
    return Life.YES if any(one.alive for one in agents if one.host == host) else Life.NO


def servings(network: Network, subnets: Iterable[Subnet]) -> tuple[Serving, ...]:
    """Every host's pools on a network's subnets. A pool of a Swarm's definition is no host's,
    although one of them gave it out.
    """
    of_swarm = {
        one.network[:8] for one in tags.mappings(network.tags) if is_definition(one.network)
    }
    found = (
        Serving(subnet, *told)
        for subnet in subnets
        if subnet.network_id == network.id
        for told in map(tags.parse_serving, sorted(subnet.tags))
        if told
    )
    return tuple(one for one in found if one.network not in of_swarm)


def traces(
    ports: Sequence[Port],
    networks: Sequence[Network],
    subnets: Sequence[Subnet],
    names: Iterable[str],
) -> tuple[HostTraces, ...]:
    """Every host that has ports, pools or a part in a Swarm's network, by name; `names` are hosts
    that are known otherwise, for those that only their mark tells.
    """
    known = {tags.host_tag(name): name for name in names}
    mine: defaultdict[str, list[Port]] = defaultdict(list)
    for port in ports:
        told = tags.host_of(port.tags)
        if told and tags.RESERVED not in port.tags:
            mine[known.get(f"kurier.host:{told}", told)].append(port)
    by_mark = {tags.host_mark(name): name for name in (*known.values(), *mine)}
    places: defaultdict[str, set[NetworkId]] = defaultdict(set)
    for name, its in mine.items():
        places[tags.host_mark(name)] |= {port.network_id for port in its}
    for mark, network in _marked(networks, subnets, frozenset(by_mark)):
        places[mark].add(network)
    found = (
        _traces(by_mark.get(mark, ""), mark, mine[by_mark.get(mark, "")], len(places[mark]))
        for mark in places
    )
    return tuple(sorted(found, key=lambda one: (one.host, one.mark)))


def _traces(host: str, mark: str, ports: Sequence[Port], networks: int) -> HostTraces:
    ready = sum(tags.READY in port.tags for port in ports)
    return HostTraces(host, mark, len(ports) - ready, ready, networks)


def _marked(
    networks: Sequence[Network], subnets: Sequence[Subnet], known: frozenset[str]
) -> Iterator[tuple[str, NetworkId]]:
    """Marks of hosts on networks. Among pools only known ones: others' ids are random."""
    for network in networks:
        for tag in network.tags:
            mark = tags.attending_mark(tag) or node_mark(tag)
            if mark:
                yield mark, network.id
        for one in servings(network, subnets):
            if one.mark in known:
                yield one.mark, network.id
