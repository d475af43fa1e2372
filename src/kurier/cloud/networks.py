# SPDX-License-Identifier: Apache-2.0
"""Networks, subnets and subnet pools: what to send, and where."""

from __future__ import annotations

from collections.abc import Sequence

from kurier.cloud.calls import Call
from kurier.cloud.extensions import Extensions
from kurier.cloud.reading import value, whole_list
from kurier.cloud.tagging import delete
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireNetwork, WireSubnet, WireSubnetPool
from kurier.model.ids import IPAddress, IPNetwork, NetworkId, SubnetId, SubnetPoolId
from kurier.model.neutron import Network, NetworkSpec, Subnet, SubnetPool, SubnetSpec


class Networks:
    """Neutron's networks. Blocking."""

    def __init__(self, transport: Transport, extensions: Extensions) -> None:
        self._transport = transport
        self._extensions = extensions

    def get(self, network_id: NetworkId) -> Network:
        """One network; NOT_FOUND."""
        facts = {"noun": "network", "id": network_id, "network": network_id}
        call = Call("GET", f"/networks/{network_id}", f"show network {network_id}", facts)
        return value(call, self._transport.send(call), "network", WireNetwork)

    def find(self, name: str | None, description: str | None, tags: Sequence[str]) -> list[Network]:
        """All networks with this name, this description and all of these tags."""
        which = filters(name=name, description=description, tags=tags)
        call = Call("GET", "/networks", "list networks", params=which)
        return whole_list(self._transport, call, "networks", WireNetwork)

    def create(self, spec: NetworkSpec) -> Network:
        """A new network."""
        call = Call(
            "POST", "/networks", f"create network {spec.name}", body={"network": network_body(spec)}
        )
        return value(call, self._transport.send(call), "network", WireNetwork)

    def rename(
        self, network_id: NetworkId, name: str, description: str, revision: int | None
    ) -> Network:
        """The network under its new name, where the cloud can compare only if `revision` holds."""
        call = Call(
            "PUT",
            f"/networks/{network_id}",
            f"rename network {network_id}",
            facts={"noun": "network", "id": network_id, "network": network_id},
            body={"network": {"name": name, "description": description}},
            if_revision=self._extensions.comparable(revision),
        )
        return value(call, self._transport.send(call), "network", WireNetwork)

    def delete(self, network_id: NetworkId, revision: int | None) -> None:
        """Deletes it, where the cloud can compare only if `revision` still holds."""
        call = _deletion("network", network_id, self._extensions.comparable(revision))
        delete(self._transport, call)


class Subnets:
    """Neutron's subnets and subnet pools. Blocking."""

    def __init__(self, transport: Transport, extensions: Extensions) -> None:
        self._transport = transport
        self._extensions = extensions

    def get(self, subnet_id: SubnetId) -> Subnet:
        """One subnet; NOT_FOUND."""
        facts = {"noun": "subnet", "id": subnet_id, "subnet": subnet_id}
        call = Call("GET", f"/subnets/{subnet_id}", f"show subnet {subnet_id}", facts)
        return value(call, self._transport.send(call), "subnet", WireSubnet)

    def find(self, params: tuple[tuple[str, str], ...]) -> list[Subnet]:
        """All subnets that match."""
        call = Call("GET", "/subnets", "list subnets", params=params)
        return whole_list(self._transport, call, "subnets", WireSubnet)

    def create(self, spec: SubnetSpec) -> Subnet:
        """A new subnet."""
        call = Call(
            "POST",
            "/subnets",
            f"create subnet {spec.name} on network {spec.network_id}",
            facts={
                "network": spec.network_id,
                "cidr": str(spec.cidr or "from a pool"),
                "pool": spec.subnet_pool_id or "(none)",
            },
            body={"subnet": subnet_body(spec)},
        )
        return value(call, self._transport.send(call), "subnet", WireSubnet)

    def set_gateway(self, subnet_id: SubnetId, gateway: IPAddress | None) -> Subnet:
        """The subnet with its new gateway, or with none."""
        call = Call(
            "PUT",
            f"/subnets/{subnet_id}",
            f"set gateway {gateway or 'none'} of subnet {subnet_id}",
            facts={"noun": "subnet", "id": subnet_id, "subnet": subnet_id},
            body={"subnet": {"gateway_ip": str(gateway) if gateway else None}},
        )
        return value(call, self._transport.send(call), "subnet", WireSubnet)

    def delete(self, subnet_id: SubnetId, revision: int | None) -> None:
        """Deletes it, where the cloud can compare only if `revision` still holds; IN_USE."""
        call = _deletion("subnet", subnet_id, self._extensions.comparable(revision))
        delete(self._transport, call)

    def pool(self, pool_id: SubnetPoolId) -> SubnetPool:
        """One subnet pool; NOT_FOUND."""
        facts = {"noun": "subnet pool", "id": pool_id, "pool": pool_id}
        call = Call("GET", f"/subnetpools/{pool_id}", f"show subnet pool {pool_id}", facts)
        return value(call, self._transport.send(call), "subnetpool", WireSubnetPool)

    def pools(
        self, name: str | None, default: bool | None, ip_version: int | None
    ) -> list[SubnetPool]:
        """All subnet pools that match."""
        params = filters(name=name, is_default=default, ip_version=ip_version)
        call = Call("GET", "/subnetpools", "list subnet pools", params=params)
        return whole_list(self._transport, call, "subnetpools", WireSubnetPool)

    def delete_pool(self, pool_id: SubnetPoolId) -> None:
        """Deletes a subnet pool; IN_USE."""
        facts = {"noun": "subnet pool", "id": pool_id, "pool": pool_id}
        call = Call("DELETE", f"/subnetpools/{pool_id}", f"delete subnet pool {pool_id}", facts)
        delete(self._transport, call)


def _deletion(noun: str, identity: str, if_revision: int | None) -> Call:
    return Call(
        "DELETE",
        f"/{noun}s/{identity}",
        f"delete {noun} {identity}",
        facts={"noun": noun, "id": identity, noun: identity},
        if_revision=if_revision,
    )


def filters(
    *, tags: Sequence[str] = (), **fields: str | int | bool | IPNetwork | None
) -> tuple[tuple[str, str], ...]:
    """A list's query: fields that are None are left out; `tags` must all be there."""
    given = [(name, _text(field)) for name, field in fields.items() if field is not None]
    return (*given, ("tags", ",".join(tags))) if tags else tuple(given)


def network_body(spec: NetworkSpec) -> dict[str, object]:
    """The JSON of a network to create."""
    body: dict[str, object] = {"name": spec.name, "description": spec.description}
    if spec.shared is not None:
        body["shared"] = spec.shared
    if spec.port_security is not None:
        body["port_security_enabled"] = spec.port_security
    return body


def subnet_body(spec: SubnetSpec) -> dict[str, object]:
    """The JSON of a subnet to create."""
    body: dict[str, object] = {
        "network_id": spec.network_id,
        "name": spec.name,
        "ip_version": spec.ip_version,
        "enable_dhcp": spec.enable_dhcp,
    }
    if spec.description:
        body["description"] = spec.description
    if spec.cidr is not None:
        body["cidr"] = str(spec.cidr)
    if spec.no_gateway:
        body["gateway_ip"] = None
    elif spec.gateway is not None:
        body["gateway_ip"] = str(spec.gateway)
    if spec.allocation_pools:
        body["allocation_pools"] = [
            {"start": str(pool.start), "end": str(pool.end)} for pool in spec.allocation_pools
        ]
    if spec.subnet_pool_id is not None:
        body["subnetpool_id"] = spec.subnet_pool_id
    return body


def _text(field: str | int | bool | IPNetwork) -> str:
    return str(field).lower() if isinstance(field, bool) else str(field)
