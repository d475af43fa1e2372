# SPDX-License-Identifier: Apache-2.0
"""Tags of any resource: one at a time, so that two writers never undo each other, or all of them
where there is but one writer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        self._send("PUT", kind, resource_id, _below(tag), f"add tag {tag} to")

    def remove(self, kind: Kind, resource_id: str, tag: str) -> None:
        """Removes one tag; it may be gone already, and so may the resource."""
        try:
            self._send("DELETE", kind, resource_id, _below(tag), f"remove tag {tag} from")
        except KurierError as error:
            if error.code is not Code.NOT_FOUND:
                raise

    def replace(self, kind: Kind, resource_id: str, tags: Sequence[str]) -> None:
        """Gives a resource exactly these tags; NOT_FOUND.

        What somebody else adds at the same moment is lost: only for a resource that nobody else
        tags, such as one that was just made.
        """
        self._send("PUT", kind, resource_id, "", "tag", {"tags": list(tags)})

    def _send(
        self,
        method: str,
        kind: Kind,
        resource_id: str,
        below: str,
        doing: str,
        body: Mapping[str, object] | None = None,
    ) -> None:
        noun = NOUNS[kind]
        facts = {"noun": noun, "id": resource_id}
        path = f"/{kind}/{resource_id}/tags{below}"
        call = Call(method, path, f"{doing} {noun} {resource_id}", facts, body=body)
        try:
            self._transport.send(call)
        except KurierError as error:
            if error.code is Code.CLOUD_ERROR:
                self._require(kind, resource_id, facts)
            raise

    def _require(self, kind: Kind, resource_id: str, facts: dict[str, str]) -> None:
        """Raises NOT_FOUND where there is no such resource.

        Asked for the tags of one that is gone, Neutron 29 answers 500 (its `_get_policy_action`
        in `neutron/extensions/tagging.py` knows no policy for nothing).
        """
        doing = f"show {facts['noun']} {resource_id}"
        path = f"/{kind}/{resource_id}"
        self._transport.send(Call("GET", path, doing, facts, params=(("fields", "id"),)))


def delete(transport: Transport, call: Call) -> None:
    """Sends a DELETE; what is gone already counts as deleted."""
    try:
        transport.send(call)
    except KurierError as error:
        if error.code is not Code.NOT_FOUND:
            raise


def _below(tag: str) -> str:
    if "/" in tag or not tag.isascii():
        # However quoted, Neutron's router splits at the slash, and what it then answers, 404,
        # would pass for "gone already"; other alphabets it takes for Latin-1.
        raise KurierError(
            Code.UNSUPPORTED,
            f"Neutron cannot address tag {tag}: choose one of ASCII characters without a slash.",
        )
    return "/" + quote(tag, safe="")
