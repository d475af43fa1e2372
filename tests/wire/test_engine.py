# SPDX-License-Identifier: Apache-2.0
"""What is made of the engine API's answers, the broken ones above all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from kurier.docker.engine import DockerEngine
from kurier.model.errors import Code, KurierError
from kurier.model.ids import EndpointId
from kurier.service.protocols import ContainerFacts

ENDPOINT = EndpointId("e" * 64)
LISTED = (
    b'[{"Id": "c1", "State": "running", "NetworkSettings": {"Networks": {'
    b'"one": {"EndpointID": "%s"}, "two": {"EndpointID": "f1"}, "three": null}}},'
    b'{"Id": "c2", "NetworkSettings": {"Networks": {"host": {"EndpointID": ""}}}},'
    b'{"Id": "c3", "NetworkSettings": null}]' % ENDPOINT.encode()
)
INSPECTED = b'{"Id": "c1", "Name": "/web", "Config": {"Hostname": "web-host", "Image": "x"}}'


class Api:
    """An engine's API that gives out bytes by path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[str] = []

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        if request.path == "/_ping":
            return web.Response(text="OK", headers={"Api-Version": "1.41"})
        body = self.answers.get(request.path.removeprefix("/v1.41"))
        return web.Response(status=404) if body is None else web.Response(body=body)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    api, app = Api(), web.Application()
    app.router.add_get("/{path:.*}", api.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "docker.sock")).start()
    yield api
    await runner.cleanup()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(f"unix://{tmp_path}/docker.sock")
    yield engine
    await engine.close()


async def test_it_tells_its_id_in_its_own_version(api: Api, engine: DockerEngine) -> None:
    api.answers["/info"] = b'{"ID": "ABCD:EFGH", "Name": "host"}'
    assert await engine.identity() == "ABCD:EFGH"
    assert api.asked == ["/_ping", "/v1.41/info"]


async def test_the_endpoints_are_those_of_living_containers(api: Api, engine: DockerEngine) -> None:
    api.answers["/containers/json"] = LISTED
    assert set(await engine.living()) == {ENDPOINT, "f1"}
    assert "paused" in api.asked[-1]
    assert "exited" not in api.asked[-1]


async def test_a_container_is_found_by_its_endpoint(api: Api, engine: DockerEngine) -> None:
    api.answers = {"/containers/json": LISTED, "/containers/c1/json": INSPECTED}
    assert await engine.container_of(ENDPOINT) == ContainerFacts("c1", "web", "web-host")
    assert await engine.container_of(EndpointId("unknown")) is None


async def test_a_container_that_went_meanwhile_is_none(api: Api, engine: DockerEngine) -> None:
    api.answers["/containers/json"] = LISTED
    assert await engine.container_of(ENDPOINT) is None


async def test_every_network_is_listed(api: Api, engine: DockerEngine) -> None:
    api.answers["/networks"] = b'[{"Id": "n1", "Name": "blue", "Driver": "x"}, {"Id": "n2"}]'
    assert await engine.networks() == {"n1": "blue", "n2": ""}


@pytest.mark.parametrize("body", [b"", b"[", b"null", b"{}", LISTED[:-9], b'[{"Name": "x"}]', None])
async def test_an_answer_that_is_not_whole_is_an_error_and_never_empty(
    api: Api, engine: DockerEngine, body: bytes | None
) -> None:
    if body is not None:
        api.answers["/containers/json"] = body
    with pytest.raises(KurierError) as refusal:
        await engine.living()
    assert refusal.value.code is Code.INTERNAL


@pytest.mark.parametrize("ask", [DockerEngine.identity, DockerEngine.living, DockerEngine.networks])
async def test_an_absent_engine_is_an_error(
    engine: DockerEngine, ask: Callable[[DockerEngine], Awaitable[object]]
) -> None:
    with pytest.raises(KurierError, match="did not answer"):
        await ask(engine)
