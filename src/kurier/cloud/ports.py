# SPDX-License-Identifier: Apache-2.0
"""Ports: what to send for each, and how a create that fails half-way is undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kurier.cloud.calls import Call
from kurier.cloud.extensions import Extensions
from kurier.cloud.networks import filters
from kurier.cloud.reading import not_understood, several, value, whole_list
from kurier.cloud.tagging import Tagging, delete
from kurier.cloud.transport import Transport
from kurier.cloud.undo import suppressed, undone
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

PORTS_AT_ONCE = 8
"""Ports that one call may make within the usual time: Neutron takes some 0.6 s for each."""
_UNANSWERED = {Code.CLOUD_AWAY, Code.CREDENTIALS}
"""After these nobody is there to be asked what was made."""
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
        (port,) = self.create_all((spec,))
        return port

    def create_all(self, specs: Sequence[PortSpec]) -> list[Port]:
        """New ports with their tags by one write, in the specs' order, or none at all."""
        if not specs:
            return []
        tags_in_body = self._takes_tags and any(spec.tags for spec in specs)
        try:
            ports = self._post(specs, tags_in_body)
        except KurierError as error:
            if not tags_in_body or not _refuses_tags(error):
                raise
            self._takes_tags = tags_in_body = False
            ports = self._post(specs, tags_in_body)
        if tags_in_body:
            return ports
        with undone(lambda: self._delete_all(ports)):
            return [self._tagged(port, spec) for port, spec in zip(ports, specs, strict=True)]

    def _tagged(self, port: Port, spec: PortSpec) -> Port:
        if not spec.tags:
            return port
        self._tagging.replace(Kind.PORT, port.id, spec.tags)
        return replace(port, tags=frozenset(spec.tags))

    def _post(self, specs: Sequence[PortSpec], tags_in_body: bool) -> list[Port]:
        if len(specs) > 1:
            return self._post_bulk(specs, tags_in_body)
        (spec,) = specs
        call = Call(
            "POST",
            "/ports",
            f"create port {spec.name} on network {spec.network_id}",
            facts=_facts(specs),
            body={"port": port_body(spec, tags_in_body)},
        )
        return [value(call, self._transport.send(call), "port", WirePort)]

    def _post_bulk(self, specs: Sequence[PortSpec], tags_in_body: bool) -> list[Port]:
        networks = sorted({spec.network_id for spec in specs})
        call = Call(
            "POST",
            "/ports",
            f"create {len(specs)} ports on network {', '.join(networks)}",
            facts=_facts(specs),
            body={"ports": [port_body(spec, tags_in_body) for spec in specs]},
            patience=max(1.0, len(specs) / PORTS_AT_ONCE),
        )
        try:
            return _in_order(call, specs, self._transport.send(call))
        except KurierError as error:
            # Neutron makes all or none, but not where a plugin without bulk writes is below it.
            if error.code not in _UNANSWERED and not _refuses_tags(error):
                self._clear(specs)
            raise

    def _clear(self, specs: Sequence[PortSpec]) -> None:
        """Deletes what carries the specs' device ids; a failure is only logged."""
        which = PortFilter(device_ids=tuple(spec.device_id for spec in specs))
        with suppressed("what a refused bulk left"):
            self._delete_all(self.find(which))

    def _delete_all(self, ports: Sequence[Port]) -> None:
        failure: KurierError | None = None
        for port in ports:
            try:
                self.delete(port.id)
            except KurierError as error:
                if error.code in _UNANSWERED:
                    raise
                failure = error  # the others go all the same
        if failure is not None:
            raise failure

    def update(self, port_id: PortId, change: PortChange, revision: int | None = None) -> Port:
        """The port as changed; an empty change only reads it. CHANGED where `revision` is given and
        holds no more, where the cloud can compare.
        """
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
            if_revision=self._extensions.comparable(revision),
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
    params = (*params, *(("id", port_id) for port_id in which.ids))
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


def _in_order(call: Call, specs: Sequence[PortSpec], body: bytes) -> list[Port]:
    made = {port.device_id: port for port in several(call, body, "ports", WirePort)}
    try:
        return [made[spec.device_id] for spec in specs]
    except KeyError as error:
        raise not_understood(call, ValueError(f"it lacks the port of {error}")) from error


def _facts(specs: Sequence[PortSpec]) -> dict[str, str]:
    fixed_ips = tuple(request for spec in specs for request in spec.fixed_ips)
    networks = sorted({spec.network_id for spec in specs})
    mac = specs[0].mac if len(specs) == 1 else None
    return {"network": ", ".join(networks)} | _wanted(fixed_ips, mac)


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
