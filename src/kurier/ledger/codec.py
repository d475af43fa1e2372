# SPDX-License-Identifier: Apache-2.0
"""Records as JSON documents.

msgspec writes them. It cannot read them back into the model's types, since it allows one custom
type in a union and `IPv4Address | IPv6Address` has two; so the reading is told by the types here.

A field that a document lacks takes its default and one that the model lacks is ignored, so that
records may gain and lose optional fields without a new schema.
"""

from __future__ import annotations

import ipaddress
import types
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

_Record = TypeVar("_Record")
_Reader = Callable[[Any], Any]
_IP_READERS: dict[frozenset[object], _Reader] = {
    frozenset({IPv4Address, IPv6Address}): ipaddress.ip_address,
    frozenset({IPv4Network, IPv6Network}): ipaddress.ip_network,
}


class Undecodable(ValueError):
    """A document that does not tell the record it should: the ledger is damaged."""


def encode(record: object) -> bytes:
    """A record as a JSON document."""
    return msgspec.json.encode(record, enc_hook=_ip_text)


def decode(kind: type[_Record], document: bytes) -> _Record:
    """The record that a document tells; raises Undecodable."""
    try:
        return cast(_Record, _reader(cast(Any, kind))(msgspec.json.decode(document)))
    except (ValueError, TypeError, KeyError, AttributeError, msgspec.MsgspecError) as error:
        raise Undecodable(f"no {kind.__name__}: {error}") from error


def _ip_text(value: object) -> str:
    if isinstance(value, IPv4Address | IPv6Address | IPv4Network | IPv6Network):
        return str(value)
    raise TypeError(f"the ledger keeps no {type(value).__name__}")


@cache
def _reader(kind: Any) -> _Reader:  # a type form: the typing module has no narrower name for it
    """What turns decoded JSON into a value of this type."""
    if isinstance(kind, NewType):
        return _reader(kind.__supertype__)
    if get_origin(kind) in (Union, types.UnionType):
        return _union_reader(get_args(kind))
    if get_origin(kind) is tuple:
        return _tuple_reader(get_args(kind))
    if get_origin(kind) is dict:
        return _dict_reader(*get_args(kind))
    if is_dataclass(kind):
        return _dataclass_reader(cast("type[object]", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if kind is datetime:
        return datetime.fromisoformat
    if kind in (str, int, bool):
        return _plain_reader(kind)
    raise TypeError(f"the ledger cannot read {kind}")


def _plain_reader(kind: type) -> _Reader:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{value!r} is no {kind.__name__}")
        return value

    return read


def _union_reader(members: tuple[Any, ...]) -> _Reader:
    some = tuple(member for member in members if member is not types.NoneType)
    inner = _reader(some[0]) if len(some) == 1 else _IP_READERS[frozenset(some)]
    if len(some) == len(members):
        return inner
    return lambda value: None if value is None else inner(value)


def _tuple_reader(members: tuple[Any, ...]) -> _Reader:
    if members[-1] is Ellipsis:
        inner = _reader(members[0])
        return lambda value: tuple(inner(item) for item in value)
    readers = tuple(map(_reader, members))
    return lambda value: tuple(reader(item) for reader, item in zip(readers, value, strict=True))


def _dict_reader(key: Any, value: Any) -> _Reader:
    read_key, read_value = _reader(key), _reader(value)
    return lambda found: {read_key(k): read_value(v) for k, v in found.items()}


def _dataclass_reader(kind: type[Any]) -> _Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    needed = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }

    def read(value: Any) -> Any:
        if lacking := needed - value.keys():
            raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(lacking))}")
        return kind(**{name: readers[name](value[name]) for name in readers.keys() & value.keys()})

    return read
