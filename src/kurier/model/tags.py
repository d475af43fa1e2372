# SPDX-License-Identifier: Apache-2.0
"""The tag codec: how Neutron's resources say whose they are.

A tag has at most 60 characters, the limit of clouds older than Neutron 2023.2. One mapping, that
is, one engine network of one environment, is one tag, so that it appears and goes at once::

    kurier:<environment, 8 hex digits>:<engine network id>

where an id of 64 hexadecimal digits is written as 43 characters of URL-safe base64 (RFC 4648) and
any other id (Swarm's have 25 characters) as it is. Beside it stand the tags that
kuryr-libnetwork's users look for: ``kuryr.net.uuid.lh:<first 32 characters>`` and
``kuryr.net.uuid.uh:<last 32>`` (of a 25-character id: ``lh`` alone, as kuryr-libnetwork does).

A Swarm's network has one id on every node, so that its mapping is every node's; which hosts use it
is told by one tag a host::

    kurier.at:<environment>:<first 12 characters of the network's id>:<12 digits of the host>
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from kurier.model.ids import DockerNetworkId, EndpointId, EnvironmentId, PoolId

LIMIT = 60
MADE = "kurier.made"
"""On a network, subnet or security group that Kurier made (in whichever environment)."""
KURYR_LH = "kuryr.net.uuid.lh:"
KURYR_UH = "kuryr.net.uuid.uh:"
KURYR_EXISTING = "kuryr.net.existing"
KURYR_SUBNET_POOL_EXISTING = "kuryr.subnetpool.existing"
KURYR_PORT_EXISTING = "kuryr.port.existing"
LEASED = "kurier.role:leased"
READY = "kurier.role:ready"
"""On a port of the pool, until a container has it and after."""
RESERVED = "kurier.role:reserved"
"""On a port that only keeps an --aux-address out of an existing subnet's pool."""
ATTRIBUTES = ("sg", "qos", "ps", "internal", "gws", "pmin", "pmax")
"""Security groups and QoS policy (ids), port security (``0`` or ``1``), internal and gateway
service (there or not), the pool's minimum and maximum."""
_ATTENDANCE = "kurier.at:"
_MAKING = "kurier.making:"
_GOING = "kurier.going:"
_MAPPING = re.compile(r"kurier:([0-9a-f]{8}):([0-9A-Za-z_-]{1,43})\Z")
_SERVING = re.compile(r"kurier\.for:([^:]{1,8}):(.+)\Z")
_HEX32 = re.compile(r"[0-9a-f]{32}\Z")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_SWARM_ID = re.compile(r"[0-9a-z]{25}\Z")


@dataclass(frozen=True, slots=True, order=True)
class Mapping:
    """One engine network of one environment, as a tag tells it."""

    environment: str
    """The environment's mark, not its full id."""
    network: DockerNetworkId


def environment_mark(environment: EnvironmentId) -> str:
    """Eight hexadecimal digits that stand for an environment in tags."""
    return hashlib.sha256(environment.encode()).hexdigest()[:8]


def mapping_tag(mapping: Mapping) -> str:
    """The tag of a mapping; at most 60 characters."""
    return f"kurier:{mapping.environment}:{_pack(mapping.network)}"


def parse_mapping(tag: str) -> Mapping | None:
    """The mapping that a tag tells, or None where the tag tells none."""
    found = _MAPPING.match(tag)
    if not found:
        return None
    network = _unpack(found[2])
    return Mapping(found[1], network) if network else None


def mappings(tags: frozenset[str]) -> frozenset[Mapping]:
    """Every mapping among a network's tags."""
    return frozenset(found for found in map(parse_mapping, tags) if found)


def environment_of(found: Iterable[str], network: DockerNetworkId) -> str:
    """The mark of the environment in which an engine network is mapped; empty where none tells."""
    marks = (one.environment for one in mappings(frozenset(found)) if one.network == network)
    return min(marks, default="")


def is_shared(network: DockerNetworkId) -> bool:
    """Whether several hosts of an environment know a network by this id: a Swarm's network.

    Swarm's ids have 25 characters of base 36, an engine's own 64 hexadecimal digits.
    """
    return bool(_SWARM_ID.match(network))


def host_mark(host: str) -> str:
    """Twelve hexadecimal digits that stand for a host where a tag must be short."""
    return hashlib.sha256(host.encode()).hexdigest()[:12]


def attendance_tag(mapping: Mapping, host: str) -> str:
    """Says that a host uses a network that it shares with others of its environment."""
    return f"{_attendance(mapping)}{host_mark(host)}"


def attendants(found: frozenset[str], mapping: Mapping) -> frozenset[str]:
    """The marks of the hosts that use a shared network."""
    prefix = _attendance(mapping)
    return frozenset(tag.removeprefix(prefix) for tag in found if tag.startswith(prefix))


def is_attendance(tag: str) -> bool:
    """Whether a tag says that a host uses a shared network."""
    return tag.startswith(_ATTENDANCE)


def attending_mark(tag: str) -> str:
    """The mark of the host that a tag says uses a shared network; empty where it says no such."""
    return tag.rpartition(":")[2] if is_attendance(tag) else ""


def making_tag(mapping: Mapping, host: str) -> str:
    """Says that a host is about to make an engine network's subnet on a network that is not
    Kurier's.
    """
    return f"{_MAKING}{mapping.environment}:{mapping.network[:12]}:{host_mark(host)}"


def is_making(tag: str) -> bool:
    """Whether a tag is one of :func:`making_tag`."""
    return tag.startswith(_MAKING)


def making_mark(tag: str) -> str:
    """The mark of the host that a tag says makes a subnet; empty where it says no such thing."""
    return tag.rpartition(":")[2] if is_making(tag) else ""


def going_tag(mapping: Mapping, host: str) -> str:
    """Says that a host is about to delete a subnet, as the last one that it served."""
    return f"{_GOING}{mapping.environment}:{mapping.network[:12]}:{host_mark(host)}"


def going_mark(tag: str) -> str:
    """The mark of the host that a subnet's tag says deletes it; empty where it says no such
    thing.
    """
    return tag.rpartition(":")[2] if tag.startswith(_GOING) else ""


def in_use(found: frozenset[str]) -> bool:
    """Whether an engine's network, of whatever environment, is told by a network's tags."""
    attended = any(map(is_attendance, found))
    return attended or bool(mappings(found)) or kuryr_networks(found)


def _attendance(mapping: Mapping) -> str:
    return f"{_ATTENDANCE}{mapping.environment}:{mapping.network[:12]}:"


def halves(whole: str) -> tuple[str, ...]:
    """An id cut after 32 characters, as kuryr-libnetwork's tags carry it."""
    return (whole[:32], whole[32:64]) if len(whole) > 32 else (whole,)


def kuryr_network_tags(network: DockerNetworkId) -> tuple[str, ...]:
    """The tags under which kuryr-libnetwork's users find a Docker network."""
    return tuple(
        prefix + half for prefix, half in zip((KURYR_LH, KURYR_UH), halves(network), strict=False)
    )


def network_tags(mapping: Mapping, *, existing: bool) -> tuple[str, ...]:
    """All tags that one mapping puts on a Neutron network; exactly these go when it ends."""
    own = (mapping_tag(mapping), *kuryr_network_tags(mapping.network))
    return (*own, existing_network_tag(mapping.network)) if existing else own


def attribute_tag(network: DockerNetworkId, key: str, value: str = "") -> str:
    """An attribute of one engine network that a host without its ledger needs again.

    For the keys see :data:`ATTRIBUTES`.
    """
    return f"kurier.{key}:{network[:8]}" + (f":{value}" if value else "")


def attributes(tags: frozenset[str], network: DockerNetworkId) -> frozenset[str]:
    """The attribute tags of one engine network among a Neutron network's tags."""
    prefixes = tuple(attribute_tag(network, key) for key in ATTRIBUTES)
    return frozenset(tag for tag in tags if tag.startswith(prefixes))


def attribute_values(tags: frozenset[str], network: DockerNetworkId, key: str) -> tuple[str, ...]:
    """The values of an attribute, in order; an attribute without value reads as an empty one."""
    plain = attribute_tag(network, key)
    found = (tag for tag in tags if tag == plain or tag.startswith(plain + ":"))
    return tuple(sorted(tag[len(plain) + 1 :] for tag in found))


def existing_network_tag(network: DockerNetworkId) -> str:
    """Marks a network as somebody else's, for the one engine network that adopted it."""
    return f"{KURYR_EXISTING}:{network[:12]}"


def kuryr_networks(tags: frozenset[str]) -> bool:
    """Whether any engine network is tagged in kuryr-libnetwork's way."""
    return any(tag.startswith(KURYR_LH) for tag in tags)


def is_existing(tags: frozenset[str]) -> bool:
    """Whether a network was somebody else's before an engine network adopted it.

    Kurier marks what it made; a network of kuryr-libnetwork's own making carries its id tags and
    no mark of existing.
    """
    if MADE in tags:
        return False
    adopted = any(tag.startswith(KURYR_EXISTING) for tag in tags)
    return adopted or not kuryr_networks(tags)


def pool_tag(pool: PoolId) -> str:
    """Ties a subnet to one RequestPool."""
    return f"kurier.pool:{pool}"


def parse_pool(tag: str) -> PoolId | None:
    """The pool id that a subnet's tag tells, or None."""
    prefix, found, rest = tag.partition("kurier.pool:")
    return PoolId(rest) if found and not prefix and rest else None


def serving_tag(network: DockerNetworkId, pool: PoolId) -> str:
    """Says which engine network a subnet's pool serves, where several share the subnet."""
    return f"kurier.for:{network[:8]}:{pool}"


def pool_tags(network: DockerNetworkId, pool: PoolId) -> tuple[str, str]:
    """Both tags that a pool puts on its subnet; exactly these go when it ends."""
    return (pool_tag(pool), serving_tag(network, pool))


def parse_serving(tag: str) -> tuple[str, PoolId] | None:
    """The first 8 characters of an engine network's id, and the pool that serves it; or None."""
    found = _SERVING.match(tag)
    return (found[1], PoolId(found[2])) if found else None


def is_serving(tag: str) -> bool:
    """Whether a tag says of a subnet which engine network one of its pools serves."""
    return tag.startswith("kurier.for:")


def serves(found: frozenset[str], network: DockerNetworkId) -> bool:
    """Whether a subnet's tags say that it serves an engine network, through whichever pool."""
    return any(tag.startswith(f"kurier.for:{network[:8]}:") for tag in found)


def own_pool(host: str, random: str) -> PoolId:
    """A pool's id, 32 hexadecimal digits of which the first 12 tell the host that gave it out."""
    return PoolId(host_mark(host) + random[:20])


def pool_mark(pool: PoolId) -> str:
    """The mark of the host that gave a pool out."""
    return pool[:12]


def pool_serving(tags: frozenset[str], network: DockerNetworkId, host: str) -> PoolId | None:
    """The pool through which a subnet serves an engine network, by its tag: of several hosts'
    pools the one that this host gave out.
    """
    prefix = f"kurier.for:{network[:8]}:"
    pools = sorted(tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix))
    mine = [pool for pool in pools if pool.startswith(host_mark(host))]
    found = mine or pools
    return PoolId(found[0]) if found else None


def environment_tag(environment: EnvironmentId) -> str:
    """On every port (and group) of an environment."""
    return f"kurier.env:{environment_mark(environment)}"


def exposing_tag(ports: str) -> str:
    """On a security group for exposed ports: which set of ports it opens, by its hash."""
    return f"kurier.expose:{ports}"


def is_exposing(tag: str) -> bool:
    """Whether a tag is one of :func:`exposing_tag`."""
    return tag.startswith("kurier.expose:")


def host_tag(host: str) -> str:
    """On every port of a host; a name too long for a tag is told by its hash."""
    plain = f"kurier.host:{host}"
    if len(plain) <= LIMIT and not set(host) & set(",/"):
        return plain
    return f"kurier.host:sha256-{hashlib.sha256(host.encode()).hexdigest()[:40]}"


def host_of(found: frozenset[str]) -> str:
    """The host that a port's tags tell; empty where none."""
    told = (tag.removeprefix("kurier.host:") for tag in found if tag.startswith("kurier.host:"))
    return min(told, default="")


def endpoint_tags(endpoint: EndpointId) -> tuple[str, ...]:
    """The two halves of an endpoint's id, as kuryr-libnetwork tags its ports."""
    return halves(endpoint)


def with_role(found: frozenset[str], role: Iterable[str]) -> frozenset[str]:
    """A port's tags with this role (and endpoint) in place of the one before; others stay."""
    kept = {tag for tag in found if not tag.startswith("kurier.role:") and not _HEX32.match(tag)}
    return frozenset(kept | set(role))


def without_roles(found: Iterable[str]) -> frozenset[str]:
    """A port's tags but for its role and endpoint."""
    return with_role(frozenset(found), ())


def is_port_mark(tag: str) -> bool:
    """Whether Kurier (or kuryr-libnetwork) put a tag on a port that it adopted."""
    ours = tag.startswith(("kurier.env:", "kurier.host:", "kurier.role:"))
    return ours or tag == KURYR_PORT_EXISTING or bool(_HEX32.match(tag))


def _pack(network: DockerNetworkId) -> str:
    if _HEX64.match(network):
        return base64.urlsafe_b64encode(bytes.fromhex(network)).decode().rstrip("=")
    return network


def _unpack(text: str) -> DockerNetworkId | None:
    if len(text) != 43:
        return DockerNetworkId(text)
    try:
        return DockerNetworkId(base64.urlsafe_b64decode(text + "=").hex())
    except (binascii.Error, ValueError):
        return None
