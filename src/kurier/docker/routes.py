# SPDX-License-Identifier: Apache-2.0
"""Every call of the two protocols: what its body is, whom it asks, and which lane it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from kurier.docker import translate, wire
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, EndpointId, PoolId

if TYPE_CHECKING:
    from kurier.service.driver import Driver

_Call = TypeVar("_Call", bound=msgspec.Struct)
_NOTHING = wire.Nothing()


@dataclass(frozen=True, slots=True)
class Route:
    """One call. `body` None where none is sent; `lane` None where order does not matter."""

    name: str
    body: type[msgspec.Struct] | None
    serve: Callable[[Driver, Any], Awaitable[object]]
    lane: Callable[[Any], str | None] | None


def _route(
    name: str,
    body: type[_Call],
    serve: Callable[[Driver, _Call], Awaitable[object]],
    lane: Callable[[_Call], str | None] | None = None,
) -> Route:
    return Route(name, body, serve, lane)


def _constant(name: str, answer: object) -> Route:
    async def serve(_driver: Driver, _call: None) -> object:
        return answer

    return Route(name, None, serve, None)


def _refused(name: str, sentence: str) -> Route:
    async def serve(_driver: Driver, _call: None) -> object:
        raise KurierError(Code.UNSUPPORTED, sentence)

    return Route(name, None, serve, None)


def _network_lane(call: wire.OfNetwork) -> str:
    return f"network {call.network}"


def _endpoint_lane(call: wire.OfEndpoint) -> str:
    return f"endpoint {call.endpoint}"


def _pool_lane(call: wire.OfPool) -> str:
    return f"pool {call.pool}"


def _address_lane(call: wire.RequestAddress | wire.ReleaseAddress) -> str | None:
    """Questions for any address of a pool are not each other's repetition."""
    return f"pool {call.pool} address {call.address}" if call.address else None


async def _create_network(driver: Driver, call: wire.CreateNetwork) -> wire.Nothing:
    await driver.create_network(translate.network_ask(call))
    return _NOTHING


async def _delete_network(driver: Driver, call: wire.OfNetwork) -> wire.Nothing:
    await driver.delete_network(DockerNetworkId(call.network))
    return _NOTHING


async def _gateways(_driver: Driver, call: wire.GwAllocCheck) -> wire.GatewaysSkipped:
    """An internal network has no gateway, so that no address need be kept for one."""
    internal = translate.is_internal(call.options or {})
    return wire.GatewaysSkipped(ipv4=internal, ipv6=internal)


async def _create_endpoint(driver: Driver, call: wire.CreateEndpoint) -> wire.EndpointMade:
    return translate.endpoint_made(await driver.create_endpoint(translate.endpoint_ask(call)))


async def _endpoint_info(driver: Driver, call: wire.OfEndpoint) -> wire.EndpointInfo:
    return wire.EndpointInfo(await driver.endpoint_info(*_ids(call)))


async def _delete_endpoint(driver: Driver, call: wire.OfEndpoint) -> wire.Nothing:
    await driver.delete_endpoint(*_ids(call))
    return _NOTHING


async def _join(driver: Driver, call: wire.Join) -> wire.Joined:
    return translate.joined(await driver.join(translate.join_ask(call)))


async def _leave(driver: Driver, call: wire.OfEndpoint) -> wire.Nothing:
    await driver.leave(*_ids(call))
    return _NOTHING


async def _program(driver: Driver, call: wire.OfEndpoint) -> wire.Nothing:
    await driver.program_external(*_ids(call))
    return _NOTHING


async def _revoke(driver: Driver, call: wire.OfEndpoint) -> wire.Nothing:
    await driver.revoke_external(*_ids(call))
    return _NOTHING


async def _discovered(_driver: Driver, _call: wire.Discovery) -> wire.Nothing:
    """Other nodes' addresses are Neutron's business."""
    return _NOTHING


async def _request_pool(driver: Driver, call: wire.RequestPool) -> wire.Pool:
    return translate.pool(await driver.request_pool(translate.pool_ask(call)))


async def _release_pool(driver: Driver, call: wire.OfPool) -> wire.Nothing:
    await driver.release_pool(PoolId(call.pool))
    return _NOTHING


async def _request_address(driver: Driver, call: wire.RequestAddress) -> wire.Address:
    answer = await driver.request_address(translate.address_ask(call))
    return wire.Address(address=str(answer), data={})


async def _release_address(driver: Driver, call: wire.ReleaseAddress) -> wire.Nothing:
    await driver.release_address(*translate.released_address(call))
    return _NOTHING


def _ids(call: wire.OfEndpoint) -> tuple[DockerNetworkId, EndpointId]:
    return DockerNetworkId(call.network), EndpointId(call.endpoint)


_GLOBAL_SCOPE = (
    "Kurier serves networks of local scope, in a Swarm too: create the network from a config-only "
    "network on each node (--config-from)."
)
_CAPABILITIES = wire.DriverCapabilities(
    # Each node makes its own local network; connectivity is global so that a Swarm's services
    # are resolved on every node.
    scope="local",
    connectivity_scope="global",
    gw_alloc_checker=True,
)
_IPAM_CAPABILITIES = wire.IpamCapabilities(
    # With a required MAC the engine would invent one, and a ready port has its own already.
    requires_mac=False,
    # The ledger remembers.
    requires_replay=False,
)

_ROUTES = (
    _constant("Plugin.Activate", wire.Activated(("NetworkDriver", "IpamDriver"))),
    _constant("NetworkDriver.GetCapabilities", _CAPABILITIES),
    _refused("NetworkDriver.AllocateNetwork", _GLOBAL_SCOPE),
    _refused("NetworkDriver.FreeNetwork", _GLOBAL_SCOPE),
    _route("NetworkDriver.GwAllocCheck", wire.GwAllocCheck, _gateways),
    _route("NetworkDriver.CreateNetwork", wire.CreateNetwork, _create_network, _network_lane),
    _route("NetworkDriver.DeleteNetwork", wire.OfNetwork, _delete_network, _network_lane),
    _route("NetworkDriver.CreateEndpoint", wire.CreateEndpoint, _create_endpoint, _endpoint_lane),
    _route("NetworkDriver.EndpointOperInfo", wire.OfEndpoint, _endpoint_info),
    _route("NetworkDriver.DeleteEndpoint", wire.OfEndpoint, _delete_endpoint, _endpoint_lane),
    _route("NetworkDriver.Join", wire.Join, _join, _endpoint_lane),
    _route("NetworkDriver.Leave", wire.OfEndpoint, _leave, _endpoint_lane),
    _route("NetworkDriver.DiscoverNew", wire.Discovery, _discovered),
    _route("NetworkDriver.DiscoverDelete", wire.Discovery, _discovered),
    _route("NetworkDriver.ProgramExternalConnectivity", wire.OfEndpoint, _program, _endpoint_lane),
    _route("NetworkDriver.RevokeExternalConnectivity", wire.OfEndpoint, _revoke, _endpoint_lane),
    _constant("IpamDriver.GetCapabilities", _IPAM_CAPABILITIES),
    _constant(
        "IpamDriver.GetDefaultAddressSpaces",
        wire.AddressSpaces(local_space=wire.LOCAL_SPACE, global_space=wire.GLOBAL_SPACE),
    ),
    _route("IpamDriver.RequestPool", wire.RequestPool, _request_pool),
    _route("IpamDriver.ReleasePool", wire.OfPool, _release_pool, _pool_lane),
    _route("IpamDriver.RequestAddress", wire.RequestAddress, _request_address, _address_lane),
    _route("IpamDriver.ReleaseAddress", wire.ReleaseAddress, _release_address, _address_lane),
)
ROUTES: dict[str, Route] = {route.name: route for route in _ROUTES}


def decode(route: Route, body: bytes) -> msgspec.Struct | None:
    """A call's body; raises BAD_REQUEST where it is empty, cut or lacks what the call needs.

    An engine whose connection broke may send the call again with nothing in it.
    """
    if route.body is None:
        return None
    if not body.strip():
        raise KurierError(
            Code.BAD_REQUEST, f"The engine sent {route.name} without a body: nothing was done."
        )
    try:
        return msgspec.json.decode(body, type=route.body)
    except msgspec.MsgspecError as error:
        raise KurierError(
            Code.BAD_REQUEST,
            f"The engine sent {route.name} with a body that Kurier cannot read ({error}): nothing "
            "was done.",
        ) from error
