# SPDX-License-Identifier: Apache-2.0
"""Ports: what to send for each, and how a create that fails half-way is undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kurier.cloud.calls import Call
from kurier.cloud.extensions import Extensions
from kurier.cloud.networks import filters
from kurier.cloud.reading import listed, value, whole_list
from kurier.cloud.tagging import Tagging, delete
from kurier.cloud.transport import Transport
from kurier.cloud.undo import undone
from kurier.cloud.wire import WirePort
from kurier.model.errors import Code, KurierError
from kurier.model.ids import PortId
from kurier.model.neutron import (
    Capabilities,
    FixedIpRequest,
    Kind,
    Port,
    PortChange,
    PortFilter,
    PortSpec,
)

_CONTAINER_OWNERS = {"compute:kuryr", "compute:kurier"}


class Ports:
    """Neutron's ports. Blocking."""

    def __init__(self, transport: Transport, extensions: Extensions, tagging: Tagging) -> None:
        self._transport = transport
        self._extensions = extensions
        self._tagging = tagging
        # Neutron 29 takes a port's tags on create where an ML2 extension driver is on, but
        # names that in no extension: the first create finds it out, and a refusal makes nothing.
        self._takes_tags = True

    def get(self, port_id: PortId) -> Port:
        """One port; NOT_FOUND."""
        facts = {"noun": "port", "id": port_id, "port": port_id}
        call = Call("GET", f"/ports/{port_id}", f"show port {port_id}", facts)
        return value(call, self._transport.send(call), "port", WirePort)

    def find(self, which: PortFilter) -> list[Port]:
        """All ports that match."""
        call = Call("GET", "/ports", "list ports", params=port_filters(which))
        return whole_list(self._transport, call, "ports", WirePort)

    def create(self, spec: PortSpec) -> Port:
        """A new port with its tags, or none at all."""
        tags_in_body = self._takes_tags and bool(spec.tags)
        try:
            port = self._post(spec, tags_in_body)
        except KurierError as error:
            if not tags_in_body or not _refuses_tags(error):
                raise
            self._takes_tags = tags_in_body = False
            port = self._post(spec, tags_in_body)
        if not spec.tags or tags_in_body:
            return port
        with undone(lambda: self.delete(port.id)):
            self._tagging.set_first(Kind.PORT, port.id, spec.tags)
        return replace(port, tags=frozenset(spec.tags))

    def create_all(self, specs: Sequence[PortSpec]) -> list[Port]:
        """New ports with their tags, in the order of the specs, or none at all.

        One request; where the cloud takes no tags on create, one more for each port. Neutron
        makes all or none; what a release that does not left behind is found by `device_id`.
        """
        if len(specs) == 1:
            return [self.create(specs[0])]
        tags_in_body = self._takes_tags and any(spec.tags for spec in specs)
        try:
            ports = self._post_all(specs, tags_in_body)
        except KurierError as error:
            if tags_in_body and _refuses_tags(error):
                self._takes_tags = False
                return self.create_all(specs)
            if error.code not in (Code.CLOUD_AWAY, Code.CLOUD_ERROR, Code.CREDENTIALS):
                self._sweep(specs)
            raise
        if tags_in_body:
            return ports
        with undone(lambda: self._sweep(specs)):
            for spec, port in zip(specs, ports, strict=True):
                if spec.tags:
                    self._tagging.set_first(Kind.PORT, port.id, spec.tags)
        return [
            replace(port, tags=frozenset(spec.tags))
            for spec, port in zip(specs, ports, strict=True)
        ]

    def _post_all(self, specs: Sequence[PortSpec], tags_in_body: bool) -> list[Port]:
        call = Call(
            "POST",
            "/ports",
            f"create {len(specs)} ports on network {specs[0].network_id}",
            facts=_shared_facts(specs),
            body={"ports": [port_body(spec, tags_in_body) for spec in specs]},
            # Neutron takes the same time for each, and a read is patient enough for some eight.
            longer=max(1.0, len(specs) / 8),
        )
        answer = listed(call, self._transport.send(call), "ports", WirePort)
        made = {port.device_id: port for port in answer}
        lacking = [spec.device_id for spec in specs if spec.device_id not in made]
        if lacking:
            raise KurierError(
                Code.CLOUD_ERROR,
                f"Neutron was asked for {len(specs)} ports and answered with {len(made)}.",
            )
        return [made[spec.device_id] for spec in specs]

    def _sweep(self, specs: Sequence[PortSpec]) -> None:
        """Deletes what a refused or half-tagged bulk may have left."""
        which = PortFilter(device_ids=tuple(spec.device_id for spec in specs))
        for port in self.find(which):
            self.delete(port.id)

    def replace_tags(self, port_id: PortId, tags: Sequence[str]) -> None:
        """Gives a port just these tags; NOT_FOUND."""
        try:
            self._tagging.set_first(Kind.PORT, port_id, tags)
        except KurierError as error:
            if error.code is Code.CLOUD_ERROR:
                self.get(port_id)  # NOT_FOUND, where that is why
            raise

    def _post(self, spec: PortSpec, tags_in_body: bool) -> Port:
        call = Call(
            "POST",
            "/ports",
            f"create port {spec.name} on network {spec.network_id}",
            facts=_facts(spec),
            body={"port": port_body(spec, tags_in_body)},
        )
        return value(call, self._transport.send(call), "port", WirePort)

    def update(self, port_id: PortId, change: PortChange) -> Port:
        """The port as changed; an empty change only reads it."""
        body = change_body(change, self._extensions.capabilities())
        if not body:
            return self.get(port_id)
        call = Call(
            "PUT",
            f"/ports/{port_id}",
            f"change {', '.join(sorted(body))} of port {port_id}",
            facts={"noun": "port", "id": port_id, "port": port_id}
            | _wanted(change.fixed_ips, change.mac),
            body={"port": body},
        )
        return value(call, self._transport.send(call), "port", WirePort)

    def delete(self, port_id: PortId) -> None:
        """Deletes it, also where only its owner's name stands in the way."""
        try:
            self._delete(port_id)
        except KurierError as error:
            if error.code is not Code.POLICY or not self._disowned(port_id):
                raise
            self._delete(port_id)

    def _delete(self, port_id: PortId) -> None:
        facts = {"noun": "port", "id": port_id, "port": port_id}
        call = Call("DELETE", f"/ports/{port_id}", f"delete port {port_id}", facts)
        delete(self._transport, call)

    def _disowned(self, port_id: PortId) -> bool:
        """Takes our own device owner off a port; False where it has another.

        Newer default policies (neutron, `neutron/conf/policies/port.py`, delete_port) keep tenants
        from deleting ports of `compute:` owners, Nova's servers being meant; a tenant may take
        the owner off first. That is done to ports of containers and to no server's.
        """
        try:
            owner = self.get(port_id).device_owner
            if owner not in _CONTAINER_OWNERS:
                return False
            self.update(port_id, PortChange(device_owner=""))
        except KurierError as error:
            return error.code is Code.NOT_FOUND
        return True


def port_filters(which: PortFilter) -> tuple[tuple[str, str], ...]:
    """The query of a filter; addresses go as repeated `fixed_ips=KEY=VALUE`, all of which hold."""
    params = filters(
        network_id=which.network_id,
        device_id=which.device_id,
        device_owner=which.device_owner,
        name=which.name,
        tags=which.tags,
    )
    params = (*params, *(("device_id", device_id) for device_id in which.device_ids))
    if which.subnet_id is not None:
        params = (*params, ("fixed_ips", f"subnet_id={which.subnet_id}"))
    if which.address is not None:
        params = (*params, ("fixed_ips", f"ip_address={which.address}"))
    return params


def port_body(spec: PortSpec, tags_in_body: bool) -> dict[str, object]:
    """The JSON of a port to create."""
    body: dict[str, object] = {
        "network_id": spec.network_id,
        "name": spec.name,
        "device_id": spec.device_id,
        "device_owner": spec.device_owner,
        "fixed_ips": _fixed_ips(spec.fixed_ips),
    }
    optional: dict[str, object] = {
        "description": spec.description or None,
        "binding:host_id": spec.host_id or None,
        "mac_address": spec.mac,
        "security_groups": _list(spec.security_groups),
        "qos_policy_id": spec.qos_policy_id,
        "port_security_enabled": spec.port_security,
        "tags": list(spec.tags) if tags_in_body and spec.tags else None,
    }
    return body | {key: given for key, given in optional.items() if given is not None}


def change_body(change: PortChange, offered: Capabilities) -> dict[str, object]:
    """The JSON of a change; a DNS name is left out where the cloud knows none."""
    fields: dict[str, object] = {
        "name": change.name,
        "description": change.description,
        "device_id": change.device_id,
        "device_owner": change.device_owner,
        "binding:host_id": change.host_id,
        "mac_address": change.mac,
        "fixed_ips": None if change.fixed_ips is None else _fixed_ips(change.fixed_ips),
        "security_groups": _list(change.security_groups),
        "port_security_enabled": change.port_security,
        "dns_name": change.dns_name if offered.dns else None,
    }
    body = {key: given for key, given in fields.items() if given is not None}
    if change.qos_policy_id is not None:
        body["qos_policy_id"] = change.qos_policy_id or None
    return body


def _fixed_ips(requests: tuple[FixedIpRequest, ...]) -> list[dict[str, str]]:
    return [
        {"subnet_id": request.subnet_id}
        | ({"ip_address": str(request.address)} if request.address is not None else {})
        for request in requests
    ]


def _list(given: tuple[str, ...] | None) -> list[str] | None:
    return None if given is None else list(given)


def _shared_facts(specs: Sequence[PortSpec]) -> dict[str, str]:
    """What is true of all, for an error's sentence."""
    first, *others = map(_facts, specs)
    return {key: value for key, value in first.items() if all(o.get(key) == value for o in others)}


def _facts(spec: PortSpec) -> dict[str, str]:
    return {"network": spec.network_id} | _wanted(spec.fixed_ips, spec.mac)


def _wanted(fixed_ips: tuple[FixedIpRequest, ...] | None, mac: str | None) -> dict[str, str]:
    """Values for an error's sentence, where they are not ambiguous."""
    facts = {"mac": mac} if mac else {}
    subnets = {request.subnet_id for request in fixed_ips or ()}
    addresses = {str(request.address) for request in fixed_ips or () if request.address}
    if len(subnets) == 1:
        facts["subnet"] = subnets.pop()
    if len(addresses) == 1:
        facts["address"] = addresses.pop()
    return facts


def _refuses_tags(error: KurierError) -> bool:
    """Whether the create was refused for having tags at all, rather than for one of them."""
    return error.code is Code.BAD_REQUEST and "'tags' not allowed" in error.sentence
