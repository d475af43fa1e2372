# SPDX-License-Identifier: Apache-2.0
"""Which engine networks a Neutron network serves, as its tags alone tell."""

from __future__ import annotations

from dataclasses import dataclass

from kurier.model import tags
from kurier.model.ids import DockerNetworkId
from kurier.model.swarm import is_definition, nodes_of


@dataclass(frozen=True, slots=True, order=True)
class Attachment:
    """One engine network that is mapped to a Neutron network."""

    environment: str
    """The environment's mark; empty where kuryr-libnetwork mapped it, whose tags tell none."""
    network: DockerNetworkId
    hosts: int | None = None
    """How many hosts use it, where the network is a Swarm's; None where it is one engine's."""


def attachments(found: frozenset[str]) -> tuple[Attachment, ...]:
    """Everyone attached: Kurier's mappings, and those of kuryr-libnetwork alone."""
    mapped = tags.mappings(found)
    ours = [Attachment(one.environment, one.network, _hosts(found, one)) for one in mapped]
    known = {one.network for one in mapped}
    return tuple(sorted([*ours, *(Attachment("", one) for one in _kuryr_alone(found, known))]))


def maker(found: frozenset[str]) -> str:
    """Who made a network: `kurier`, `kuryr-libnetwork`, or `others`."""
    if tags.MADE in found:
        return "kurier"
    return "others" if tags.is_existing(found) else "kuryr-libnetwork"


def _hosts(found: frozenset[str], mapping: tags.Mapping) -> int | None:
    if is_definition(mapping.network):
        return len(nodes_of(found, mapping.network))
    if tags.is_shared(mapping.network):
        return len(tags.attendants(found, mapping))
    return None


def _kuryr_alone(found: frozenset[str], known: set[DockerNetworkId]) -> list[DockerNetworkId]:
    """Engine networks that kuryr-libnetwork's tags tell and no mapping of Kurier's.

    Of several networks nothing says which halves belong together: their first halves stand alone.
    """
    low, high = (
        _values(found, prefix) - {half for one in known for half in tags.halves(one)[at : at + 1]}
        for at, prefix in enumerate((tags.KURYR_LH, tags.KURYR_UH))
    )
    if len(low) == 1 and len(high) == 1:
        return [DockerNetworkId(low.pop() + high.pop())]
    return [DockerNetworkId(one) for one in sorted(low)]


def _values(found: frozenset[str], prefix: str) -> set[str]:
    return {tag.removeprefix(prefix) for tag in found if tag.startswith(prefix)}
