# SPDX-License-Identifier: Apache-2.0
"""What a daemon asks its engine: fulfils `Engine` and `SwarmEngine` of the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, EndpointId
from kurier.model.wiring import Attached
from kurier.service.protocols import ContainerFacts, NodeNetwork, SwarmNetwork
from tests.host.engine import Container, DockerEngine
from tests.host.gate import Gate


class EngineFace:
    """One daemon's way to its engine's own API."""

    def __init__(self, engine: DockerEngine, gate: Gate) -> None:
        self._engine = engine
        self._call = gate.call
        self.in_swarm = False

    async def identity(self) -> str:
        return await self._call("identity", lambda: self._engine.id)

    async def environment(self) -> str:
        def tell() -> str:
            self.in_swarm = bool(self._engine.cluster)
            return self._engine.cluster or self._engine.id

        return await self._call("environment", tell)

    def membership(self) -> object:
        return self._engine.cluster

    async def container_of(self, endpoint_id: EndpointId) -> ContainerFacts | None:
        def find() -> ContainerFacts | None:
            found = self._engine.container_of(endpoint_id)
            return None if found is None else _facts(found)

        return await self._call("container_of", find)

    async def living(self) -> Mapping[EndpointId, Attached]:
        def find() -> dict[EndpointId, Attached]:
            if not self._engine.answers:
                raise KurierError(Code.INTERNAL, "The engine does not answer.")
            living = self._engine.living()
            return {one.endpoint: Attached(one.network, one.mac) for one in living}

        return await self._call("living", find)

    async def networks(self) -> Mapping[DockerNetworkId, str]:
        def find() -> dict[DockerNetworkId, str]:
            made = {one.id: one.name for one in self._engine.networks.values()}
            return {DockerNetworkId("b" * 64): "bridge", **made}

        return await self._call("engine_networks", find)


@dataclass
class SwarmInMemory:
    """A Swarm: its managers and workers, and the networks that its managers made."""

    id: str
    managers: set[DockerEngine] = field(default_factory=set)
    workers: set[DockerEngine] = field(default_factory=set)
    networks: dict[str, tuple[DockerNetworkId, SwarmNetwork]] = field(default_factory=dict)

    def join(self, engine: DockerEngine, *, manager: bool = False) -> None:
        """`docker swarm join`."""
        (self.managers if manager else self.workers).add(engine)
        engine.cluster = self.id
        engine.swarm = self


class SwarmFace:
    """One daemon's way to what its engine does for networks of a whole Swarm."""

    def __init__(self, engine: DockerEngine, gate: Gate) -> None:
        self._engine = engine
        self._call = gate.call

    async def nodes(self) -> int | None:
        def count() -> int | None:
            swarm = self._engine.swarm
            if not isinstance(swarm, SwarmInMemory) or self._engine not in swarm.managers:
                return None
            return len(swarm.managers) + len(swarm.workers)

        return await self._call("nodes", count)

    async def configured(self) -> Mapping[DockerNetworkId, str]:
        return await self._call(
            "configured", lambda: {key: one for key, (one, _) in self._engine.configs.items()}
        )

    async def configure(self, network: NodeNetwork) -> None:
        def configure() -> None:
            if network.definition in self._engine.configs:
                raise KurierError(Code.CONFLICT, f"Network {network.name} is there already.")
            self._engine.configs[network.definition] = (self._engine.hex(25), network)

        await self._call("configure", configure)

    async def create(self, network: SwarmNetwork) -> DockerNetworkId:
        def create() -> DockerNetworkId:
            swarm = self._swarm()
            if network.name in swarm.networks:
                raise KurierError(Code.CONFLICT, f"Network {network.name} is there already.")
            identity = DockerNetworkId(self._engine.hex(25))
            swarm.networks[network.name] = (identity, network)
            return identity

        return await self._call("swarm_create", create)

    async def remove(self, name: str) -> bool:
        def remove() -> bool:
            swarm = self._swarm()
            swarm.networks.pop(name, None)
            for key, (identity, one) in list(self._engine.configs.items()):
                if name in (identity, one.name):
                    del self._engine.configs[key]
            return True

        return await self._call("swarm_remove", remove)

    def _swarm(self) -> SwarmInMemory:
        swarm = self._engine.swarm
        if not isinstance(swarm, SwarmInMemory):
            raise KurierError(Code.INTERNAL, "This node is in no Swarm.")
        return swarm


def _facts(container: Container) -> ContainerFacts:
    return ContainerFacts(container.id, container.name, container.name)
