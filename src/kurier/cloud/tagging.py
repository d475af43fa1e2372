# SPDX-License-Identifier: Apache-2.0
"""Tags of any resource, one at a time, so that two writers never undo each other."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from kurier.cloud.calls import Call
from kurier.cloud.transport import Transport
from kurier.model.errors import Code, KurierError
from kurier.model.neutron import Kind

NOUNS = {
    Kind.NETWORK: "network",
    Kind.SUBNET: "subnet",
    Kind.SUBNET_POOL: "subnet pool",
    Kind.PORT: "port",
    Kind.SECURITY_GROUP: "security group",
}


class Tagging:
    """Writes tags."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(self, kind: Kind, resource_id: str, tag: str) -> None:
        """Adds one tag; NOT_FOUND."""
        noun = NOUNS[kind]
        self._transport.send(
            Call(
                "PUT",
                _path(kind, resource_id, tag),
                f"add tag {tag} to {noun} {resource_id}",
                facts={"noun": noun, "id": resource_id},
            )
        )

    def remove(self, kind: Kind, resource_id: str, tag: str) -> None:
        """Removes one tag; it may be gone already, and so may the resource."""
        noun = NOUNS[kind]
        call = Call(
            "DELETE",
            _path(kind, resource_id, tag),
            f"remove tag {tag} from {noun} {resource_id}",
            facts={"noun": noun, "id": resource_id},
        )
        delete(self._transport, call)

    def set_first(self, kind: Kind, resource_id: str, tags: Sequence[str]) -> None:
        """Gives a resource that was just made, and that nobody else knows yet, all its tags."""
        noun = NOUNS[kind]
        self._transport.send(
            Call(
                "PUT",
                f"/{kind}/{resource_id}/tags",
                f"tag {noun} {resource_id}",
                facts={"noun": noun, "id": resource_id},
                body={"tags": list(tags)},
            )
        )


def delete(transport: Transport, call: Call) -> None:
    """Sends a DELETE; what is gone already counts as deleted."""
    try:
        transport.send(call)
    except KurierError as error:
        if error.code is not Code.NOT_FOUND:
            raise


def _path(kind: Kind, resource_id: str, tag: str) -> str:
    if "/" in tag:
        # Neutron's router sees the slash whichever way it is quoted and answers 404, which would
        # pass for "gone already".
        raise KurierError(Code.UNSUPPORTED, f"Neutron cannot address tag {tag} for its slash.")
    return f"/{kind}/{resource_id}/tags/{quote(tag, safe='')}"
