# SPDX-License-Identifier: Apache-2.0
"""What is asked of an engine for the managed plugin, and what is made of its refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from kurier.docker.engine_api import EngineApi
from kurier.docker.managed_plugin import ManagedPlugin, Outcome
from kurier.docker.plugin_image import PluginImage
from kurier.model.errors import Code, KurierError

IMAGE = PluginImage("/run/docker/plugins/kuryr.sock", b"a busybox")
NAME = "kuryr:swarm"
Answer = tuple[int, object]


class PluginStore:
    """An engine that has at most one plugin, and refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.plugin: dict[str, object] | None = None
        self.refusals: dict[str, Answer] = {}
        self.asked: list[str] = []

    def holds(self, description: str, *, enabled: bool) -> None:
        config = {"Description": description, "Entrypoint": ["sh", IMAGE.target]}
        self.plugin = {"Id": "p1", "Enabled": enabled, "Config": config}

    async def serve(self, request: web.Request) -> web.Response:
        if request.path == "/_ping":
            return web.Response(text="OK", headers={"Api-Version": "1.41"})
        asked = f"{request.method} {request.path.removeprefix('/v1.41')}"
        if request.method != "GET":
            self.asked.append(asked + ("?force" if "force" in request.query else ""))
            status, body = self.refusals.get(asked, (204 if "create" in asked else 200, None))
            return web.json_response(body, status=status)
        if self.plugin is None:
            return web.json_response({"message": "no such plugin"}, status=404)
        return web.json_response(self.plugin)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[PluginStore]:
    store, app = PluginStore(), web.Application()
    app.router.add_route("*", "/{path:.*}", store.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "docker.sock")).start()
    yield store
    await runner.cleanup()


@pytest.fixture
async def plugin(store: PluginStore, tmp_path: Path) -> AsyncIterator[ManagedPlugin]:
    api = EngineApi(f"unix://{tmp_path}/docker.sock")
    yield ManagedPlugin(api, NAME)
    await api.close()


CREATE, ENABLE = "POST /plugins/create", f"POST /plugins/{NAME}/enable"
DISABLE, DELETE = f"POST /plugins/{NAME}/disable", f"DELETE /plugins/{NAME}"


@pytest.mark.parametrize(
    ("description", "enabled", "outcome", "asked"),
    [
        (None, False, Outcome.INSTALLED, [CREATE, ENABLE]),
        (IMAGE.description, True, Outcome.UNCHANGED, []),
        (IMAGE.description, False, Outcome.ENABLED, [ENABLE]),
        (
            PluginImage("/other.sock", b"").description,
            True,
            Outcome.REPLACED,
            [DISABLE, DELETE, CREATE, ENABLE],
        ),
        (
            PluginImage("/other.sock", b"").description,
            False,
            Outcome.REPLACED,
            [DELETE, CREATE, ENABLE],
        ),
    ],
)
async def test_an_installation_does_what_is_missing(
    store: PluginStore,
    plugin: ManagedPlugin,
    description: str | None,
    enabled: bool,
    outcome: Outcome,
    asked: list[str],
) -> None:
    if description:
        store.holds(description, enabled=enabled)
    assert await plugin.install(IMAGE) is outcome
    assert store.asked == asked


async def test_a_forced_replacement_says_so_to_the_engine(
    store: PluginStore, plugin: ManagedPlugin
) -> None:
    store.holds(PluginImage("/other.sock", b"").description, enabled=True)
    await plugin.install(IMAGE, force=True)
    assert store.asked[:2] == [f"{DISABLE}?force", f"{DELETE}?force"]


@pytest.mark.parametrize(
    ("asked", "answer", "code", "said"),
    [
        (ENABLE, (500, {"message": "dial unix /x: no such file"}), Code.NOT_FOUND, "start Kurier"),
        (DISABLE, (409, {"message": "plugin kuryr:swarm is in use"}), Code.IN_USE, "--force"),
        (CREATE, (500, {"message": "disk full"}), Code.INTERNAL, "disk full"),
    ],
)
async def test_a_refusal_is_a_sentence(
    store: PluginStore, plugin: ManagedPlugin, asked: str, answer: Answer, code: Code, said: str
) -> None:
    store.holds(PluginImage("/other.sock", b"").description, enabled=True)
    store.refusals[asked] = answer
    with pytest.raises(KurierError) as error:
        await plugin.install(IMAGE)
    assert error.value.code is code
    assert said in error.value.sentence


async def test_what_is_none_of_ours_is_not_touched(
    store: PluginStore, plugin: ManagedPlugin
) -> None:
    store.holds("somebody's volume driver", enabled=False)
    for act in (plugin.install(IMAGE), plugin.remove()):
        with pytest.raises(KurierError, match="is another one"):
            await act
    assert not await plugin.revive()
    assert store.asked == []


@pytest.mark.parametrize("enabled", [True, False])
async def test_only_what_is_disabled_is_revived(
    store: PluginStore, plugin: ManagedPlugin, enabled: bool
) -> None:
    assert not await plugin.revive()
    store.holds(IMAGE.description, enabled=enabled)
    assert await plugin.revive() is not enabled
    assert store.asked == ([] if enabled else [ENABLE])


async def test_an_answer_that_cannot_be_read(store: PluginStore, plugin: ManagedPlugin) -> None:
    store.plugin = {"Id": 1}
    with pytest.raises(KurierError) as error:
        await plugin.found()
    assert error.value.code is Code.INTERNAL
