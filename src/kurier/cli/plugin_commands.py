# SPDX-License-Identifier: Apache-2.0
"""`kurier plugin …`: the managed plugin, through which Swarm reaches this host's Kurier."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from kurier.cli.findings import plugin_socket
from kurier.cli.sources import configured, require
from kurier.cli.view_commands import json_flag, print_outline
from kurier.config import Loaded, Settings
from kurier.docker.plugin_image import PluginImage, is_static
from kurier.model.errors import KurierError

if TYPE_CHECKING:
    from kurier.docker.managed_plugin import ManagedPlugin

_Result = TypeVar("_Result")
_BUSYBOXES = (Path("/bin/busybox"), Path("/usr/bin/busybox"))

_engine = configured(
    "engine.docker_host", "engine.swarm_plugin", "daemon.plugin_dir", "daemon.driver_name"
)
_force = click.option("--force", is_flag=True, help="Although Docker networks use the plugin.")


@click.group("plugin")
def plugin_group() -> None:
    """The managed plugin that Swarm asks for: a link to this host's Kurier."""


@plugin_group.command("install")
@click.option("--socket", type=click.Path(path_type=Path), help="The socket to link to.")
@click.option(
    "--busybox", type=click.Path(path_type=Path), help="A statically linked busybox, to make it of."
)
@_force
@_engine
def install(loaded: Loaded, socket: Path | None, busybox: Path | None, force: bool) -> None:
    """Make the plugin in this host's engine and enable it; repeating it changes nothing.

    A plugin that links elsewhere, or is of another make, is replaced.
    """
    settings = require(loaded)
    target = socket or Path(settings.daemon.plugin_dir) / f"{settings.daemon.driver_name}.sock"
    image = PluginImage(str(target), _busybox(busybox))
    _warn_of_silence(target)
    outcome = _with_plugin(settings, lambda plugin: plugin.install(image, force=force))
    click.echo(f"Plugin {settings.engine.swarm_plugin} links to {target}: {outcome}.")


@plugin_group.command("status")
@json_flag
@_engine
def status(loaded: Loaded, as_json: bool) -> None:
    """Show what the plugin links to, whether it is enabled, and whether Kurier answers there."""
    settings = require(loaded)
    there = _with_plugin(settings, lambda plugin: plugin.found())
    print_outline(
        {
            "name": settings.engine.swarm_plugin,
            "state": "absent" if there is None else "enabled" if there.enabled else "disabled",
            "links_to": (there and there.target) or None,
            "says": plugin_socket(Path(there.target)).says if there and there.target else None,
        },
        as_json,
    )


@plugin_group.command("remove")
@_force
@_engine
def remove(loaded: Loaded, force: bool) -> None:
    """Take the plugin away; where there is none, nothing is done."""
    settings = require(loaded)
    was_there = _with_plugin(settings, lambda plugin: plugin.remove(force=force))
    done = "removed" if was_there else "there is none"
    click.echo(f"Plugin {settings.engine.swarm_plugin}: {done}.")


def _with_plugin(settings: Settings, act: Callable[[ManagedPlugin], Awaitable[_Result]]) -> _Result:
    from kurier.docker.engine_api import EngineApi  # heavy, and of no use to other commands
    from kurier.docker.managed_plugin import ManagedPlugin

    async def connected() -> _Result:
        api = EngineApi(settings.engine.docker_host)
        try:
            return await act(ManagedPlugin(api, settings.engine.swarm_plugin))
        finally:
            await api.close()

    try:
        return asyncio.run(connected())
    except KurierError as error:
        raise click.ClickException(error.sentence) from error


def _busybox(given: Path | None) -> bytes:
    """A static busybox, whole."""
    for path in (given,) if given else _BUSYBOXES:
        try:
            program = path.read_bytes()
        except OSError as error:
            if given:
                raise click.ClickException(
                    f"{path} cannot be read: {error.strerror or error}."
                ) from error
            continue
        if is_static(program):
            return program
    raise click.ClickException(
        f"{given} is not a statically linked program: give the busybox of Debian's busybox-static."
        if given
        else "The plugin is made of a statically linked busybox, and this host has none in /bin: "
        "install Debian's busybox-static, or give --busybox PATH."
    )


def _warn_of_silence(target: Path) -> None:
    found = plugin_socket(target)
    if not found.ok:
        click.echo(
            f"Warning: {found.says} Docker enables the plugin only if Kurier runs.", err=True
        )
