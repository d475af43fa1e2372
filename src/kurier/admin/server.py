# SPDX-License-Identifier: Apache-2.0
"""The admin socket: `/v1/status`, `/v1/networks`, `/v1/ports`, `/v1/pools…`, `/v1/swarm/networks`,
`/v1/reconcile`, `/metrics`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web

from kurier.admin.views import Views
from kurier.docker.sockets import UnixSocket
from kurier.model.errors import Code, KurierError
from kurier.service.swarm_networks import RangeAsk, SwarmAsk

_Answer = Callable[[], Awaitable[object]]
_Said = TypeVar("_Said", bound=msgspec.Struct)


class _Drain(msgspec.Struct):
    networks: tuple[str, ...] = ()


class _Networks(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0, le=256)]


class _Free(msgspec.Struct):
    resource: str


class _Range(msgspec.Struct):
    cidr: str
    ip_range: str = ""
    gateway: str = ""
    auxiliary: dict[str, str] = {}

    def ask(self) -> RangeAsk:
        cidr = ip_network(self.cidr)
        return RangeAsk(
            cidr,
            ip_network(self.ip_range) if self.ip_range else None,
            ip_address(self.gateway) if self.gateway else None,
            {name: ip_address(text) for name, text in self.auxiliary.items()},
            v6=cidr.version == 6,
        )


class _SwarmNetwork(msgspec.Struct):
    name: str
    ranges: list[_Range] = []
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = {}
    ipam_options: dict[str, str] = {}

    def ask(self) -> SwarmAsk:
        """Where no range is given, one is drawn from a subnet pool, for each family wanted."""
        ranges = [one.ask() for one in self.ranges]
        versions = {6 if one.v6 else 4 for one in ranges}
        if not ranges:
            ranges.append(RangeAsk(None))
        if self.ipv6 and 6 not in versions:
            ranges.append(RangeAsk(None, v6=True))
        return SwarmAsk(
            self.name,
            tuple(ranges),
            self.options,
            self.ipam_options,
            self.internal,
            self.attachable,
        )


class _Host(msgspec.Struct):
    host: str
    force: bool = False


class _Name(msgspec.Struct):
    name: str


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
        app.router.add_get("/v1/networks/environment", _json(views.environment_networks))
        app.router.add_get("/v1/networks/everywhere", _json(views.all_networks))
        app.router.add_post(
            "/v1/networks/forget", _told(_Name, lambda said: views.network_forget(said.name))
        )
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
        app.router.add_get("/v1/hosts", _json(views.hosts))
        app.router.add_post(
            "/v1/hosts/look", _told(_Host, lambda said: views.host_look(said.host, said.force))
        )
        app.router.add_post(
            "/v1/hosts/forget", _told(_Host, lambda said: views.host_forget(said.host, said.force))
        )
        app.router.add_get("/v1/swarm/networks", _json(views.swarm_networks))
        app.router.add_post(
            "/v1/swarm/networks", _told(_SwarmNetwork, lambda said: views.swarm_create(said.ask()))
        )
        app.router.add_post(
            "/v1/swarm/networks/remove", _told(_Name, lambda said: views.swarm_remove(said.name))
        )
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
