# SPDX-License-Identifier: Apache-2.0
"""The `kurier` command's entry."""

from __future__ import annotations

import click

from kurier import __version__
from kurier.cli.config_commands import config_group
from kurier.cli.doctor_command import doctor
from kurier.cli.host_commands import host_group
from kurier.cli.plugin_commands import plugin_group
from kurier.cli.pool_commands import pool_group
from kurier.cli.serve_command import serve
from kurier.cli.swarm_commands import swarm_group
from kurier.cli.view_commands import network_group, port_group, reconcile, status


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kurier", message="%(prog)s %(version)s")
def main() -> None:
    """Docker networks on OpenStack Neutron."""


for command in (
    serve,
    config_group,
    status,
    network_group,
    port_group,
    pool_group,
    host_group,
    swarm_group,
    plugin_group,
    reconcile,
    doctor,
):
    main.add_command(command)
