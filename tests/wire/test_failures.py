# SPDX-License-Identifier: Apache-2.0
"""What the server answers when something is wrong, and that nothing is done then."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

import pytest

from kurier.docker.routes import ROUTES
from kurier.model.errors import Code, KurierError
from kurier.service.doing import doing
from tests.wire.conftest import Wire

ENDPOINT = {"NetworkID": "n" * 64, "EndpointID": "e" * 64}
WITH_BODY = sorted(name for name, route in ROUTES.items() if route.body is not None)


def failing(error: Exception) -> Any:
    def fail() -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize("name", WITH_BODY)
@pytest.mark.parametrize("body", [b"", b" \n", b'{"NetworkID": "aaaa", "Endpo', b"[]", b"null"])
async def test_an_empty_or_cut_body_changes_nothing(wire: Wire, name: str, body: bytes) -> None:
    status, answer = await wire.raw(name, body)
    assert status == 400
    assert "nothing was done" in answer["Err"]
    assert wire.driver.asked == []


async def test_a_body_shorter_than_announced_changes_nothing(wire: Wire) -> None:
    reader, writer = await asyncio.open_unix_connection(wire.socket)
    whole = json.dumps(ENDPOINT).encode()
    writer.write(
        b"POST /NetworkDriver.DeleteEndpoint HTTP/1.1\r\nHost: plugin\r\n"
        b"Content-Length: %d\r\n\r\n" % (len(whole) + 20) + whole
    )
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert wire.driver.asked == []


@pytest.mark.parametrize(
    ("call", "body", "named"),
    [
        ("NetworkDriver.DeleteNetwork", {}, "NetworkID"),
        ("NetworkDriver.DeleteNetwork", {"NetworkID": ""}, "NetworkID"),
        ("NetworkDriver.Leave", {"NetworkID": "n"}, "EndpointID"),
        ("NetworkDriver.CreateNetwork", {"NetworkID": "n", "IPv4Data": [{}]}, "Pool"),
        ("IpamDriver.RequestPool", {"Pool": "10.0.0.0/40"}, "10.0.0.0/40"),
        ("IpamDriver.RequestAddress", {"PoolID": "p", "Address": "10.0.0.300"}, "10.0.0.300"),
        ("IpamDriver.ReleaseAddress", {"PoolID": "p"}, "Address"),
        ("NetworkDriver.CreateEndpoint", {**ENDPOINT, "Interface": {"MacAddress": "x"}}, "Mac"),
        (
            "NetworkDriver.CreateEndpoint",
            {**ENDPOINT, "Options": {"com.docker.network.portmap": [{"Proto": 99, "Port": 1}]}},
            "99",
        ),
    ],
)
async def test_what_cannot_be_read_is_named(
    wire: Wire, call: str, body: dict[str, object], named: str
) -> None:
    status, answer = await wire.raw(call, json.dumps(body).encode())
    assert status == 400
    assert named in answer["Err"]
    assert wire.driver.asked == []


@pytest.mark.parametrize("call", ["IpamDriver.RequestAddress", "NetworkDriver.Leave"])
@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.EXHAUSTED])
async def test_an_error_is_one_sentence_for_both_protocols_and_no_404(
    wire: Wire, call: str, code: Code
) -> None:
    wire.driver.script = failing(KurierError(code, "The subnet is full."))
    status, answer = await wire.raw(call, json.dumps({**ENDPOINT, "PoolID": "p"}).encode())
    assert (status, answer) == (500, {"Err": "The subnet is full.", "Error": "The subnet is full."})
    counted = wire.registry.get_sample_value(
        "kurier_rpc_errors_total", {"call": call, "code": code.value}
    )
    assert counted == 1


async def test_a_defect_is_told_without_its_inside(wire: Wire) -> None:
    wire.driver.script = failing(ValueError("password=secret"))
    status, answer = await wire.raw("NetworkDriver.Leave", json.dumps(ENDPOINT).encode())
    assert status == 500
    assert "ValueError" in answer["Err"]
    assert "secret" not in answer["Err"]


async def test_an_unknown_path_is_404(wire: Wire) -> None:
    for path in ("NetworkDriver.Nonsense", "", "a/b"):
        async with wire.client.post(f"http://plugin/{path}", json={}) as reply:
            assert reply.status == 404


@pytest.mark.parametrize("name", ["NetworkDriver.AllocateNetwork", "NetworkDriver.FreeNetwork"])
async def test_global_scope_is_refused_in_words(wire: Wire, name: str) -> None:
    status, answer = await wire.raw(name, b'{"NetworkID": "n"}')
    assert status == 500
    assert "local scope" in answer["Err"]


@pytest.mark.parametrize("wire", [{"request_timeout": 0.05}], indirect=True)
async def test_a_late_call_says_what_it_waited_for(wire: Wire) -> None:
    class Slow(asyncio.Event):
        async def wait(self) -> bool:  # type: ignore[override]
            doing("Neutron was making the port")
            return await super().wait()

    wire.driver.gate = Slow()
    status, answer = await wire.raw("NetworkDriver.Leave", json.dumps(ENDPOINT).encode())
    assert status == 500
    assert "after 0.05 s while Neutron was making the port" in answer["Err"]
    assert wire.driver.at_once == 0


async def test_one_endpoints_calls_run_one_at_a_time(wire: Wire) -> None:
    body = {**ENDPOINT, "Interface": {"Address": "10.77.0.5/24"}}
    await asyncio.gather(*(wire.call("NetworkDriver.CreateEndpoint", body) for _ in range(5)))
    assert len(wire.driver.asked) == 5
    assert wire.driver.most_at_once == 1


async def test_different_endpoints_calls_run_at_once(wire: Wire) -> None:
    wire.driver.gate.clear()
    calls = [
        asyncio.create_task(wire.call("NetworkDriver.Leave", {**ENDPOINT, "EndpointID": str(n)}))
        for n in range(5)
    ]
    for _ in calls:
        await wire.driver.entered.get()
    wire.driver.gate.set()
    assert await asyncio.gather(*calls) == [{}] * 5


async def test_a_client_that_goes_away_does_not_stop_its_call(wire: Wire) -> None:
    wire.driver.gate.clear()
    finished = asyncio.Event()
    wire.driver.script = finished.set
    call = asyncio.create_task(wire.call("NetworkDriver.Leave", ENDPOINT))
    await wire.driver.entered.get()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    wire.driver.gate.set()
    await finished.wait()
