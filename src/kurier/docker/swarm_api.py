# SPDX-License-Identifier: Apache-2.0
"""What Kurier asks of an engine for networks of a whole Swarm; in the background alone.

A config-only network is labelled with the definition that it was made from, so that it is found
again without any ledger, and never mistaken for a user's. The engine gives what it makes from a
config-only network the same labels.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import field

from kurier.docker.engine_api import EngineApi, Reply
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId
from kurier.service.protocols import NodeNetwork, SwarmNetwork

LABEL = "kurier.definition"
LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_NOT_A_MANAGER = (406, 503)
_IN_USE = (400, 403, 409, 412)
_TAKEN = (403, 409)


class _Status(msgspec.Struct):
    state: str = field(name="State", default="")


class _Node(msgspec.Struct):
    status: _Status = field(name="Status", default_factory=_Status)


class _Plugin(msgspec.Struct):
    enabled: bool = field(name="Enabled", default=False)


class _Made(msgspec.Struct):
    id: str = field(name="Id")


class _Listed(msgspec.Struct):
    id: str = field(name="Id")
    name: str = field(name="Name", default="")
    config_only: bool = field(name="ConfigOnly", default=False)
    labels: dict[str, str] | None = field(name="Labels", default=None)


class SwarmApi:
    """Fulfils the service's `SwarmEngine`."""

    def __init__(self, api: EngineApi) -> None:
        self._api = api

    async def nodes(self) -> int | None:
        """How many nodes of the Swarm are ready; None where this node is no manager."""
        reply = await self._api.call("GET", "/nodes")
        if reply.status in _NOT_A_MANAGER:
            return None
        listed = self._read(reply, list[_Node], "list the Swarm's nodes")
        return sum(1 for node in listed if node.status.state == "ready")

    async def configured(self) -> Mapping[DockerNetworkId, str]:
        """The config-only networks made here, by definition, with the engine's id of each."""
        query = {"filters": msgspec.json.encode({"label": [LABEL]}).decode()}
        reply = await self._api.call("GET", "/networks", query)
        listed = self._read(reply, list[_Listed], "list its networks")
        return {
            DockerNetworkId(labels[LABEL]): one.id
            for one in listed
            if one.config_only and (labels := one.labels or {}).get(LABEL)
        }

    async def configure(self, network: NodeNetwork) -> None:
        """Makes a config-only network; CONFLICT where its name is taken."""
        await self._require_plugin(network.driver)
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
        reply = await self._api.call("POST", "/networks/create", body=body)
        self._read(reply, _Made, f"make network {network.name}")

    async def create(self, network: SwarmNetwork) -> DockerNetworkId:
        """Makes the Swarm's network from every node's config-only network; CONFLICT where the name
        is taken.
        """
        await self._require_plugin(network.driver)
        body = {
            "Name": network.name,
            "CheckDuplicate": True,
            "Driver": network.driver,
            "Scope": "swarm",
            "Attachable": network.attachable,
            "ConfigFrom": {"Network": network.config},
        }
        reply = await self._api.call("POST", "/networks/create", body=body)
        return DockerNetworkId(self._read(reply, _Made, f"make Swarm network {network.name}").id)

    async def remove(self, name: str) -> bool:
        """Removes a network by name or id; False where the engine says that it is in use."""
        reply = await self._api.call("DELETE", f"/networks/{name}")
        if reply.status in (204, 404):
            return True
        if reply.status in _IN_USE:
            LOG.info("network %s stays: %s", name, reply.told)
            return False
        raise _refused(reply, f"remove network {name}")

    async def _require_plugin(self, name: str) -> None:
        """Refuses in words what the engine would look for in vain for a quarter of a minute."""
        reply = await self._api.call("GET", f"/plugins/{name}/json")
        found = (
            self._read(reply, _Plugin, f"tell of plugin {name}") if reply.status == 200 else None
        )
        if found is None or not found.enabled:
            raise KurierError(
                Code.UNSUPPORTED,
                f"Plugin {name} is {'disabled' if found else 'missing'} on this node: run `kurier "
                "plugin install` here.",
            )

    def _read(self, reply: Reply, kind: type[_Answer], doing: str) -> _Answer:
        if reply.status not in (200, 201):
            raise _refused(reply, doing)
        try:
            return msgspec.json.decode(reply.body, type=kind)
        except msgspec.MsgspecError as error:
            raise self._api.away(f"it was to {doing} and answered otherwise ({error})") from error


def _refused(reply: Reply, doing: str) -> KurierError:
    """What the engine said, as it said it."""
    code = Code.CONFLICT if reply.status in _TAKEN else Code.INTERNAL
    return KurierError(code, f"The engine did not {doing}: {reply.told.rstrip('.')}.")
