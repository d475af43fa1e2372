# SPDX-License-Identifier: Apache-2.0
"""The engine's own API, for what the plugin protocols do not tell.

Never called while the engine waits for an answer of ours: it may hold the locks that its API needs.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import field

from kurier.docker.engine_api import EngineApi
from kurier.docker.membership import certificate_of, read_cluster, stamp_of
from kurier.model.ids import DockerNetworkId, EndpointId
from kurier.model.wiring import Attached
from kurier.service.protocols import ContainerFacts

_Answer = TypeVar("_Answer")
_LIVING = '{"status":["running","paused","restarting"]}'


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
    network: str = field(name="NetworkID", default="")
    mac: str = field(name="MacAddress", default="")


class _Attachments(msgspec.Struct):
    networks: dict[str, _Attachment | None] | None = field(name="Networks", default=None)


class _Listed(msgspec.Struct):
    id: str = field(name="Id")
    settings: _Attachments | None = field(name="NetworkSettings", default=None)

    def endpoints(self) -> dict[EndpointId, Attached]:
        networks = (self.settings and self.settings.networks) or {}
        return {
            EndpointId(one.endpoint): Attached(DockerNetworkId(one.network), one.mac)
            for one in networks.values()
            if one and one.endpoint
        }


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
        self.api = EngineApi(docker_host)
        self.in_swarm = False
        self._certificate: Path | None = None

    async def close(self) -> None:
        """Ends the connections; repeating it is harmless."""
        await self.api.close()

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

    async def living(self) -> dict[EndpointId, Attached]:
        """Every endpoint of every running, paused or restarting container."""
        listed = await self._get("/containers/json", list[_Listed], filters=_LIVING)
        return {key: told for one in listed for key, told in one.endpoints().items()}

    async def networks(self) -> dict[DockerNetworkId, str]:
        """Every network, of whatever driver, with its name."""
        listed = await self._get("/networks", list[_Network])
        return {DockerNetworkId(one.id): one.name for one in listed}

    async def _get(self, path: str, kind: type[_Answer], **query: str) -> _Answer:
        found = await self._get_or_none(path, kind, **query)
        if found is None:
            raise self.api.away(f"it does not know {path}")
        return found

    async def _get_or_none(self, path: str, kind: type[_Answer], **query: str) -> _Answer | None:
        reply = await self.api.call("GET", path, query)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self.api.away(f"it answered {reply.status} to {path}")
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except msgspec.MsgspecError as error:
            raise self.api.away(f"its answer to {path} cannot be read ({error})") from error


def _facts(found: _Inspected) -> ContainerFacts:
    return ContainerFacts(found.id, found.name.removeprefix("/"), found.config.hostname)
