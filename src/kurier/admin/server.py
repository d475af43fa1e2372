# SPDX-License-Identifier: Apache-2.0
"""The admin socket: `/v1/status`, `/v1/networks`, `/v1/ports`, `/v1/pools…`, `/v1/reconcile`,
`/metrics`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from kurier.admin.views import Views
from kurier.docker.sockets import UnixSocket
from kurier.model.errors import Code, KurierError

_Answer = Callable[[], Awaitable[object]]
_Said = TypeVar("_Said", bound=msgspec.Struct)


class _Drain(msgspec.Struct):
    networks: tuple[str, ...] = ()


class _Networks(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0, le=256)]


class _Free(msgspec.Struct):
    resource: str


class AdminServer:
    """Serves `views` on a socket and, metrics alone, on a TCP address if one is given."""

    def __init__(
        self, views: Views, path: Path, metrics_listen: tuple[str, int] | None = None
    ) -> None:
        self._views = views
        self._path = path
        self._socket: UnixSocket | None = None
        self._metrics_listen = metrics_listen
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listens; raises CONFLICT where another daemon answers there, INTERNAL."""
        self._socket = UnixSocket(self._path)
        runner = await self._runner(self._app())
        await web.SockSite(runner, self._socket.socket).start()
        if self._metrics_listen is None:
            return
        host, port = self._metrics_listen
        metrics = web.Application()
        metrics.router.add_get("/metrics", self._metrics)
        try:
            await web.TCPSite(await self._runner(metrics), host, port).start()
        except OSError as error:
            raise KurierError(
                Code.INTERNAL,
                f"Metrics cannot be served on {host}:{port}: {error.strerror or error}.",
            ) from error

    async def stop(self) -> None:
        """Ends it and takes the socket away."""
        if self._socket:
            self._socket.remove()
        for runner in self._runners:
            await runner.cleanup()

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        self._runners.append(runner)
        await runner.setup()
        return runner

    def _app(self) -> web.Application:
        app, views = web.Application(), self._views
        app.router.add_get("/v1/status", _json(views.status))
        app.router.add_get("/v1/networks", _json(_later(views.networks)))
        app.router.add_get("/v1/ports", _json(_later(views.ports)))
        app.router.add_get("/v1/pools", _json(_later(views.pools)))
        app.router.add_get("/v1/pools/everywhere", _json(views.ready_ports))
        app.router.add_get("/v1/pools/networks", _json(views.waiting_networks))
        app.router.add_post(
            "/v1/pools/networks", _told(_Networks, lambda said: views.waiting_networks(said.count))
        )
        app.router.add_post(
            "/v1/pools/drain", _told(_Drain, lambda said: views.drain(said.networks))
        )
        app.router.add_post("/v1/pools/resume", _json(views.resume))
        app.router.add_post("/v1/pools/free", _told(_Free, lambda said: views.free(said.resource)))
        app.router.add_post("/v1/reconcile", _json(views.reconcile))
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _metrics(self, _request: web.Request) -> web.Response:
        text, media_type = self._views.metrics()
        return web.Response(body=text, headers={"Content-Type": media_type})


def _later(answer: Callable[[], object]) -> _Answer:
    async def later() -> object:
        return answer()

    return later


def _json(answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_request: web.Request) -> web.Response:
        return await _answered(answer)

    return serve


def _told(
    kind: type[_Said], answer: Callable[[_Said], Awaitable[object]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Serves what a body of this kind asks for."""

    async def serve(request: web.Request) -> web.Response:
        said = msgspec.json.decode(await request.read(), type=kind)
        return await _answered(lambda: answer(said))

    return serve


async def _answered(answer: _Answer) -> web.Response:
    try:
        status, body = 200, msgspec.json.encode(await answer())
    except KurierError as error:
        status = 503
        body = msgspec.json.encode({"code": error.code.value, "error": error.sentence})
    return web.Response(status=status, body=body, content_type="application/json")
