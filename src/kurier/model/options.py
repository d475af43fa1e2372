# SPDX-License-Identifier: Apache-2.0
"""The options of `docker network create -o/--ipam-opt` and of an endpoint's `--driver-opt`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from kurier.model.errors import bad_request
from kurier.model.ids import NetworkId, SubnetId, SubnetPoolId

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_MOST_PORTS = 4096
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}
_Id = TypeVar("_Id")


@dataclass(frozen=True, slots=True)
class PoolReference:
    """A subnet pool by id or name; empty means none was named."""

    id: SubnetPoolId | None = None
    name: str = ""

    def __bool__(self) -> bool:
        return bool(self.id or self.name)


@dataclass(frozen=True, slots=True)
class SubnetReference:
    """A subnet by id or name."""

    id: SubnetId | None = None
    name: str = ""

    def __bool__(self) -> bool:
        return bool(self.id or self.name)


@dataclass(frozen=True, slots=True)
class NetworkReference:
    """A Neutron network by id or name."""

    id: NetworkId | None = None
    name: str = ""

    def __bool__(self) -> bool:
        return bool(self.id or self.name)


@dataclass(frozen=True, slots=True)
class Policy:
    """What guards a port. None means: as the next wider level says.

    Groups and QoS policies are names or ids, still to be looked up.
    """

    security_groups: tuple[str, ...] | None = None
    qos_policy: str | None = None
    port_security: bool | None = None

    def over(self, wider: Policy) -> Policy:
        """This policy with its gaps filled from a wider one."""
        return Policy(
            wider.security_groups if self.security_groups is None else self.security_groups,
            wider.qos_policy if self.qos_policy is None else self.qos_policy,
            wider.port_security if self.port_security is None else self.port_security,
        )


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """All that `-o` and `--ipam-opt` may say."""

    network: NetworkReference = NetworkReference()
    subnet_v4: SubnetReference = SubnetReference()
    subnet_v6: SubnetReference = SubnetReference()
    pool_v4: PoolReference = PoolReference()
    pool_v6: PoolReference = PoolReference()
    shared: bool | None = None
    gateway_service: bool = False
    """Whether the engine may attach its `docker_gwbridge` beside this network."""
    policy: Policy = Policy()
    pool_minimum: int | None = None
    pool_maximum: int | None = None
    pool_wait: bool = False
    """Whether the creation waits until the pool has its minimum."""

    def subnet(self, version: int) -> SubnetReference:
        """The subnet named for an IP version."""
        return self.subnet_v4 if version == 4 else self.subnet_v6

    def pool(self, version: int) -> PoolReference:
        """The subnet pool named for an IP version."""
        return self.pool_v4 if version == 4 else self.pool_v6


NETWORK_KEYS = (
    "neutron.net.uuid",
    "neutron.net.name",
    "neutron.net.shared",
    "neutron.subnet.uuid",
    "neutron.subnet.name",
    "neutron.subnet.v6.uuid",
    "neutron.subnet.v6.name",
    "neutron.pool.uuid",
    "neutron.pool.name",
    "neutron.pool.v6.uuid",
    "neutron.pool.v6.name",
    "kurier.gateway_service",
    "kurier.pool.min",
    "kurier.pool.max",
    "kurier.pool.wait",
    "kurier.security_groups",
    "kurier.qos_policy",
    "kurier.port_security",
)
POLICY_KEYS = ("kurier.security_groups", "kurier.qos_policy", "kurier.port_security")


def parse_network_options(options: Mapping[str, str]) -> NetworkOptions:
    """Reads the options of a network; raises BAD_REQUEST with what is wrong and what to write.

    Options of other drivers (``com.docker.…``, ``encrypted`` and the like) pass unread; an unknown
    key that begins like one of ours is an error, since a typing error there would be silent.
    """
    _refuse_unknown(options, NETWORK_KEYS)
    get = _Reader(options)
    minimum, maximum = get.number("kurier.pool.min"), get.number("kurier.pool.max")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise bad_request(
            f"Option kurier.pool.min={minimum} is more than kurier.pool.max={maximum}: a pool "
            "never has more than its maximum."
        )
    return NetworkOptions(
        network=NetworkReference(
            _id(NetworkId, get.uuid("neutron.net.uuid")), get.text("neutron.net.name")
        ),
        subnet_v4=SubnetReference(
            _id(SubnetId, get.uuid("neutron.subnet.uuid")), get.text("neutron.subnet.name")
        ),
        subnet_v6=SubnetReference(
            _id(SubnetId, get.uuid("neutron.subnet.v6.uuid")), get.text("neutron.subnet.v6.name")
        ),
        pool_v4=PoolReference(
            _id(SubnetPoolId, get.uuid("neutron.pool.uuid")), get.text("neutron.pool.name")
        ),
        pool_v6=PoolReference(
            _id(SubnetPoolId, get.uuid("neutron.pool.v6.uuid")), get.text("neutron.pool.v6.name")
        ),
        shared=get.boolean("neutron.net.shared"),
        gateway_service=bool(get.boolean("kurier.gateway_service")),
        policy=_policy(get),
        pool_minimum=minimum,
        pool_maximum=maximum,
        pool_wait=bool(get.boolean("kurier.pool.wait")),
    )


def parse_endpoint_policy(options: Mapping[str, str]) -> Policy:
    """Reads an endpoint's `--driver-opt`; raises BAD_REQUEST."""
    _refuse_unknown(options, POLICY_KEYS)
    return _policy(_Reader(options))


def _id(kind: Callable[[str], _Id], value: str | None) -> _Id | None:
    return None if value is None else kind(value)


class _Reader:
    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options

    def text(self, key: str) -> str:
        value = self._options.get(key, "")
        if key in self._options and not value.strip():
            raise bad_request(f"Option {key} is empty: give it a value or leave it out.")
        return value.strip()

    def uuid(self, key: str) -> str | None:
        value = self.text(key)
        if value and not _UUID.match(value):
            raise bad_request(
                f"Option {key}={value} is not a UUID: give the id that `openstack` shows, or use "
                f"{key.removesuffix('uuid')}name."
            )
        return value.lower() or None

    def number(self, key: str) -> int | None:
        value = self.text(key)
        if not value:
            return None
        if not value.isascii() or not value.isdigit() or int(value) > _MOST_PORTS:
            raise bad_request(
                f"Option {key}={value} is not a whole number between 0 and {_MOST_PORTS}."
            )
        return int(value)

    def boolean(self, key: str) -> bool | None:
        value = self.text(key).lower()
        if not value:
            return None
        if value not in _TRUE | _FALSE:
            raise bad_request(f"Option {key}={value} is neither true nor false.")
        return value in _TRUE


def _policy(get: _Reader) -> Policy:
    groups = get.text("kurier.security_groups")
    return Policy(
        tuple(part.strip() for part in groups.split(",") if part.strip()) if groups else None,
        get.text("kurier.qos_policy") or None,
        get.boolean("kurier.port_security"),
    )


def _refuse_unknown(options: Mapping[str, str], known: tuple[str, ...]) -> None:
    for key in options:
        if not key.startswith(("neutron.", "kurier.", "kuryr.")) or key in known:
            continue
        near = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}."
        raise bad_request(f"Option {key} is not known here: {hint}")
