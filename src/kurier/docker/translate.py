# SPDX-License-Identifier: Apache-2.0
"""Between the wire's words and the service's: addresses become values, options become strings."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, TypeVar

from kurier.docker import wire
from kurier.model.errors import bad_request
from kurier.model.ids import DockerNetworkId, EndpointId, IPAddress, IPNetwork, PoolId
from kurier.model.neutron import Rule
from kurier.service.requests import (
    AddressAsk,
    EndpointAnswer,
    EndpointAsk,
    JoinAnswer,
    JoinAsk,
    NetworkAsk,
    PoolAnswer,
    PoolAsk,
    PoolData,
    RouteAnswer,
)

_Value = TypeVar("_Value")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_PROTOCOLS: Mapping[object, str] = {
    **{6: "tcp", 17: "udp", 132: "sctp"},
    **{name: name for name in ("tcp", "udp", "sctp")},
}
"""By IANA's number, as engines send them, or by name."""
_OUR_KEYS = ("kurier.", "neutron.")


def pool_ask(call: wire.RequestPool) -> PoolAsk:
    """RequestPool for the service; raises BAD_REQUEST."""
    return PoolAsk(
        space=call.space or "",
        cidr=_optional(_network, call.pool, "Pool"),
        ip_range=_optional(_network, call.sub_pool, "SubPool"),
        options=strings(call.options),
        v6=call.v6,
    )


def pool(answer: PoolAnswer) -> wire.Pool:
    """What RequestPool answers; a gateway saves the engine a RequestAddress."""
    data = {wire.GATEWAY: str(answer.gateway)} if answer.gateway else {}
    return wire.Pool(id=answer.pool_id, cidr=str(answer.cidr), data=data)


def address_ask(call: wire.RequestAddress) -> AddressAsk:
    """RequestAddress for the service; raises BAD_REQUEST."""
    return AddressAsk(
        pool_id=PoolId(call.pool),
        address=_optional(ipaddress.ip_address, call.address, "Address"),
        gateway=(call.options or {}).get(wire.ADDRESS_TYPE) == wire.GATEWAY,
    )


def released_address(call: wire.ReleaseAddress) -> tuple[PoolId, IPAddress]:
    """ReleaseAddress for the service; raises BAD_REQUEST."""
    return PoolId(call.pool), _parse(ipaddress.ip_address, call.address or "", "Address")


def network_ask(call: wire.CreateNetwork) -> NetworkAsk:
    """CreateNetwork for the service; raises BAD_REQUEST."""
    options = call.options or {}
    return NetworkAsk(
        id=DockerNetworkId(call.network),
        options=strings(_generic(options)),
        internal=is_internal(options),
        ipv6=_truth(options.get(wire.ENABLE_IPV6)),
        pools=tuple(_pool_data(data) for data in [*(call.ipv4 or ()), *(call.ipv6 or ())]),
    )


def is_internal(options: wire.Options) -> bool:
    """Whether a network is made with `--internal`."""
    return _truth(options.get(wire.INTERNAL))


def endpoint_ask(call: wire.CreateEndpoint) -> EndpointAsk:
    """CreateEndpoint for the service; raises BAD_REQUEST."""
    interface = call.interface or wire.Interface()
    options = call.options or {}
    v4 = _optional(IPv4Interface, interface.address, "Interface.Address")
    v6 = _optional(IPv6Interface, interface.address_ipv6, "Interface.AddressIPv6")
    return EndpointAsk(
        network=DockerNetworkId(call.network),
        endpoint=EndpointId(call.endpoint),
        address_v4=v4,
        address_v6=v6,
        mac=_optional(_mac, interface.mac, "Interface.MacAddress") or "",
        policy_options=_policy_options(options),
        exposed=_exposed(options, v4=v4 is not None or v6 is None, v6=v6 is not None),
    )


def endpoint_made(answer: EndpointAnswer) -> wire.EndpointMade:
    """What CreateEndpoint answers."""
    return wire.EndpointMade(
        wire.Interface(
            address=str(answer.address_v4) if answer.address_v4 else None,
            address_ipv6=str(answer.address_v6) if answer.address_v6 else None,
            mac=answer.mac,
        )
    )


def join_ask(call: wire.Join) -> JoinAsk:
    """Join for the service."""
    plain = {
        key: value
        for key, value in (call.options or {}).items()
        if not isinstance(value, dict | list)
    }
    return JoinAsk(
        DockerNetworkId(call.network), EndpointId(call.endpoint), call.sandbox or "", strings(plain)
    )


def joined(answer: JoinAnswer) -> wire.Joined:
    """What Join answers."""
    return wire.Joined(
        name=wire.InterfaceName(source=answer.device, prefix=answer.prefix),
        gateway=str(answer.gateway_v4 or ""),
        gateway_ipv6=str(answer.gateway_v6 or ""),
        routes=tuple(map(_route, answer.routes)),
        disable_gateway_service=answer.disable_gateway_service,
    )


def _exposed(options: wire.Options, *, v4: bool, v6: bool) -> tuple[Rule, ...]:
    """The container's ports that `--expose` and `-p` name, for each family it has.

    `-p` alone exposes its port too, and engines list it in both options.
    """
    listed = [*_listed(options, wire.EXPOSED_PORTS), *_listed(options, wire.PORT_MAP)]
    ports = dict.fromkeys(map(_port, listed))
    families = [name for name, wanted in (("IPv4", v4), ("IPv6", v6)) if wanted]
    return tuple(
        Rule(protocol, number, number, family) for protocol, number in ports for family in families
    )


def strings(options: Mapping[str, Any] | None) -> dict[str, str]:
    """Options as the strings their user wrote, whatever type an engine made of them."""
    return {key: _string(value) for key, value in (options or {}).items()}


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _generic(options: wire.Options) -> dict[str, Any]:
    generic = options.get(wire.GENERIC)
    return generic if isinstance(generic, dict) else {}


def _policy_options(options: wire.Options) -> dict[str, str]:
    """An endpoint's `--driver-opt`: at the top or below `generic`, by the engine's version."""
    both = {**_generic(options), **options}
    return strings({key: both[key] for key in both if key.startswith(_OUR_KEYS)})


def _listed(options: wire.Options, key: str) -> list[Any]:
    value = options.get(key) or []
    return value if isinstance(value, list) else [value]


def _port(listed: Any) -> tuple[str, int]:
    entry = listed if isinstance(listed, dict) else {}
    name, number = entry.get("Proto"), entry.get("Port")
    protocol = _PROTOCOLS.get(name) if isinstance(name, int | str) else None
    if protocol is None or type(number) is not int or not 0 < number < 65536:
        raise bad_request(f"The exposed port {_string(listed)} is none that Kurier can open.")
    return protocol, number


def _pool_data(data: wire.IpamData) -> PoolData:
    gateway = _optional(ipaddress.ip_interface, data.gateway, "Gateway")
    return PoolData(
        cidr=_parse(_network, data.pool or "", "Pool"),
        gateway=gateway.ip if gateway else None,
        auxiliary={
            name: _parse(ipaddress.ip_interface, text, f"AuxAddresses {name}").ip
            for name, text in (data.auxiliary or {}).items()
        },
        ours=data.space in (wire.LOCAL_SPACE, wire.GLOBAL_SPACE),
    )


def _route(route: RouteAnswer) -> wire.StaticRoute:
    return wire.StaticRoute(
        destination=str(route.destination),
        kind=0 if route.next_hop else 1,
        next_hop=str(route.next_hop or ""),
    )


def _network(text: str) -> IPNetwork:
    return ipaddress.ip_network(text, strict=False)


def _mac(text: str) -> str:
    lower = text.lower()
    if not _MAC.match(lower):
        raise ValueError(text)
    return lower


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() in {"true", "1"}


def _optional(parse: Callable[[str], _Value], text: str | None, name: str) -> _Value | None:
    return _parse(parse, text, name) if text else None


def _parse(parse: Callable[[str], _Value], text: str, name: str) -> _Value:
    try:
        return parse(text)
    except ValueError:
        raise bad_request(f"The engine sent {name} {text!r}, which is no such value.") from None
