# SPDX-License-Identifier: Apache-2.0
"""What Kurier asks of an engine for networks of a whole Swarm; in the background alone.

A config-only network is labelled with the definition that it was made from, so that it is found
again without any ledger, and never mistaken for a user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import field

from kurier.docker.engine import DockerEngine
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId
from kurier.service.protocols import NodeNetwork, SwarmNetwork

LABEL = "kurier.definition"
_NOT_A_MANAGER = (406, 503)


class _Status(msgspec.Struct):
    state: str = field(name="State", default="")


class _Node(msgspec.Struct):
    status: _Status = field(name="Status", default_factory=_Status)


class _Made(msgspec.Struct):
    id: str = field(name="Id")


class _Listed(msgspec.Struct):
    id: str = field(name="Id")
    name: str = field(name="Name", default="")
    labels: dict[str, str] | None = field(name="Labels", default=None)


class SwarmApi:
    """Fulfils the service's `SwarmEngine`."""

    def __init__(self, engine: DockerEngine) -> None:
        self._engine = engine

    async def nodes(self) -> int | None:
        """How many nodes of the Swarm are ready; None where this node is no manager."""
        status, body = await self._engine.send("GET", "/nodes")
        if status in _NOT_A_MANAGER:
            return None
        listed = self._read(status, body, list[_Node], "list the Swarm's nodes")
        return sum(1 for node in listed if node.status.state == "ready")

    async def configured(self) -> Mapping[DockerNetworkId, str]:
        """The config-only networks made here, by definition, with the engine's id of each."""
        query = {"filters": msgspec.json.encode({"label": [LABEL]}).decode()}
        status, body = await self._engine.send("GET", "/networks", query=query)
        listed = self._read(status, body, list[_Listed], "list its networks")
        return {
            DockerNetworkId(labels[LABEL]): one.id
            for one in listed
            if (labels := one.labels or {}).get(LABEL)
        }

    async def configure(self, network: NodeNetwork) -> None:
        """Makes a config-only network; CONFLICT where its name is taken."""
        body = {
            "Name": network.name,
            "CheckDuplicate": True,
            "ConfigOnly": True,
            "Internal": network.internal,
            "EnableIPv6": any(one.cidr.version == 6 for one in network.ranges),
            "Options": dict(network.options),
            "Labels": {LABEL: network.definition},
            "IPAM": {
                "Driver": network.driver,
                "Config": [
                    {"Subnet": str(one.cidr)}
                    | ({"Gateway": str(one.gateway)} if one.gateway else {})
                    for one in network.ranges
                ],
            },
        }
        status, answer = await self._engine.send("POST", "/networks/create", body)
        self._read(status, answer, _Made, f"make network {network.name}")

    async def create(self, network: SwarmNetwork) -> DockerNetworkId:
        """Makes the Swarm's network from every node's config-only network; CONFLICT where the name
        is taken.
        """
        body = {
            "Name": network.name,
            "CheckDuplicate": True,
            "Driver": network.driver,
            "Scope": "swarm",
            "Attachable": network.attachable,
            "Labels": dict(network.labels),
            "ConfigFrom": {"Network": network.config},
        }
        status, answer = await self._engine.send("POST", "/networks/create", body)
        return DockerNetworkId(
            self._read(status, answer, _Made, f"make Swarm network {network.name}").id
        )

    async def remove(self, name: str) -> bool:
        """Removes a network by name or id; False where the engine says that it is in use."""
        status, body = await self._engine.send("DELETE", f"/networks/{name}")
        if status in (204, 404):
            return True
        if status in (400, 403, 409, 412):
            return False
        raise _refused(f"remove network {name}", status, body)

    def _read(self, status: int, body: bytes, kind: type[Any], doing: str) -> Any:
        if status not in (200, 201):
            raise _refused(doing, status, body)
        return self._engine.decode(body, kind, doing)


def _refused(doing: str, status: int, body: bytes) -> KurierError:
    """What the engine said, as it said it."""
    try:
        said = str(msgspec.json.decode(body)["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        said = f"it answered {status}"
    code = Code.CONFLICT if status in (403, 409) else Code.INTERNAL
    return KurierError(code, f"The engine did not {doing}: {said.rstrip('.')}.")
