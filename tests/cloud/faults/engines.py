# SPDX-License-Identifier: Apache-2.0
"""A host whose engine a test may choose, restart and kill, with a Kurier of its own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localcloud.api import Host
from tests.cloud.conftest import Troupe
from tests.cloud.stage import Stage
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.machine import local_host

_LOGGED = re.compile(
    r"kurier\.docker\.server: ((?:NetworkDriver|IpamDriver)\.\w+) (\{.*\})\s*$", re.MULTILINE
)


def host_of(stage: Stage) -> Host:
    """The local cloud's host that a stage is on."""
    return local_host(stage.machine)


@contextmanager
def running_engine(
    troupe: Troupe,
    version: str = "",
    arguments: tuple[str, ...] = (),
    settings: Table | None = None,
) -> Iterator[Stage]:
    """A stage over an engine of this version ("" for the installed one) with these flags.

    The host's usual engine is back afterwards.
    """
    host = local_host(troupe.machine)
    _exchange(host, version, arguments)
    try:
        with troupe.own(settings) as stage:
            yield stage
    finally:
        if not host.dockerd.running:
            host.start_dockerd()
        _exchange(host, "", ())


def _exchange(host: Host, version: str, arguments: tuple[str, ...]) -> None:
    host.stop_dockerd()
    host.start_dockerd(version, arguments)


def of_engines(*versions: str) -> pytest.MarkDecorator:
    """The engines that a test is run under, of all that `engine_stage` knows."""
    return pytest.mark.parametrize("engine_stage", versions, indirect=True, scope="module")


_NOW_AND_THEN = [pytest.param(one, marks=pytest.mark.long) for one in ("20.10", "26.1")]


@pytest.fixture(scope="module", params=[*_NOW_AND_THEN, "28.5"])
def engine_stage(request: pytest.FixtureRequest, second_troupe: Troupe) -> Iterator[Stage]:
    """The second host under each of the engines in turn."""
    with running_engine(second_troupe, request.param) as stage:
        yield stage
        folder = os.environ.get("KURIER_CAPTURES")
        if folder:
            keep(captured(stage), Path(folder) / request.param)


def captured(stage: Stage) -> list[tuple[str, dict[str, Any]]]:
    """The calls that the engine made, as the daemon logged them on arrival."""
    found = _LOGGED.findall(stage.daemon.said())
    return [(name, json.loads(body)) for name, body in found]


def keep(calls: list[tuple[str, dict[str, Any]]], folder: Path) -> None:
    """Writes one file for each different shape of each call."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes: dict[str, list[str]] = {}
    for name, body in calls:
        shape, known = _shape(body), shapes.setdefault(name, [])
        if shape in known:
            continue
        known.append(shape)
        text = json.dumps({"call": name, "body": body}, indent=2) + "\n"
        (folder / f"{name.partition('.')[2]}-{len(known)}.json").write_text(text)


def _shape(value: object) -> str:
    """What keys there are, and what kind of value each has."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_shape(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted({_shape(one) for one in value})) + "]"
    return type(value).__name__ + ("" if value else "-empty")
