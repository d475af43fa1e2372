# SPDX-License-Identifier: Apache-2.0
"""The plugin server on a real unix socket, over a scripted driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from kurier.docker.meter import Meter
from kurier.docker.server import PluginServer, PluginSettings
from tests.wire.scripted import ScriptedDriver


@dataclass
class Wire:
    """One engine's view of the plugin."""

    driver: ScriptedDriver
    registry: CollectorRegistry
    socket: Path
    client: aiohttp.ClientSession

    async def raw(self, call: str, body: bytes) -> tuple[int, dict[str, Any]]:
        async with self.client.post(f"http://plugin/{call}", data=body) as reply:
            return reply.status, await reply.json(content_type=None)

    async def call(self, call: str, body: object = None) -> dict[str, Any]:
        async with self.client.post(f"http://plugin/{call}", json=body) as reply:
            assert reply.status == 200, await reply.text()
            answer: dict[str, Any] = await reply.json(content_type=None)
            return answer


def settings(folder: Path, **changes: Any) -> PluginSettings:
    return PluginSettings(**{"plugin_dir": folder, "request_timeout": 5.0, **changes})


@pytest.fixture
async def wire(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    driver, registry = ScriptedDriver(), CollectorRegistry()
    changes = getattr(request, "param", {})
    server = PluginServer(driver, settings(tmp_path, **changes), Meter(registry))
    await server.start()
    socket = tmp_path / "kuryr.sock"
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as client:
        yield Wire(driver, registry, socket, client)
        driver.gate.set()
    await server.stop()
