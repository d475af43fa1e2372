# SPDX-License-Identifier: Apache-2.0
"""HTTP with the engine's own API, under the version of it that the engine speaks.

The API is described at https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import msgspec

from kurier.model.errors import Code, KurierError

_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)


@dataclass(frozen=True, slots=True)
class Reply:
    """The engine's answer, read whole."""

    status: int
    body: bytes
    version: str = ""
    """The engine's own version of its API, where it told."""

    @property
    def told(self) -> str:
        """The engine's sentence where it refused, else its body's beginning."""
        try:
            return msgspec.json.decode(self.body, type=_Refusal).message
        except msgspec.MsgspecError:
            return self.body[:200].decode(errors="replace").strip()


class _Refusal(msgspec.Struct):
    message: str


class EngineApi:
    """The engine at `docker_host`, e.g. ``unix:///var/run/docker.sock``.

    Raises INTERNAL where the engine is away, UNSUPPORTED for a host of a kind that is not spoken
    here.
    """

    def __init__(self, docker_host: str) -> None:
        self.host = docker_host
        self._session: aiohttp.ClientSession | None = None
        self._prefix = ""

    async def close(self) -> None:
        """Ends the connections; repeating it is harmless."""
        if self._session:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float | None = None,
    ) -> Reply:
        """One request; `body` is sent as JSON, or as the tar archive that it is if it is bytes."""
        if not self._prefix:
            self._prefix = await self._version()
        reply = await self._send(method, self._prefix + path, query or {}, body, seconds)
        if reply.status >= 400 and reply.status != 404:
            self._prefix = ""  # the engine may have been replaced by another version
        return reply

    def away(self, reason: str) -> KurierError:
        """What is told where the engine does not do as it should."""
        return KurierError(
            Code.INTERNAL, f"The engine at {self.host} did not answer as it should: {reason}."
        )

    async def _version(self) -> str:
        """The engine's own version of its API, as a path: all that is asked here is old."""
        reply = await self._send("GET", "/_ping", {})
        if reply.status != 200 or not reply.version:
            raise self.away(f"it answered {reply.status} to /_ping")
        return f"/v{reply.version}"

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        seconds: float | None = None,
    ) -> Reply:
        base, session = self._connected()
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        timeout = _TIMEOUT if seconds is None else aiohttp.ClientTimeout(seconds, sock_connect=3.0)
        try:
            async with session.request(
                method,
                base + path,
                params=query,
                data=None if body is None else data,
                headers={} if body is None else {"Content-Type": kind},
                timeout=timeout,
            ) as answer:
                version = answer.headers.get("Api-Version", "")
                return Reply(answer.status, await answer.read(), version)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._prefix = ""
            raise self.away(str(error) or type(error).__name__) from error

    def _connected(self) -> tuple[str, aiohttp.ClientSession]:
        parts = urlsplit(self.host)
        if self._session is None:
            connector = aiohttp.UnixConnector(parts.path) if parts.scheme == "unix" else None
            self._session = aiohttp.ClientSession(connector=connector)
        if parts.scheme == "unix":
            return "http://engine", self._session
        if parts.scheme in {"tcp", "http", "https"}:
            scheme = "https" if parts.scheme == "https" else "http"
            return f"{scheme}://{parts.netloc}", self._session
        raise KurierError(
            Code.UNSUPPORTED,
            f"engine.docker_host {self.host} is none that Kurier can speak to: give unix:// or "
            "tcp://.",
        )
