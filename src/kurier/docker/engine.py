# SPDX-License-Identifier: Apache-2.0
"""The engine's own API, for what the plugin protocols do not tell.

Never called while the engine waits for an answer of ours: it may hold the locks that its API needs.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import field

from kurier.docker.engine_api import EngineApi
from kurier.model.ids import DockerNetworkId, EndpointId
from kurier.service.protocols import ContainerFacts

_Answer = TypeVar("_Answer")
_LIVING = '{"status":["running","paused","restarting"]}'


class _Info(msgspec.Struct):
    id: str = field(name="ID")


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
        self._api = EngineApi(docker_host)

    async def close(self) -> None:
        """Ends the connections; repeating it is harmless."""
        await self._api.close()

    async def identity(self) -> str:
        """The engine's id."""
        return (await self._get("/info", _Info)).id

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

    async def _get(self, path: str, kind: type[_Answer], **query: str) -> _Answer:
        found = await self._get_or_none(path, kind, **query)
        if found is None:
            raise self._api.away(f"it does not know {path}")
        return found

    async def _get_or_none(self, path: str, kind: type[_Answer], **query: str) -> _Answer | None:
        reply = await self._api.call("GET", path, query)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self._api.away(f"it answered {reply.status} to {path}")
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except msgspec.MsgspecError as error:
            raise self._api.away(f"its answer to {path} cannot be read ({error})") from error


def _facts(found: _Inspected) -> ContainerFacts:
    return ContainerFacts(found.id, found.name.removeprefix("/"), found.config.hostname)
