# SPDX-License-Identifier: Apache-2.0
"""The engine's own API, for what the plugin protocols do not tell.

Never called while the engine waits for an answer of ours: it may hold the locks that its API needs.
The API is described at https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import field

from kurier.docker.membership import certificate_of, read_cluster, stamp_of
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, EndpointId
from kurier.service.protocols import ContainerFacts

_Answer = TypeVar("_Answer")
_LIVING = '{"status":["running","paused","restarting"]}'
_TIMEOUT = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)


class _Cluster(msgspec.Struct):
    id: str = field(name="ID", default="")


class _Swarm(msgspec.Struct):
    state: str = field(name="LocalNodeState", default="inactive")
    cluster: _Cluster | None = field(name="Cluster", default=None)


class _Info(msgspec.Struct):
    id: str = field(name="ID")
    root: str = field(name="DockerRootDir", default="")
    swarm: _Swarm | None = field(name="Swarm", default=None)


class _Attachment(msgspec.Struct):
    endpoint: str | None = field(name="EndpointID", default=None)


class _Attachments(msgspec.Struct):
    networks: dict[str, _Attachment | None] | None = field(name="Networks", default=None)


class _Listed(msgspec.Struct):
    id: str = field(name="Id")
    settings: _Attachments | None = field(name="NetworkSettings", default=None)

    def endpoints(self) -> frozenset[EndpointId]:
        networks = (self.settings and self.settings.networks) or {}
        return frozenset(
            EndpointId(one.endpoint) for one in networks.values() if one and one.endpoint
        )


class _Config(msgspec.Struct):
    hostname: str = field(name="Hostname", default="")


class _Inspected(msgspec.Struct):
    id: str = field(name="Id")
    name: str = field(name="Name")
    config: _Config = field(name="Config")


class _Network(msgspec.Struct):
    id: str = field(name="Id")
    name: str = field(name="Name", default="")


class DockerEngine:
    """Fulfils the service's `Engine` at `docker_host`, e.g. ``unix:///var/run/docker.sock``.

    Raises INTERNAL where the engine is away or answers nonsense, UNSUPPORTED for a host of a kind
    that is not spoken here.
    """

    def __init__(self, docker_host: str) -> None:
        self._host = docker_host
        self._session: aiohttp.ClientSession | None = None
        self._prefix = ""
        self._certificate: Path | None = None
        self.in_swarm = False

    async def close(self) -> None:
        """Ends the connections; repeating it is harmless."""
        if self._session:
            await self._session.close()
            self._session = None

    async def identity(self) -> str:
        """The engine's id."""
        return (await self._get("/info", _Info)).id

    async def environment(self) -> str:
        """The id of the Swarm that the engine is in, else the engine's own."""
        info = await self._get("/info", _Info)
        self._certificate = certificate_of(info.root)
        swarm = info.swarm or _Swarm()
        self.in_swarm = swarm.state != "inactive"
        if not self.in_swarm:
            return info.id
        if swarm.cluster is not None and swarm.cluster.id:
            return swarm.cluster.id
        return await asyncio.to_thread(read_cluster, self._certificate)

    def membership(self) -> object:
        """Something that becomes another when the engine joins or leaves a Swarm.

        One look at a file: cheap enough for every second. Always the same before
        :meth:`environment` was answered, and where the engine's files are on another machine.
        """
        return None if self._certificate is None else stamp_of(self._certificate)

    async def container_of(self, endpoint_id: EndpointId) -> ContainerFacts | None:
        """The container that has an endpoint, or None where none has it (yet, or any more)."""
        for listed in await self._get("/containers/json", list[_Listed], all="1"):
            if endpoint_id in listed.endpoints():
                found = await self._get_or_none(f"/containers/{listed.id}/json", _Inspected)
                return None if found is None else _facts(found)
        return None

    async def endpoints(self) -> frozenset[EndpointId]:
        """Every endpoint of every running, paused or restarting container."""
        listed = await self._get("/containers/json", list[_Listed], filters=_LIVING)
        return frozenset[EndpointId]().union(*(one.endpoints() for one in listed))

    async def networks(self) -> dict[DockerNetworkId, str]:
        """Every network, of whatever driver, with its name."""
        listed = await self._get("/networks", list[_Network])
        return {DockerNetworkId(one.id): one.name for one in listed}

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of one request, whatever the engine answers."""
        if not self._prefix:
            self._prefix = await self._version()
        status, answer, _ = await self._fetch(self._prefix + path, query or {}, method, body)
        return status, answer

    def decode(self, body: bytes, kind: type[_Answer], what: str) -> _Answer:
        """An answer of the engine's as what it should be."""
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise _away(self._host, f"its answer to {what} cannot be read ({error})") from error

    async def _get(self, path: str, kind: type[_Answer], **query: str) -> _Answer:
        found = await self._get_or_none(path, kind, **query)
        if found is None:
            raise _away(self._host, f"it does not know {path}")
        return found

    async def _get_or_none(self, path: str, kind: type[_Answer], **query: str) -> _Answer | None:
        if not self._prefix:
            self._prefix = await self._version()
        status, body, _ = await self._fetch(self._prefix + path, query)
        if status == 404:
            return None
        if status != 200:
            self._prefix = ""  # the engine may have been replaced by another version
            raise _away(self._host, f"it answered {status} to {path}")
        return self.decode(body, kind, path)

    async def _version(self) -> str:
        """The engine's own version of its API, as a path: all that is asked here is old."""
        status, _, headers = await self._fetch("/_ping", {})
        version = headers.get("Api-Version", "")
        if status != 200 or not version:
            raise _away(self._host, f"it answered {status} to /_ping")
        return f"/v{version}"

    async def _fetch(
        self, path: str, query: Mapping[str, str], method: str = "GET", body: object = None
    ) -> tuple[int, bytes, Any]:
        base, session = self._connected()
        try:
            async with session.request(method, base + path, params=query, json=body) as reply:
                return reply.status, await reply.read(), reply.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._prefix = ""
            raise _away(self._host, str(error) or type(error).__name__) from error

    def _connected(self) -> tuple[str, aiohttp.ClientSession]:
        parts = urlsplit(self._host)
        if self._session is None:
            connector = aiohttp.UnixConnector(parts.path) if parts.scheme == "unix" else None
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        if parts.scheme == "unix":
            return "http://engine", self._session
        if parts.scheme in {"tcp", "http", "https"}:
            scheme = "https" if parts.scheme == "https" else "http"
            return f"{scheme}://{parts.netloc}", self._session
        raise KurierError(
            Code.UNSUPPORTED,
            f"engine.docker_host {self._host} is none that Kurier can speak to: give unix:// or "
            "tcp://.",
        )


def _facts(found: _Inspected) -> ContainerFacts:
    return ContainerFacts(found.id, found.name.removeprefix("/"), found.config.hostname)


def _away(host: str, reason: str) -> KurierError:
    return KurierError(
        Code.INTERNAL, f"The engine at {host} did not answer as it should: {reason}."
    )
