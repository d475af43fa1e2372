# SPDX-License-Identifier: Apache-2.0
"""What real engines sent, call by call: each must still be read, and nothing of it overlooked.

The files were recorded by the engine tests (`tests/cloud/test_engines.py`, with
`KURIER_CAPTURES=tests/wire/captures`) between Docker and Kurier.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kurier.docker import translate, wire
from kurier.docker.routes import ROUTES, decode

_FOLDER = Path(__file__).with_name("captures")
_FILES = sorted(_FOLDER.glob("*/*.json"))
_TRANSLATED: Mapping[str, Callable[[Any], object]] = {
    "NetworkDriver.CreateNetwork": translate.network_ask,
    "NetworkDriver.CreateEndpoint": translate.endpoint_ask,
    "NetworkDriver.Join": translate.join_ask,
    "IpamDriver.RequestPool": translate.pool_ask,
    "IpamDriver.RequestAddress": translate.address_ask,
    "IpamDriver.ReleaseAddress": translate.released_address,
}
_ENGINES = ("20.10", "26.1", "28.5")
_EVERY_ENGINE = {
    *_TRANSLATED,
    "NetworkDriver.DeleteNetwork",
    "NetworkDriver.DeleteEndpoint",
    "NetworkDriver.Leave",
    "NetworkDriver.EndpointOperInfo",
    "NetworkDriver.ProgramExternalConnectivity",
    "NetworkDriver.RevokeExternalConnectivity",
    "IpamDriver.ReleasePool",
}
_OVERLOOKED: Mapping[str, set[str]] = {
    # Kept by the engine for itself, or told again in a call that is read.
    "NetworkDriver.ProgramExternalConnectivity": {"Options"},
}


def _fields(kind: type[msgspec.Struct]) -> set[str]:
    return {one.encode_name for one in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("engine", _ENGINES)
def test_every_kind_of_call_was_captured(engine: str) -> None:
    there = {json.loads(file.read_text())["call"] for file in (_FOLDER / engine).glob("*.json")}
    assert there >= _EVERY_ENGINE


@pytest.mark.parametrize("file", _FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_captured_call_is_read_whole(file: Path) -> None:
    captured = json.loads(file.read_text())
    route, body = ROUTES[captured["call"]], captured["body"]
    if route.body is None:
        assert body is None
        return
    call = decode(route, json.dumps(body).encode())
    unread = set(body) - _fields(route.body) - _OVERLOOKED.get(route.name, set())
    assert not unread, f"{route.name} carries {unread}, which nobody reads"
    if route.name in _TRANSLATED:
        assert _TRANSLATED[route.name](call)


@pytest.mark.parametrize("engine", _ENGINES)
def test_exposed_ports_reach_the_service(engine: str) -> None:
    bodies = [
        one["body"]
        for file in sorted((_FOLDER / engine).glob("*CreateEndpoint*.json"))
        if (one := json.loads(file.read_text()))["body"]["Options"].get(wire.PORT_MAP)
    ]
    asks = [translate.endpoint_ask(msgspec.convert(body, wire.CreateEndpoint)) for body in bodies]
    assert [[(rule.protocol, rule.port_min) for rule in ask.exposed] for ask in asks] == [
        [("tcp", 80)]
    ]
