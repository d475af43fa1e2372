# SPDX-License-Identifier: Apache-2.0
"""The commands that show what the daemon says of itself, and the one that wakes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from kurier.cli.sources import configured
from kurier.cli.tables import as_outline, as_table, rows_of
from kurier.cli.unix_http import Unanswered, ask_daemon
from kurier.config import Loaded

NETWORK_COLUMNS = (
    "docker_id",
    "neutron_id",
    "name",
    "made_by",
    "subnets",
    "environment",
    "state",
    "note",
)
ATTACHMENT_COLUMNS = (
    "neutron_id",
    "neutron_name",
    "made_by",
    "environment",
    "here",
    "docker_id",
    "name",
    "hosts",
)
PORT_COLUMNS = (
    "port_id",
    "endpoint",
    "network",
    "addresses",
    "mac",
    "device",
    "state",
    "container",
)
_LIST_PATIENCE = 60.0  # seconds; every network of the cloud is listed
_FORGET_PATIENCE = 15.0  # seconds
_RECONCILE_PATIENCE = 120.0  # seconds; it lists everything there is

json_flag = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
admin = configured("daemon.admin_socket")


@click.command()
@admin
@json_flag
def status(loaded: Loaded, as_json: bool) -> None:
    """How the daemon fares."""
    print_outline(ask(loaded, "GET", "/v1/status"), as_json)


@click.group("network")
def network_group() -> None:
    """Docker's networks and their Neutron networks."""


@network_group.command("list")
@click.option(
    "--environment",
    "scope",
    flag_value="environment",
    help="Every network of this environment, whichever host uses it, as Neutron's tags tell.",
)
@click.option(
    "--all", "scope", flag_value="everywhere", help="The networks of every environment likewise."
)
@admin
@json_flag
def network_list(loaded: Loaded, scope: str | None, as_json: bool) -> None:
    """List this host's, from its ledger, or Neutron's."""
    if scope is None:
        print_table(ask(loaded, "GET", "/v1/networks"), "networks", NETWORK_COLUMNS, as_json)
    else:
        rows = ask(loaded, "GET", f"/v1/networks/{scope}", _LIST_PATIENCE)
        print_table(rows, "networks", ATTACHMENT_COLUMNS, as_json)


@network_group.command("forget")
@click.argument("name")
@admin
@json_flag
def network_forget(loaded: Loaded, name: str, as_json: bool) -> None:
    """Take away NAME, a network that Docker does not know any more (id, its beginning, or name)."""
    said = {"name": name}
    print_outline(ask(loaded, "POST", "/v1/networks/forget", _FORGET_PATIENCE, said), as_json)


@click.group("port")
def port_group() -> None:
    """This host's Neutron ports."""


@port_group.command("list")
@admin
@json_flag
def port_list(loaded: Loaded, as_json: bool) -> None:
    """List them."""
    print_table(ask(loaded, "GET", "/v1/ports"), "ports", PORT_COLUMNS, as_json)


@click.command()
@admin
@json_flag
def reconcile(loaded: Loaded, as_json: bool) -> None:
    """Compare ledger, Neutron, switch and engine now, and say what was done."""
    print_outline(ask(loaded, "POST", "/v1/reconcile", _RECONCILE_PATIENCE), as_json)


def ask(
    loaded: Loaded,
    method: str,
    target: str,
    timeout: float = 15.0,
    said: Mapping[str, object] | None = None,
) -> Any:
    """What the daemon answers. A configuration with problems elsewhere must not hide a daemon
    that runs.
    """
    try:
        return ask_daemon(loaded.settings.daemon.admin_socket, method, target, timeout, said)
    except Unanswered as error:
        raise click.ClickException(str(error)) from error


def print_table(payload: Any, name: str, columns: tuple[str, ...], as_json: bool) -> None:
    """Rows as a table for people or as JSON for programs."""
    rows = rows_of(payload, name)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        click.echo(as_table(rows, columns))
    else:
        click.echo(f"There are no {name}.")


def print_outline(payload: Any, as_json: bool) -> None:
    """A mapping as an outline for people or as JSON for programs."""
    if as_json:
        click.echo(json.dumps(payload, indent=2))
    elif isinstance(payload, Mapping):
        click.echo(as_outline(payload))
    else:
        click.echo(as_outline({"answer": payload}))
