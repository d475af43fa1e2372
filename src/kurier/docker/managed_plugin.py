# SPDX-License-Identifier: Apache-2.0
"""The managed plugin in this host's engine: made, replaced, looked at, removed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import field

from kurier.docker.engine_api import EngineApi, Reply
from kurier.docker.plugin_image import MARK, PluginImage
from kurier.model.errors import Code, KurierError

_PATIENCE = 40.0  # seconds; the engine tries for some twelve to reach a plugin's socket


class Outcome(StrEnum):
    """What an installation did."""

    INSTALLED = "installed"
    REPLACED = "replaced"
    ENABLED = "enabled"
    UNCHANGED = "unchanged"


class _Config(msgspec.Struct):
    description: str = field(name="Description", default="")
    entrypoint: list[str] | None = field(name="Entrypoint", default=None)


@dataclass(frozen=True, slots=True)
class Found:
    """The plugin of this name as the engine has it."""

    id: str
    enabled: bool
    description: str
    target: str
    """The socket that it links to; empty where it is no plugin of Kurier's."""


class _Plugin(msgspec.Struct):
    id: str = field(name="Id")
    enabled: bool = field(name="Enabled")
    config: _Config = field(name="Config")

    def found(self) -> Found:
        ours = self.config.description.startswith(MARK)
        target = (self.config.entrypoint or [""])[-1] if ours else ""
        return Found(self.id, self.enabled, self.config.description, target)


class ManagedPlugin:
    """The plugin `name` (with its tag) of one engine. Every step may be repeated.

    Raises CONFLICT where the name is another plugin's, IN_USE where networks use what would have to
    go, NOT_FOUND where the engine cannot reach the socket that the plugin links to.
    """

    def __init__(self, api: EngineApi, name: str) -> None:
        self._api = api
        self.name = name

    async def found(self) -> Found | None:
        """The plugin as it is; None where the engine has none of this name."""
        reply = await self._api.call("GET", f"/plugins/{self.name}/json")
        if reply.status == 404:
            return None
        self._expect(reply, 200)
        try:
            return msgspec.json.decode(reply.body, type=_Plugin).found()
        except msgspec.MsgspecError as error:
            raise self._api.away(f"what it says of plugin {self.name} is odd ({error})") from error

    async def install(self, image: PluginImage, *, force: bool = False) -> Outcome:
        """Makes it so that the plugin is this image and is enabled.

        `force` replaces another image although networks use it.
        """
        there = await self._ours()
        same = there is not None and there.description == image.description
        if there is not None and same and there.enabled:
            return Outcome.UNCHANGED
        if there is not None and not same:
            await self._discard(there, force)
        if not same:
            reply = await self._api.call(
                "POST", "/plugins/create", {"name": self.name}, image.archive(), _PATIENCE
            )
            self._expect(reply, 204)
        await self.enable()
        if same:
            return Outcome.ENABLED
        return Outcome.INSTALLED if there is None else Outcome.REPLACED

    async def enable(self) -> None:
        """Starts it; the engine tries for some twelve seconds to reach its socket."""
        path = f"/plugins/{self.name}/enable"
        reply = await self._api.call("POST", path, {"timeout": "30"}, seconds=_PATIENCE)
        if reply.status >= 400 and "dial unix" in reply.told:
            raise KurierError(
                Code.NOT_FOUND,
                f"The engine could not reach Kurier through plugin {self.name} and left it "
                f"disabled ({reply.told}): start Kurier, then repeat this.",
            )
        self._expect(reply, 200)

    async def revive(self) -> bool:
        """Enables it if it is there and disabled, and says whether it was.

        An engine that starts while nobody listens behind the plugin disables it after some twelve
        seconds.
        """
        there = await self.found()
        if there is None or there.enabled or not there.target:
            return False
        await self.enable()
        return True

    async def remove(self, *, force: bool = False) -> bool:
        """Takes it away and says whether there was one; `force` although networks use it."""
        there = await self._ours()
        if there is None:
            return False
        await self._discard(there, force)
        return True

    async def _ours(self) -> Found | None:
        there = await self.found()
        if there is not None and not there.target:
            raise KurierError(
                Code.CONFLICT,
                f"Plugin {self.name} of this engine is another one ({there.description!r}), which "
                "Kurier leaves alone: remove it, or set engine.swarm_plugin to another name.",
            )
        return there

    async def _discard(self, there: Found, force: bool) -> None:
        """An engine refuses to disable a plugin that networks use, and to remove one if enabled."""
        forced = {"force": "1"} if force else {}
        if there.enabled:
            path = f"/plugins/{self.name}/disable"
            self._free(await self._api.call("POST", path, forced, seconds=_PATIENCE))
        path = f"/plugins/{self.name}"
        self._free(await self._api.call("DELETE", path, forced, seconds=_PATIENCE))

    def _free(self, reply: Reply) -> None:
        if reply.status >= 400 and "in use" in reply.told:
            raise KurierError(
                Code.IN_USE,
                f"Docker networks of this host use plugin {self.name}, so the engine lets nobody "
                "replace or remove it: remove those networks, or repeat this with --force, which "
                "containers do not notice.",
            )
        self._expect(reply, 200)

    def _expect(self, reply: Reply, status: int) -> None:
        if reply.status != status:
            raise self._api.away(
                f"it answered {reply.status} to a request for plugin {self.name}: {reply.told}"
            )
