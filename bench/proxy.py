# SPDX-License-Identifier: Apache-2.0
"""A stop-watch between the engine and a driver's daemon: passes each call on and notes its time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from pathlib import Path

from aiohttp import (
    BaseConnector,
    ClientError,
    ClientSession,
    ClientTimeout,
    TCPConnector,
    UnixConnector,
    web,
)


class Stopwatch:
    """A unix socket in front of a daemon; `upstream` is a socket path or an `http://` address."""

    def __init__(self, socket: Path, upstream: str) -> None:
        self._socket = socket
        self._upstream = upstream
        self._times: dict[str, list[float]] = defaultdict(list)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        """Listens when it returns."""
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError(f"the stop-watch at {self._socket} did not start")

    def stop(self) -> None:
        """Ends listening and takes the socket away."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._socket.unlink(missing_ok=True)

    def take(self) -> dict[str, list[float]]:
        """Milliseconds of each call since the last take, by method."""
        taken, self._times = self._times, defaultdict(list)
        return dict(taken)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.run_until_complete(self._session.close())

    async def _listen(self) -> None:
        tcp = self._upstream.startswith("http")
        connector: BaseConnector = TCPConnector() if tcp else UnixConnector(path=self._upstream)
        self._base = self._upstream if tcp else "http://daemon"
        self._session = ClientSession(connector=connector, timeout=ClientTimeout(total=120))
        app = web.Application()
        app.router.add_post("/{method:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        self._socket.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self._socket)).start()

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        method = request.match_info["method"]
        began = time.perf_counter()
        try:
            async with self._session.post(f"{self._base}/{method}", data=body) as answer:
                text = await answer.read()
        except ClientError as error:
            return web.json_response({"Err": f"the daemon is not there: {error}"}, status=503)
        self._times[method].append((time.perf_counter() - began) * 1000)
        return web.Response(body=text, status=answer.status, content_type="application/json")
