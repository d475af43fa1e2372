# SPDX-License-Identifier: Apache-2.0
"""A Docker engine in memory: what libnetwork asks a remote driver, in which order, and what it
does with the answers.

Errors of releases are only logged and each release is told once; a broken connection is tried
again, the second time with an empty body, as Docker 20.10 does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from kurier.model.ids import DockerNetworkId, EndpointId, IPAddress
from kurier.model.neutron import Rule
from kurier.service.protocols import NodeNetwork
from tests.host.switch import Switch

_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try of a call whose connection broke."""
_GENERIC = "com.docker.network.generic"
_EXPOSED = "com.docker.network.endpoint.exposedports"
_PUBLISHED = "com.docker.network.portmap"
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}


class PluginError(Exception):
    """What a driver answered instead, or that it did not answer: the user is shown it."""


Call = Callable[[str, bytes], Awaitable[bytes]]


@dataclass
class Range:
    """A range of a network, and the pool that its driver has for it."""

    pool: str
    cidr: str
    gateway: str


@dataclass
class Net:
    """A network of this engine's."""

    id: DockerNetworkId
    name: str
    ranges: list[Range]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class Wish:
    """What a user says of a container on a network."""

    network: str
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    exposed: tuple[tuple[str, int], ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Endpoint:
    """An endpoint, from CreateEndpoint on."""

    id: EndpointId
    network: Net
    addresses: list[tuple[str, str]]
    """Pool and address of each family."""
    wish: Wish
    mac: str = ""
    peer: str = ""


@dataclass
class Container:
    """A container that was created; `endpoints` while it starts or runs."""

    id: str
    name: str
    wishes: list[Wish]
    sandbox: str = ""
    endpoints: list[Endpoint] = field(default_factory=list)
    running: bool = False


@dataclass(frozen=True)
class Living:
    """One endpoint of a container that runs, as its sandbox has it."""

    container: str
    container_id: str
    endpoint: EndpointId
    network: DockerNetworkId
    addresses: tuple[IPAddress, ...]
    mac: str
    sandbox: str
    exposed: tuple[Rule, ...]
    options: Mapping[str, str]


class DockerEngine:
    """One engine. Each of its methods is what a user does; PluginError is what he is told."""

    def __init__(self, call: Call, switch: Switch, chance: Random) -> None:
        self._call = call
        self._switch = switch
        self._chance = chance
        self.id = f"{chance.getrandbits(128):032x}"
        self.cluster = ""
        """The id of the Swarm that it is in."""
        self.swarm: object = None
        self.configs: dict[DockerNetworkId, tuple[str, NodeNetwork]] = {}
        """The config-only networks made here, with their ids, by definition."""
        self.networks: dict[DockerNetworkId, Net] = {}
        self.containers: dict[str, Container] = {}
        self.answers = True
        """Whether its own API does."""
        self.tells_stale = True
        """Whether an engine that starts tells of the endpoints that its last life had."""
        self.repeats_bodies = False
        """Whether a call whose connection broke is sent again whole; 20.10's has nothing in it."""
        self.told: list[tuple[str, dict[str, Any]]] = []
        """Every call with its body, as it was asked first."""

    # ── networks ──

    async def create_network(
        self,
        name: str,
        *ranges: str,
        gateway: str = "",
        ip_range: str = "",
        aux: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        ipam_options: Mapping[str, str] | None = None,
        internal: bool = False,
        identity: str = "",
    ) -> DockerNetworkId:
        """`docker network create`; without ranges the driver chooses one."""
        network = Net(DockerNetworkId(identity or self.hex(64)), name, [])
        try:
            for cidr in ranges or ("",):
                await self._ask_range(network, cidr, ip_range, gateway, ipam_options or {})
            await self._ask(
                "NetworkDriver.CreateNetwork",
                NetworkID=network.id,
                Options={
                    "com.docker.network.enable_ipv6": any(
                        ":" in one.cidr for one in network.ranges
                    ),
                    _GENERIC: dict(options or {}),
                    **({"com.docker.network.internal": True} if internal else {}),
                },
                IPv4Data=[_data(one, aux) for one in network.ranges if ":" not in one.cidr],
                IPv6Data=[_data(one, aux) for one in network.ranges if ":" in one.cidr],
            )
        except PluginError:
            await self._release_ranges(network)
            raise
        self.networks[network.id] = network
        return network.id

    async def remove_network(self, name: str) -> None:
        """`docker network rm`: the ranges first; what the driver says at the end is only logged."""
        network = self.named(name)
        users = [one.name for one in self.containers.values() if _is_on(one, network)]
        if users:
            raise PluginError(f"network {name} has active endpoints: {users}")
        await self._release_ranges(network)
        await self._told_once("NetworkDriver.DeleteNetwork", NetworkID=network.id)
        self.networks.pop(network.id, None)

    def named(self, name: str) -> Net:
        """The network of a name; StopIteration where there is none."""
        return next(one for one in self.networks.values() if one.name == name)

    async def _ask_range(
        self,
        network: Net,
        cidr: str,
        ip_range: str,
        gateway: str,
        options: Mapping[str, str],
    ) -> None:
        pool = await self._ask(
            "IpamDriver.RequestPool",
            AddressSpace="KurierLocal",
            Pool=cidr,
            SubPool=ip_range,
            Options=dict(options),
            V6=":" in cidr,
        )
        given = (pool.get("Data") or {}).get("com.docker.network.gateway", "")
        found = Range(pool["PoolID"], pool["Pool"], given)
        network.ranges.append(found)
        wanted = gateway if (":" in gateway) == (":" in found.cidr) else ""
        if wanted or not given:
            answer = await self._ask(
                "IpamDriver.RequestAddress",
                PoolID=found.pool,
                Address=wanted,
                Options={"RequestAddressType": "com.docker.network.gateway"},
            )
            found.gateway = answer["Address"]

    async def _release_ranges(self, network: Net) -> None:
        for one in network.ranges:
            if one.gateway:
                address = one.gateway.partition("/")[0]
                await self._told_once("IpamDriver.ReleaseAddress", PoolID=one.pool, Address=address)
            await self._told_once("IpamDriver.ReleasePool", PoolID=one.pool)

    # ── containers ──

    async def run(self, name: str, *wishes: Wish) -> None:
        """`docker run -d`; a container that could not start stays, as Docker's does."""
        self.containers[name] = Container(self.hex(64), name, list(wishes))
        await self.start(name)

    async def start(self, name: str) -> None:
        """`docker start`."""
        container = self.containers[name]
        container.sandbox = f"/var/run/docker/netns/{self.hex(12)}"
        try:
            for wish in container.wishes:
                await self._join(container, wish)
        except PluginError:
            await self._leave_all(container)
            raise
        container.running = True

    async def stop(self, name: str) -> None:
        """`docker stop`, and what follows when a container ends by itself."""
        container = self.containers[name]
        container.running = False
        await self._leave_all(container)

    async def restart(self, name: str) -> None:
        """`docker restart`."""
        await self.stop(name)
        await self.start(name)

    async def remove(self, name: str) -> None:
        """`docker rm -f`."""
        if self.containers[name].running or self.containers[name].endpoints:
            await self.stop(name)
        self.containers.pop(name, None)

    async def connect(self, name: str, wish: Wish) -> None:
        """`docker network connect` of a container that runs."""
        container = self.containers[name]
        had = list(container.endpoints)
        try:
            await self._join(container, wish)
        except PluginError:
            for endpoint in container.endpoints:
                if endpoint not in had:
                    await self._leave(container, endpoint)
            raise
        container.wishes.append(wish)

    async def disconnect(self, name: str, network: str) -> None:
        """`docker network disconnect`."""
        container = self.containers[name]
        for endpoint in [one for one in container.endpoints if one.network.name == network]:
            await self._leave(container, endpoint)
        container.wishes = [one for one in container.wishes if one.network != network]

    async def _join(self, container: Container, wish: Wish) -> None:
        network = self.named(wish.network)
        endpoint = Endpoint(EndpointId(self.hex(64)), network, [], wish)
        options = _endpoint_options(wish)
        async with network.lock:
            try:
                await self._ask_addresses(endpoint, wish)
                made = await self._ask(
                    "NetworkDriver.CreateEndpoint",
                    NetworkID=network.id,
                    EndpointID=endpoint.id,
                    Interface=_interface(endpoint, wish),
                    Options=options,
                )
            except PluginError:
                await self._release_addresses(endpoint)
                raise
        endpoint.mac = wish.mac or made["Interface"]["MacAddress"]
        container.endpoints.append(endpoint)
        of_both = {"NetworkID": network.id, "EndpointID": endpoint.id}
        joined = await self._ask(
            "NetworkDriver.Join", **of_both, SandboxKey=container.sandbox, Options=options
        )
        peer = joined["InterfaceName"]["SrcName"]
        try:
            self._switch.move_in(peer, container.sandbox, endpoint.mac)
        except LookupError:
            raise PluginError(f"failed to move {peer} into the sandbox: no such device") from None
        endpoint.peer = peer
        external = "NetworkDriver.ProgramExternalConnectivity"
        await self._ask(external, **of_both, Options=options)
        await self._ask("NetworkDriver.EndpointOperInfo", **of_both)

    async def _ask_addresses(self, endpoint: Endpoint, wish: Wish) -> None:
        for one in endpoint.network.ranges:
            wanted = wish.ip6 if ":" in one.cidr else wish.ip
            answer = await self._ask(
                "IpamDriver.RequestAddress", PoolID=one.pool, Address=wanted, Options=None
            )
            endpoint.addresses.append((one.pool, answer["Address"]))

    async def _leave_all(self, container: Container) -> None:
        for endpoint in list(container.endpoints):
            await self._leave(container, endpoint)
        self._switch.end_sandbox(container.sandbox)

    async def _leave(self, container: Container, endpoint: Endpoint) -> None:
        of_both = {"NetworkID": endpoint.network.id, "EndpointID": endpoint.id}
        if endpoint.peer:
            await self._told_once("NetworkDriver.RevokeExternalConnectivity", **of_both)
        await self._told_once("NetworkDriver.Leave", **of_both)
        if endpoint.peer:
            self._switch.move_out(container.sandbox, endpoint.peer)
        await self._forget_endpoint(endpoint)
        if endpoint in container.endpoints:
            container.endpoints.remove(endpoint)

    async def _forget_endpoint(self, endpoint: Endpoint) -> None:
        await self._told_once(
            "NetworkDriver.DeleteEndpoint",
            NetworkID=endpoint.network.id,
            EndpointID=endpoint.id,
        )
        await self._release_addresses(endpoint)

    async def _release_addresses(self, endpoint: Endpoint) -> None:
        for pool, address in endpoint.addresses:
            await self._told_once(
                "IpamDriver.ReleaseAddress", PoolID=pool, Address=address.partition("/")[0]
            )

    # ── its own life ──

    async def crash(self) -> None:
        """It is killed and started again: every container ended, and what ran starts again."""
        ran = [one.name for one in self.containers.values() if one.running]
        stale = []
        for container in self.containers.values():
            stale += container.endpoints
            container.endpoints, container.running = [], False
            self._switch.end_sandbox(container.sandbox)
        if self.tells_stale:
            for endpoint in stale:
                await self._forget_endpoint(endpoint)
        for name in ran:
            await self.start(name)

    def forget_network(self, name: str) -> None:
        """`docker network rm` while no driver answers."""
        self.networks.pop(self.named(name).id)

    # ── what is true ──

    def living(self) -> list[Living]:
        """Each endpoint of each container that runs."""
        return [
            Living(
                container.name,
                container.id,
                endpoint.id,
                endpoint.network.id,
                tuple(ipaddress.ip_interface(one).ip for _, one in endpoint.addresses),
                endpoint.mac,
                container.sandbox,
                _rules(endpoint),
                endpoint.wish.options,
            )
            for container in self.containers.values()
            if container.running
            for endpoint in container.endpoints
        ]

    def container_of(self, endpoint: EndpointId) -> Container | None:
        """The container that has an endpoint, whether or not it runs yet."""
        for container in self.containers.values():
            if any(one.id == endpoint for one in container.endpoints):
                return container
        return None

    # ── the wire ──

    async def _ask(self, call: str, **body: object) -> dict[str, Any]:
        """The answer; PluginError where it is a refusal, or nobody answers for long."""
        self.told.append((call, body))
        sent = json.dumps(body).encode()
        for pause in (*_PAUSES, None):
            try:
                answer: dict[str, Any] = json.loads(await self._call(call, sent))
                return answer
            except ConnectionError as error:
                if pause is None:
                    raise PluginError(f"{call}: the plugin does not answer: {error}") from None
                await asyncio.sleep(pause)
                if isinstance(error, ConnectionResetError) and not self.repeats_bodies:
                    sent = b""
        raise AssertionError("the last try answers or raises")

    async def _told_once(self, call: str, **body: object) -> None:
        try:
            await self._ask(call, **body)
        except PluginError:
            return

    def hex(self, digits: int) -> str:
        """So many random hexadecimal digits."""
        return f"{self._chance.getrandbits(4 * digits):0{digits}x}"


def _data(one: Range, aux: Mapping[str, str] | None) -> dict[str, object]:
    cidr = ipaddress.ip_network(one.cidr)
    kept = {
        name: f"{address}/{cidr.prefixlen}"
        for name, address in (aux or {}).items()
        if ipaddress.ip_address(address) in cidr
    }
    data: dict[str, object] = {
        "AddressSpace": "KurierLocal",
        "Gateway": one.gateway,
        "Pool": one.cidr,
    }
    return data | ({"AuxAddresses": kept} if kept else {})


def _interface(endpoint: Endpoint, wish: Wish) -> dict[str, str]:
    found = [address for _, address in endpoint.addresses]
    return {
        "Address": next((one for one in found if ":" not in one), ""),
        "AddressIPv6": next((one for one in found if ":" in one), ""),
        "MacAddress": wish.mac,
    }


def _endpoint_options(wish: Wish) -> dict[str, object]:
    exposed = [{"Proto": _PROTOCOLS[name], "Port": port} for name, port in wish.exposed]
    return {_EXPOSED: exposed, _PUBLISHED: [], **wish.options}


def _is_on(container: Container, network: Net) -> bool:
    return any(one.network is network for one in container.endpoints)


def _rules(endpoint: Endpoint) -> tuple[Rule, ...]:
    families = {"IPv6" if ":" in one else "IPv4" for _, one in endpoint.addresses}
    return tuple(
        Rule(name, port, port, family)
        for name, port in endpoint.wish.exposed
        for family in sorted(families)
    )
