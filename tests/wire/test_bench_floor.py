# SPDX-License-Identifier: Apache-2.0
"""The benchmark's driver that does nothing says what an engine needs, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench.floor import Answers, Connection, Devices

POOL = "10.214.0.0/29"  # five addresses besides the gateway's


class Kernel:
    """Remembers which devices there are."""

    def __init__(self) -> None:
        self.there: set[str] = set()

    def make(self, devices: Iterable[str]) -> None:
        self.there.update(devices)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def devices(kernel: Kernel) -> Devices:
    return Devices(2, kernel.make, kernel.there.__contains__)


@pytest.fixture
async def engine(devices: Devices, tmp_path: Path) -> AsyncIterator[Engine]:
    path = tmp_path / "floor.sock"
    answers = Answers(devices)
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Connection(answers), path=str(path))
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(path))) as session:
        yield Engine(session)
    server.close()
    await server.wait_closed()


class Engine:
    """Calls a driver as an engine does."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, body: dict[str, Any]) -> Any:
        async with self._session.post(f"http://floor/{method}", json=body) as reply:
            assert reply.status == 200
            return await reply.json()

    async def address(self) -> str:
        body = {"PoolID": POOL, "Address": "", "Options": {}}
        return str((await self.call("IpamDriver.RequestAddress", body))["Address"])


async def start(engine: Engine, endpoint: str) -> str:
    """The device that an endpoint is given."""
    ids = {"NetworkID": "net", "EndpointID": endpoint}
    await engine.call("NetworkDriver.CreateEndpoint", ids)
    joined = await engine.call("NetworkDriver.Join", ids)
    assert joined["Gateway"] == "10.214.0.1"
    return str(joined["InterfaceName"]["SrcName"])


async def stop(engine: Engine, endpoint: str) -> None:
    ids = {"NetworkID": "net", "EndpointID": endpoint}
    await engine.call("NetworkDriver.Leave", ids)
    await engine.call("NetworkDriver.DeleteEndpoint", ids)


async def create_network(engine: Engine) -> None:
    data = [{"Pool": POOL, "Gateway": "10.214.0.1/29"}]
    await engine.call("NetworkDriver.CreateNetwork", {"NetworkID": "net", "IPv4Data": data})


async def test_it_is_both_drivers(engine: Engine) -> None:
    said = await engine.call("Plugin.Activate", {})
    assert set(said["Implements"]) == {"NetworkDriver", "IpamDriver"}


async def test_addresses_come_from_a_counter_and_never_the_gateways(engine: Engine) -> None:
    given = [await engine.address() for _ in range(6)]
    assert given[:5] == [f"10.214.0.{number}/29" for number in range(2, 7)]
    assert given[5] == given[0]


async def test_the_address_that_was_asked_for_is_given(engine: Engine) -> None:
    body = {"PoolID": POOL, "Address": "10.214.0.1", "Options": {}}
    said = await engine.call("IpamDriver.RequestAddress", body)
    assert said["Address"] == "10.214.0.1/29"


async def test_a_device_that_came_back_is_given_again(engine: Engine, kernel: Kernel) -> None:
    await create_network(engine)
    first = await start(engine, "a")
    await stop(engine, "a")
    assert first in [await start(engine, "b"), await start(engine, "c")]
    assert len(kernel.there) == 2


async def test_a_device_that_vanished_is_made_up_for(engine: Engine, kernel: Kernel) -> None:
    await create_network(engine)
    kernel_lost = await start(engine, "a")
    kernel.there.discard(kernel_lost)
    await stop(engine, "a")
    again = [await start(engine, endpoint) for endpoint in ("b", "c", "d")]
    assert kernel_lost not in again
    assert len(set(again)) == 3


async def test_requests_in_pieces_are_answered_when_they_are_whole(devices: Devices) -> None:
    sent: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: Any) -> None:
            sent.append(bytes(data))

    connection = Connection(Answers(devices))
    connection.connection_made(Transport())
    body = b'{"Pool":"10.214.0.0/29"}'
    whole = b"POST /IpamDriver.RequestPool HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    for index in range(len(whole)):
        connection.data_received(whole[index : index + 1])
    connection.data_received(whole + whole)
    assert len(sent) == 3
    assert all(POOL.encode() in one for one in sent)
