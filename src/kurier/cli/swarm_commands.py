# SPDX-License-Identifier: Apache-2.0
"""`kurier swarm …`: networks for a whole Swarm, made by one command on one manager."""

from __future__ import annotations

import time
from typing import Any

import click

from kurier.cli.ranges import match
from kurier.cli.view_commands import admin, ask, json_flag, print_table
from kurier.config import Loaded

COLUMNS = ("name", "neutron_id", "neutron_name", "ranges", "nodes_ready", "nodes")
_PATH = "/v1/swarm/networks"
_PATIENCE = 90.0  # seconds; Neutron makes a network and its subnets


@click.group("swarm")
def swarm_group() -> None:
    """Docker Swarm."""


@swarm_group.group("network")
def swarm_network_group() -> None:
    """Networks that every node of the Swarm has."""


@swarm_network_group.command("create")
@click.argument("name")
@click.option("--subnet", "subnets", multiple=True, help="Range of addresses, e.g. 10.0.0.0/24.")
@click.option("--gateway", "gateways", multiple=True, help="Gateway of a subnet.")
@click.option("--ip-range", "ranges", multiple=True, help="Part of a subnet for containers.")
@click.option("--aux-address", "auxiliary", multiple=True, help="NAME=ADDRESS to keep out.")
@click.option("--ipv6", is_flag=True, help="With an IPv6 range of a subnet pool, if none is given.")
@click.option("--internal", is_flag=True, help="No gateway.")
@click.option("--attachable", is_flag=True, help="Let `docker run` use it, not services alone.")
@click.option("-o", "--opt", "options", multiple=True, help="Driver option KEY=VALUE.")
@click.option("--ipam-opt", "ipam_options", multiple=True, help="IPAM driver option KEY=VALUE.")
@click.option(
    "--wait",
    type=click.FloatRange(0.0, 600.0),
    default=60.0,
    show_default=True,
    help="Seconds to wait until every ready node has it.",
)
@admin
@json_flag
def swarm_network_create(
    loaded: Loaded, name: str, wait: float, as_json: bool, **given: Any
) -> None:
    """Make network NAME for the whole Swarm; takes the options of `docker network create`.

    To be run on one manager. Every node's Kurier makes its part by itself, also on nodes that join
    later. Labels are none of the options: engines refuse them where the nodes' parts are made
    beforehand.
    """
    said = {
        "name": name,
        "ranges": match(given["subnets"], given["gateways"], given["ranges"], given["auxiliary"]),
        "ipv6": given["ipv6"],
        "internal": given["internal"],
        "attachable": given["attachable"],
        "options": _pairs("-o", given["options"]),
        "ipam_options": _pairs("--ipam-opt", given["ipam_options"]),
    }
    row = ask(loaded, "POST", _PATH, _PATIENCE, said)
    row = _awaited(loaded, row, wait)
    print_table([row], "networks", COLUMNS, as_json)
    if row["nodes_ready"] < (row["nodes"] or 0):
        click.echo(
            f"{row['nodes'] - row['nodes_ready']} of {row['nodes']} nodes have not made their part "
            "yet: is Kurier running there? See `kurier swarm network list`.",
            err=True,
        )


@swarm_network_group.command("list")
@admin
@json_flag
def swarm_network_list(loaded: Loaded, as_json: bool) -> None:
    """List the Swarm's networks, and how many nodes have made their part."""
    print_table(ask(loaded, "GET", _PATH), "networks", COLUMNS, as_json)


@swarm_network_group.command("rm")
@click.argument("name")
@admin
def swarm_network_rm(loaded: Loaded, name: str) -> None:
    """Remove network NAME everywhere; to be run on one manager.

    What Kurier made goes with the last node that uses it; a Neutron network that was there before
    stays.
    """
    ask(loaded, "POST", f"{_PATH}/remove", _PATIENCE, {"name": name})
    click.echo(name)


def _awaited(loaded: Loaded, row: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The network's row, once every ready node has its part, or after so long."""
    until = time.monotonic() + seconds
    while row["nodes_ready"] < (row["nodes"] or 0) and time.monotonic() < until:
        time.sleep(1.0)
        found = [one for one in ask(loaded, "GET", _PATH) if one["name"] == row["name"]]
        row = found[0] if found else row
    return row


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise click.UsageError(f"{option} {text} is not KEY=VALUE.")
    return dict(text.split("=", maxsplit=1) for text in texts)
