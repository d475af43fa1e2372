# SPDX-License-Identifier: Apache-2.0
"""A network for a whole Swarm: one definition, told by tags of its Neutron network.

Swarm has every node make its own local network from a *config-only* network of its own. A
definition is what each node's daemon makes that config-only network from. On the Neutron network it
is a mapping as an engine's network is, under an id made of environment and name, and beside it::

    kurier.swarm                          some definition, of whatever environment, is here
    kurier.swarm:<environment>:<name>     this one
    kurier.cfg:<first 8 of its id>:<12 digits of a host>   that host has its config-only network
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from kurier.model import tags
from kurier.model.errors import Code, KurierError, bad_request
from kurier.model.ids import DockerNetworkId, EnvironmentId
from kurier.model.neutron import Network, Subnet

_SUFFIX = "-swarm"
_NODES = "kurier.cfg:"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
MARKER = "kurier.swarm"
"""On every Neutron network that has a definition."""
LONGEST_NAME = 38
"""Characters of a Swarm network's name, so that its tag has at most 60."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One network for the whole Swarm, as Neutron tells it."""

    id: DockerNetworkId
    name: str
    network: Network
    subnets: tuple[Subnet, ...] = ()
    nodes: frozenset[str] = frozenset()
    """The marks of the hosts that have their config-only network."""


def definition_id(environment: EnvironmentId, name: str) -> DockerNetworkId:
    """What stands for a definition where an engine's network has its id."""
    digest = hashlib.sha256(f"{environment} {name}".encode()).hexdigest()
    return DockerNetworkId(digest[:18] + _SUFFIX)


def is_definition(network: DockerNetworkId) -> bool:
    """Whether an id is a definition's rather than an engine network's."""
    return network.endswith(_SUFFIX)


def has_rivals(network: DockerNetworkId) -> bool:
    """Whether other hosts may make the same network at the same moment."""
    return tags.is_shared(network) or is_definition(network)


def taken(name: str) -> KurierError:
    """The refusal of a definition that the Swarm has already, or another manager is making."""
    return KurierError(
        Code.CONFLICT,
        f"The Swarm has a network {name} of Kurier's already: see `kurier swarm network list`.",
    )


def config_name(name: str, definition: DockerNetworkId) -> str:
    """The config-only network of a Swarm's network on each node.

    With the definition's own digits: an engine that left another Swarm by force may keep the one of
    a like-named network for ever, since it believes that it is in use.
    """
    return f"{name}.{definition[:8]}.config"


def check_name(name: str) -> None:
    """Refuses a name that Docker or a tag could not carry; raises BAD_REQUEST."""
    if not _NAME.match(name):
        raise bad_request(
            f"{name!r} is no name of a Docker network: use letters, digits, dots, dashes and "
            "underscores, a letter or digit first."
        )
    if len(name) > LONGEST_NAME:
        raise bad_request(
            f"The name {name} has {len(name)} characters; a Swarm network of Kurier's has "
            f"{LONGEST_NAME} at most, since Neutron's tags carry it."
        )


def definition_tags(environment: EnvironmentId, name: str) -> tuple[str, ...]:
    """The tags that only definitions have."""
    return (MARKER, _names(environment) + name)


def node_tag(definition: DockerNetworkId, host: str) -> str:
    """Says that a host has its config-only network."""
    return f"{_nodes(definition)}{tags.host_mark(host)}"


def definitions_of(environment: EnvironmentId, network: Network) -> tuple[Definition, ...]:
    """The definitions that a network's tags tell, without their subnets."""
    prefix = _names(environment)
    names = sorted(tag.removeprefix(prefix) for tag in network.tags if tag.startswith(prefix))
    found = []
    for name in names:
        identity = definition_id(environment, name)
        nodes = nodes_of(network.tags, identity)
        found.append(Definition(identity, name, network, nodes=nodes))
    return tuple(found)


def nodes_of(found: frozenset[str], definition: DockerNetworkId) -> frozenset[str]:
    """The marks of the hosts that have a definition's config-only network."""
    prefix = _nodes(definition)
    return frozenset(tag.removeprefix(prefix) for tag in found if tag.startswith(prefix))


def node_mark(tag: str) -> str:
    """The mark of the host that has some definition's config-only network, as a tag tells it;
    empty where the tag tells nothing of the kind.
    """
    return tag.rpartition(":")[2] if tag.startswith(_NODES) else ""


def own_tags(
    environments: tuple[EnvironmentId, ...], found: frozenset[str], definition: DockerNetworkId
) -> frozenset[str]:
    """A definition's tags among a network's; the marker only where no other definition needs it."""
    names = {
        tag
        for environment in environments
        for tag in found
        if tag.startswith(_names(environment))
        and definition_id(environment, tag.removeprefix(_names(environment))) == definition
    }
    others = {tag for tag in found if tag.startswith(MARKER + ":")} - names
    nodes = {tag for tag in found if tag.startswith(_nodes(definition))}
    return frozenset(names | nodes | (set() if others else {MARKER}))


def node_options(definition: Definition) -> dict[str, str]:
    """The `-o` options of the config-only network that a node makes."""

    def values(key: str) -> tuple[str, ...]:
        return tags.attribute_values(definition.network.tags, definition.id, key)

    options = {"neutron.net.uuid": str(definition.network.id)}
    for key, option in (
        ("sg", "kurier.security_groups"),
        ("qos", "kurier.qos_policy"),
        ("pmin", "kurier.pool.min"),
        ("pmax", "kurier.pool.max"),
    ):
        if values(key):
            options[option] = ",".join(values(key))
    if values("ps"):
        options["kurier.port_security"] = "true" if values("ps")[0] == "1" else "false"
    if values("gws"):
        options["kurier.gateway_service"] = "true"
    return options


def is_internal(definition: Definition) -> bool:
    """Whether the network was made with `--internal`."""
    return bool(tags.attribute_values(definition.network.tags, definition.id, "internal"))


def _names(environment: EnvironmentId) -> str:
    return f"{MARKER}:{tags.environment_mark(environment)}:"


def _nodes(definition: DockerNetworkId) -> str:
    return f"{_NODES}{definition[:8]}:"
