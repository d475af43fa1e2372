# SPDX-License-Identifier: Apache-2.0
"""`kurier plugin …`: the managed plugin, through which Swarm reaches this host's Kurier."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from kurier.cli.findings import plugin_socket
from kurier.cli.sources import configured
from kurier.cli.view_commands import json_flag, print_outline
from kurier.config import Loaded
from kurier.docker.plugin_image import PluginImage, is_static
from kurier.model.errors import KurierError
from kurier.model.swarm import managed_plugin

if TYPE_CHECKING:
    from kurier.docker.managed_plugin import ManagedPlugin

_Result = TypeVar("_Result")
_BUSYBOXES = (Path("/bin/busybox"), Path("/usr/bin/busybox"))

_engine = configured("engine.docker_host", "daemon.plugin_dir", "daemon.driver_name")
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
    target = socket or _own_socket(loaded)
    image = PluginImage(str(target), _busybox(busybox))
    _warn_of_silence(target)
    outcome = _with_plugin(loaded, lambda plugin: plugin.install(image, force=force))
    click.echo(f"Plugin {_named(loaded)} links to {target}: {outcome}.")


@plugin_group.command("status")
@json_flag
@_engine
def status(loaded: Loaded, as_json: bool) -> None:
    """Show what the plugin links to, whether it is enabled, and whether Kurier answers there."""
    there = _with_plugin(loaded, lambda plugin: plugin.found())
    print_outline(
        {
            "name": _named(loaded),
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
    was_there = _with_plugin(loaded, lambda plugin: plugin.remove(force=force))
    click.echo(f"Plugin {_named(loaded)}: {'removed' if was_there else 'there is none'}.")


def _with_plugin(loaded: Loaded, act: Callable[[ManagedPlugin], Awaitable[_Result]]) -> _Result:
    from kurier.docker.engine_api import EngineApi  # heavy, and of no use to other commands
    from kurier.docker.managed_plugin import ManagedPlugin

    async def connected() -> _Result:
        api = EngineApi(loaded.settings.engine.docker_host)
        try:
            return await act(ManagedPlugin(api, _named(loaded)))
        finally:
            await api.close()

    try:
        return asyncio.run(connected())
    except KurierError as error:
        raise click.ClickException(error.sentence) from error


def _own_socket(loaded: Loaded) -> Path:
    daemon = loaded.settings.daemon
    return Path(daemon.plugin_dir) / f"{daemon.driver_name}.sock"


def _named(loaded: Loaded) -> str:
    return managed_plugin(loaded.settings.daemon.driver_name)


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
