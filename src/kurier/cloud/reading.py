# SPDX-License-Identifier: Apache-2.0
"""Answers of Neutron read into values: one resource, or a whole list of all its pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from kurier.cloud.calls import Call
from kurier.cloud.transport import Transport
from kurier.cloud.wire import Link, Page
from kurier.model.errors import Code, KurierError

_Value = TypeVar("_Value")
_Value_co = TypeVar("_Value_co", covariant=True)
_Wire = TypeVar("_Wire")

PAGE = 500
"""Items asked for at once: big enough to be one page nearly always, small enough to be quick."""


class Readable(Protocol[_Value_co]):
    """A wire struct that becomes a value; both checks together say whether it was understood."""

    @property
    def id(self) -> str: ...

    def value(self) -> _Value_co: ...


@runtime_checkable
class KeepsRest(Protocol):
    """A wire struct that wants every field of its resource."""

    def keep(self, fields: dict[str, msgspec.Raw]) -> None: ...


def one(call: Call, body: bytes, key: str, shape: type[_Wire]) -> _Wire:
    """The resource under `key`; CLOUD_ERROR where the answer is not understood."""
    try:
        return _shaped(msgspec.json.decode(body, type=Page)[key], shape)
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise not_understood(call, error) from error


def value(call: Call, body: bytes, key: str, shape: type[Readable[_Value]]) -> _Value:
    """The resource under `key` as the model has it; CLOUD_ERROR where it is not understood."""
    wire = one(call, body, key, shape)
    try:
        return wire.value()
    except ValueError as error:
        raise not_understood(call, error) from error


def several(call: Call, body: bytes, key: str, shape: type[Readable[_Value]]) -> list[_Value]:
    """All resources under `key` of an answer that has no pages; CLOUD_ERROR as `value`."""
    return _values(call, _items(call, body, key, shape)[0])


def whole_list(
    transport: Transport, call: Call, key: str, shape: type[Readable[_Value]], size: int = PAGE
) -> list[_Value]:
    """Every item of a list, page by page; an error where any page fails, never a part.

    The next page is asked for by the last item's id and not by the link Neutron gives, which
    behind a proxy may name a host that this one does not reach.
    """
    found: list[_Value] = []
    marker = ""
    while True:
        page = _page(call, marker, size)
        items, more = _items(page, _send(transport, page), key, shape)
        found.extend(_values(page, items))
        if not more or not items:
            return found
        if items[-1].id == marker:
            raise not_understood(call, ValueError(f"the page after {marker} does not move on"))
        marker = items[-1].id


def _page(call: Call, marker: str, size: int) -> Call:
    paging = (("limit", str(size)), *((("marker", marker),) if marker else ()))
    return Call(call.method, call.path, call.doing, call.facts, (*call.params, *paging))


def _send(transport: Transport, page: Call) -> bytes:
    try:
        return transport.send(page)
    except KurierError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        raise KurierError(
            Code.CLOUD_ERROR,
            f"Neutron could not {page.doing} as a whole, since the list changed meanwhile: try "
            "again.",
        ) from error


def _items(
    call: Call, body: bytes, key: str, shape: type[Readable[_Value]]
) -> tuple[Sequence[Readable[_Value]], bool]:
    try:
        page = msgspec.json.decode(body, type=Page)
        raw = msgspec.json.decode(page[key], type=list[msgspec.Raw])
        items = [_shaped(each, shape) for each in raw]
        links = msgspec.json.decode(page.get(f"{key}_links", b"[]"), type=list[Link])
    except (msgspec.DecodeError, KeyError, ValueError) as error:
        raise not_understood(call, error) from error
    return items, any(link.rel == "next" for link in links)


def _shaped(raw: msgspec.Raw, shape: type[_Wire]) -> _Wire:
    """One resource, with what it has beyond its shape where the shape keeps that."""
    found = msgspec.json.decode(raw, type=shape)
    if isinstance(found, KeepsRest):
        found.keep(msgspec.json.decode(raw, type=Page))
    return found


def _values(call: Call, items: Sequence[Readable[_Value]]) -> list[_Value]:
    try:
        return [item.value() for item in items]
    except ValueError as error:
        raise not_understood(call, error) from error


def not_understood(call: Call, cause: Exception) -> KurierError:
    """CLOUD_ERROR for an answer that is not what the API promises."""
    return KurierError(
        Code.CLOUD_ERROR,
        f"Neutron's answer to {call.doing} was not understood ({cause}): check what stands at the "
        "network endpoint of Keystone's catalogue.",
    )
