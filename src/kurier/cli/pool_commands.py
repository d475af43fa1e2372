# SPDX-License-Identifier: Apache-2.0
"""`kurier pool …`: the ports that wait for containers."""

from __future__ import annotations

import time

import click

from kurier.cli.view_commands import admin, ask, json_flag, print_outline, print_table
from kurier.config import Loaded

POOL_COLUMNS = (
    "network",
    "name",
    "minimum",
    "maximum",
    "target",
    "ready",
    "coming",
    "cooling",
    "drained",
    "note",
)
READY_COLUMNS = ("host", "neutron_network", "ports")
_DRAIN_PATIENCE = 120.0  # seconds; Neutron deletes some five ports a second


@click.group("pool")
def pool_group() -> None:
    """Ready ports: made, bound and plugged before a container asks."""


@pool_group.command("list")
@click.option("--all-hosts", is_flag=True, help="Ready ports of every host, as Neutron tells them.")
@admin
@json_flag
def pool_list(loaded: Loaded, all_hosts: bool, as_json: bool) -> None:
    """List the pools of this host."""
    if all_hosts:
        rows = ask(loaded, "GET", "/v1/pools/everywhere")
        print_table(rows, "ready ports", READY_COLUMNS, as_json)
    else:
        print_table(ask(loaded, "GET", "/v1/pools"), "pools", POOL_COLUMNS, as_json)


@pool_group.command("drain")
@click.argument("networks", nargs=-1)
@admin
@json_flag
def pool_drain(loaded: Loaded, networks: tuple[str, ...], as_json: bool) -> None:
    """Delete the waiting ports of this host, or of some Docker NETWORKS, and make no new ones.

    Containers keep their ports. `kurier pool resume` ends it.
    """
    rows = ask(loaded, "POST", "/v1/pools/drain", said={"networks": networks})
    until = time.monotonic() + _DRAIN_PATIENCE
    while any(_left(row) for row in rows if row["drained"]) and time.monotonic() < until:
        time.sleep(0.5)
        rows = ask(loaded, "GET", "/v1/pools")
    print_table(rows, "pools", POOL_COLUMNS, as_json)


@pool_group.command("resume")
@admin
@json_flag
def pool_resume(loaded: Loaded, as_json: bool) -> None:
    """End every drain of this host."""
    print_table(ask(loaded, "POST", "/v1/pools/resume"), "pools", POOL_COLUMNS, as_json)


@pool_group.command("networks")
@click.option("--count", type=click.IntRange(0, 256), help="Have so many wait from now on.")
@admin
@json_flag
def pool_networks(loaded: Loaded, count: int | None, as_json: bool) -> None:
    """Show the networks that wait for `docker network create` without --subnet."""
    if count is None:
        answer = ask(loaded, "GET", "/v1/pools/networks")
    else:
        answer = ask(loaded, "POST", "/v1/pools/networks", said={"count": count})
    print_outline(answer, as_json)


@pool_group.command("free")
@click.argument("resource")
@admin
@json_flag
def pool_free(loaded: Loaded, resource: str, as_json: bool) -> None:
    """Delete the waiting ports that hold a security group, QoS policy or subnet RESOURCE.

    RESOURCE is an id or a name. The pools stay drained until `kurier pool resume`.
    """
    print_outline(ask(loaded, "POST", "/v1/pools/free", said={"resource": resource}), as_json)


def _left(row: dict[str, int]) -> int:
    return row["ready"] + row["coming"] + row["cooling"]
