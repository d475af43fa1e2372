# SPDX-License-Identifier: Apache-2.0
"""`kurier host …`: the hosts of this cloud, and the end of one that died for good."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from kurier.cli.tables import cell
from kurier.cli.view_commands import admin, ask, json_flag, print_table
from kurier.config import Loaded

HOST_COLUMNS = ("host", "mark", "here", "leased", "ready", "networks", "alive")
_LIST_PATIENCE = 120.0  # seconds; every network, subnet and port of the cloud is listed
_FORGET_PATIENCE = 900.0  # seconds; Neutron deletes some five ports a second
_KINDS = ("ports", "given_back", "networks", "unclaimed", "tags")
_LIVES = {
    "yes": "Neutron's agents there are alive",
    "no": "Neutron's agents there are dead",
    "unknown": "whether it is alive is not known, since these credentials may not see agents",
}


@click.group("host")
def host_group() -> None:
    """The hosts that use this cloud's networks."""


@host_group.command("list")
@admin
@json_flag
def host_list(loaded: Loaded, as_json: bool) -> None:
    """List the hosts that have ports of Kurier's or a part in its networks."""
    rows = ask(loaded, "GET", "/v1/hosts", _LIST_PATIENCE)
    print_table(rows, "hosts", HOST_COLUMNS, as_json)


@host_group.command("forget")
@click.argument("host")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Although Neutron's agents there are alive.")
@admin
@json_flag
def host_forget(loaded: Loaded, host: str, yes: bool, force: bool, as_json: bool) -> None:
    """Take away what HOST, which died for good, has left in Neutron.

    Its ports are deleted, networks that it shared are left to the others, and its own ones end. To
    be run on another host; shows what goes, and asks.
    """
    said = {"host": host, "force": force}
    found = ask(loaded, "POST", "/v1/hosts/look", _LIST_PATIENCE, said)
    for line in _told(found):
        click.echo(line, err=as_json)
    if not any(found[kind] for kind in _KINDS):
        click.echo("There is nothing to take away: see `kurier host list`.", err=as_json)
    else:
        if not yes:
            click.confirm("Take all this away?", abort=True, err=as_json)
        known = found["notes"]
        found = ask(loaded, "POST", "/v1/hosts/forget", _FORGET_PATIENCE, said)
        for note in found["notes"]:
            if note not in known:
                click.echo(note, err=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    """What goes, a line for each thing."""
    yield f"Host {found['host']}: {_LIVES[found['alive']]}."
    for port in found["ports"]:
        yield f"  port {_port(port)} is deleted"
    for port in found["given_back"]:
        yield f"  port {_port(port)} goes back to its owner"
    for network in found["networks"]:
        others = network["others"]
        end = f"stays with {others} more that share it" if others else "ends"
        yield (
            f"  Docker network {network['docker_id']} on {network['neutron_name']} "
            f"({network['neutron_id']}) {end}"
        )
    for name in found["unclaimed"]:
        yield f"  network {name}, which was not in use yet, is deleted"
    if found["tags"]:
        yield f"  tags taken off besides: {found['tags']}"
    for note in found["notes"]:
        yield f"  {note}"


def _port(port: Mapping[str, Any]) -> str:
    return f"{port['port']} ({cell(port['name'])}, {cell(port['addresses'])})"
