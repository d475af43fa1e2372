# SPDX-License-Identifier: Apache-2.0
"""The HTTP surface that a Docker engine calls.

It answers from its first moment on, before the cloud, the switch or the engine have been spoken
to; what a call needs of them it waits for within its own deadline.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from kurier.docker import wire
from kurier.docker.lanes import Lanes
from kurier.docker.meter import Meter
from kurier.docker.routes import ROUTES, Route, decode
from kurier.docker.sockets import TcpListener, UnixSocket, write_spec
from kurier.model.errors import Code, KurierError

if TYPE_CHECKING:
    from kurier.service.driver import Driver

LOG = logging.getLogger(__name__)
_STATUS = {Code.BAD_REQUEST: 400}
"""404 must never be one: engines take it for a call that the driver does not have."""


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """Where and how to serve; `request_timeout` in seconds, under 10."""

    name: str = "kuryr"
    plugin_dir: Path = Path("/run/docker/plugins")
    socket_mode: int = 0o600
    request_timeout: float = 9.0
    tcp: TcpListener | None = None


class PluginServer:
    """Serves the two protocols on a unix socket and, if set, on TCP with TLS."""

    def __init__(
        self,
        driver: Driver,
        settings: PluginSettings,
        meter: Meter,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._driver = driver
        self._settings = settings
        self._meter = meter
        self._monotonic = monotonic
        self._lanes = Lanes(settings.request_timeout)
        self._runner: web.AppRunner | None = None
        self._socket: UnixSocket | None = None
        self._spec: Path | None = None

    async def start(self) -> None:
        """Listens; raises CONFLICT where another daemon answers there, INTERNAL, BAD_REQUEST."""
        app = web.Application()
        app.router.add_post("/{call}", self._serve)
        # A client that goes away does not end the work: a half-done call is worse than a done one.
        self._runner = web.AppRunner(
            app, handler_cancellation=False, access_log=None, shutdown_timeout=0.5
        )
        await self._runner.setup()
        path = self._settings.plugin_dir / f"{self._settings.name}.sock"
        self._socket = UnixSocket(path, self._settings.socket_mode)
        await web.SockSite(self._runner, self._socket.socket).start()
        LOG.info("serving %s on %s", self._settings.name, path)
        if self._settings.tcp:
            await self._listen(self._runner, self._settings.tcp)

    async def stop(self, seconds: float = 1.0) -> None:
        """Stops accepting, gives running calls so long to end, and takes its files away."""
        if self._spec:
            self._spec.unlink(missing_ok=True)
        if self._socket:
            self._socket.remove()
        if self._runner:
            for site in list(self._runner.sites):
                await site.stop()
        await self._lanes.drain(seconds)
        if self._runner:
            await self._runner.cleanup()

    async def _listen(self, runner: web.AppRunner, tcp: TcpListener) -> None:
        try:
            tls = tcp.tls.context() if tcp.tls else None
            await web.TCPSite(runner, tcp.host, tcp.port, ssl_context=tls).start()
            self._spec = write_spec(self._settings.name, tcp)
        except OSError as error:
            raise KurierError(
                Code.INTERNAL,
                f"Kurier cannot listen on {tcp.host}:{tcp.port}: {error.strerror or error}.",
            ) from error
        LOG.info("serving %s on %s:%s", self._settings.name, tcp.host, tcp.port)

    async def _serve(self, request: web.Request) -> web.Response:
        """One call: its whole body first, so that a cut one changes nothing; then its answer."""
        route = ROUTES.get(request.match_info["call"])
        if route is None:
            raise web.HTTPNotFound(text=f"{request.path} is no call of Docker's plugin protocols.")
        body = await request.read()
        LOG.debug("%s %s", route.name, body.decode(errors="replace").strip())
        started = self._monotonic()
        call: msgspec.Struct | None = None
        code: Code | None = None
        with self._meter.in_flight.track_inprogress():
            try:
                call = decode(route, body)
                response = _answer(await self._run(route, call))
            except Exception as error:
                failure = _failure(route, error)
                code, response = failure.code, _refusal(failure)
        self._record(route, call, self._monotonic() - started, code)
        return response

    async def _run(self, route: Route, call: msgspec.Struct | None) -> object:
        lane = route.lane(call) if route.lane else None
        return await self._lanes.run(route.name, lane, lambda: route.serve(self._driver, call))

    def _record(
        self, route: Route, call: msgspec.Struct | None, seconds: float, code: Code | None
    ) -> None:
        self._meter.ended(route.name, seconds, code)
        facts: dict[str, Any] = {
            name: value
            for name in ("network", "endpoint", "pool", "address")
            if (value := getattr(call, name, None)) and isinstance(value, str)
        }
        facts |= {"ms": round(seconds * 1000, 1), "code": str(code or "ok")}
        text = " ".join(f"{name}={_brief(value)}" for name, value in facts.items())
        level = logging.WARNING if code else logging.INFO
        LOG.log(level, "%s %s", route.name, text, extra={"call": route.name, **facts})


def _brief(value: object) -> object:
    """An id as people compare it; an address or a range is short anyway."""
    return value[:12] if isinstance(value, str) and value.isalnum() else value


def _answer(answer: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type=wire.MEDIA_TYPE)


def _refusal(error: KurierError) -> web.Response:
    """The one place where an error becomes a reply."""
    return web.Response(
        status=_STATUS.get(error.code, 500),
        body=msgspec.json.encode(wire.Failure(error.sentence, error.sentence)),
        content_type=wire.MEDIA_TYPE,
    )


def _failure(route: Route, error: Exception) -> KurierError:
    """The error as the user is told it; the log has its cause."""
    if isinstance(error, KurierError):
        LOG.warning("%s: %s", route.name, error.sentence, exc_info=error.__cause__)
        return error
    LOG.error("%s failed inside", route.name, exc_info=error)
    return KurierError(
        Code.INTERNAL, f"Kurier failed inside ({type(error).__name__}); its log says where."
    )
