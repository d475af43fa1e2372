# SPDX-License-Identifier: Apache-2.0
"""A driver that answers by script and remembers what it was asked: for tests of the wire alone."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from ipaddress import IPv4Address, ip_network

from kurier.model.ids import DockerNetworkId, EndpointId, IPAddress, PoolId
from kurier.service.driver import Driver
from kurier.service.requests import (
    AddressAsk,
    EndpointAnswer,
    EndpointAsk,
    IPInterface,
    JoinAnswer,
    JoinAsk,
    NetworkAsk,
    PoolAnswer,
    PoolAsk,
    RouteAnswer,
)

Script = Callable[[], object]


class ScriptedDriver(Driver):
    """`script` runs in each call, after it is noted: it may raise; `gate` holds calls until set."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.entered: asyncio.Queue[str] = asyncio.Queue()
        self.script: Script = lambda: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0

    async def _called(self, *what: object) -> None:
        self.asked.append(what)
        self.entered.put_nowait(str(what[0]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            self.script()
        finally:
            self.at_once -= 1

    async def request_pool(self, ask: PoolAsk) -> PoolAnswer:
        await self._called("request_pool", ask)
        cidr = ask.cidr or ip_network("10.77.0.0/24")
        gateway = None if ask.cidr else ipaddress.ip_interface("10.77.0.1/24")
        return PoolAnswer(PoolId("pool-1"), cidr, gateway)

    async def release_pool(self, pool_id: PoolId) -> None:
        await self._called("release_pool", pool_id)

    async def request_address(self, ask: AddressAsk) -> IPInterface:
        await self._called("request_address", ask)
        return ipaddress.ip_interface(f"{ask.address or '10.77.0.5'}/24")

    async def release_address(self, pool_id: PoolId, address: IPAddress) -> None:
        await self._called("release_address", pool_id, address)

    async def create_network(self, ask: NetworkAsk) -> None:
        await self._called("create_network", ask)

    async def delete_network(self, network_id: DockerNetworkId) -> None:
        await self._called("delete_network", network_id)

    async def create_endpoint(self, ask: EndpointAsk) -> EndpointAnswer:
        await self._called("create_endpoint", ask)
        return EndpointAnswer() if ask.mac else EndpointAnswer(mac="fa:16:3e:00:00:01")

    async def delete_endpoint(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        await self._called("delete_endpoint", network_id, endpoint)

    async def endpoint_info(
        self, network_id: DockerNetworkId, endpoint: EndpointId
    ) -> dict[str, str]:
        await self._called("endpoint_info", network_id, endpoint)
        return {"neutron.port.uuid": "one"}

    async def join(self, ask: JoinAsk) -> JoinAnswer:
        await self._called("join", ask)
        routes = (
            RouteAnswer(ip_network("10.88.0.0/24"), IPv4Address("10.77.0.2")),
            RouteAnswer(ip_network("169.254.169.254/32"), None),
        )
        return JoinAnswer("tc-1", "eth", IPv4Address("10.77.0.1"), None, routes, True)

    async def leave(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        await self._called("leave", network_id, endpoint)

    async def program_external(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        await self._called("program_external", network_id, endpoint)

    async def revoke_external(self, network_id: DockerNetworkId, endpoint: EndpointId) -> None:
        await self._called("revoke_external", network_id, endpoint)
