# SPDX-License-Identifier: Apache-2.0
"""Which calls an engine makes of its driver, in which order: Docker's and the one in memory's."""

from __future__ import annotations

from typing import Protocol

_NOT_OF_ALL = {
    # Since 28 engines ask whether a gateway is wanted; how often one asks for what it shows is
    # its own business.
    "NetworkDriver.GwAllocCheck",
    "NetworkDriver.EndpointOperInfo",
    # Of a container's endpoints only that which leads out is asked for this.
    "NetworkDriver.ProgramExternalConnectivity",
    "NetworkDriver.RevokeExternalConnectivity",
}


class Engine(Protocol):
    """What a user does, and what the driver was asked since it was last looked at."""

    async def create_network(self, name: str) -> None: ...

    async def remove_network(self, name: str) -> None: ...

    async def run(self, name: str, network: str) -> None: ...

    async def connect(self, name: str, network: str) -> None: ...

    async def disconnect(self, name: str, network: str) -> None: ...

    async def restart(self, name: str) -> None: ...

    async def remove(self, name: str) -> None: ...

    def asked(self) -> list[str]: ...


def told(engine: Engine) -> list[str]:
    """The calls that every engine makes."""
    return [one.partition(".")[2] for one in engine.asked() if one not in _NOT_OF_ALL]


STARTED = ["RequestAddress", "CreateEndpoint", "Join"]
STOPPED = ["Leave", "DeleteEndpoint", "ReleaseAddress"]


class EngineAgrees:
    """The fixture `engine` is a subclass's."""

    async def test_the_life_of_a_container(self, engine: Engine) -> None:
        await engine.create_network("one")
        assert told(engine) == ["RequestPool", "RequestAddress", "CreateNetwork"]
        await engine.run("c1", "one")
        assert told(engine) == STARTED
        await engine.restart("c1")
        assert told(engine) == STOPPED + STARTED
        await engine.remove("c1")
        assert told(engine) == STOPPED
        await engine.remove_network("one")
        assert told(engine) == ["ReleaseAddress", "ReleasePool", "DeleteNetwork"]

    async def test_a_second_network(self, engine: Engine) -> None:
        for name in ("one", "two"):
            await engine.create_network(name)
        await engine.run("c1", "one")
        told(engine)
        await engine.connect("c1", "two")
        assert told(engine) == STARTED
        await engine.disconnect("c1", "two")
        assert told(engine) == STOPPED
        await engine.remove("c1")
        for name in ("one", "two"):
            await engine.remove_network(name)
