# SPDX-License-Identifier: Apache-2.0
"""`kurier-cloud`: the local cloud's command."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from . import lifecycle
from .api import Cloud
from .errors import CloudError
from .progress import Reporter
from .settings import DEFAULT_STATE, STATE_VARIABLE, Settings, default_prefix, load, state_folder


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 on success, 1 on an error (told in a sentence), 3: not all is running."""
    parsed = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except CloudError as error:
        print(f"kurier-cloud: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("kurier-cloud: interrupted; `kurier-cloud up` goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kurier-cloud",
        description=(
            "A private cloud on this machine: MariaDB, Keystone, Neutron (ML2/OVN), Open vSwitch "
            "and Docker."
        ),
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=state_folder(),
        help=(f"state folder (default {DEFAULT_STATE}, or ${STATE_VARIABLE})"),
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_up(commands.add_parser("up", help="start everything that does not run"))
    commands.add_parser("down", help="stop everything, keep the state").set_defaults(run=_down)
    status = commands.add_parser("status", help="what runs; exit code 3 if something does not")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(run=_status)
    reset = commands.add_parser("reset", help="stop everything, wipe the state")
    reset.add_argument(
        "--keep-downloads",
        action="store_true",
        help="keep the stack's Python environment and unpacked packages",
    )
    reset.set_defaults(run=_reset)
    execute = commands.add_parser("exec", help="run a command inside a host")
    execute.add_argument("host", help="host1, host2 …")
    execute.add_argument("command", nargs=argparse.REMAINDER, help="-- COMMAND…")
    execute.set_defaults(run=_exec)
    env = commands.add_parser("env", help="print exports for a shell")
    env.add_argument("host", nargs="?", default="host1")
    env.set_defaults(run=_env)
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    base = Settings(DEFAULT_STATE)
    parser.add_argument("--hosts", type=int, help="number of hosts (default: as before, or 1)")
    for name in ("keystone_port", "neutron_port", "southbound_port"):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            help=f"TCP port (default {getattr(base, name)})",
        )
    for name in ("management", "underlay"):
        parser.add_argument(
            f"--{name}",
            type=IPv4Network,
            metavar="CIDR",
            help=f"{name} network of the hosts (default {getattr(base, name)})",
        )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=_up)


def _up(parsed: argparse.Namespace) -> int:
    settings = load(parsed.state) or Settings(parsed.state, prefix=default_prefix(parsed.state))
    changes = {
        name: getattr(parsed, name)
        for name in (
            "hosts",
            "keystone_port",
            "neutron_port",
            "southbound_port",
            "management",
            "underlay",
        )
        if getattr(parsed, name) is not None
    }
    cloud = Cloud(replace(settings, **changes), Reporter(None if parsed.quiet else sys.stderr))
    cloud.up()
    if not parsed.quiet:
        print("The cloud is up. Try: openstack --os-cloud kurier-local network list")
    return 0


def _down(parsed: argparse.Namespace) -> int:
    if not lifecycle.exists(parsed.state):
        print(f"There is no cloud below {parsed.state}.")
        return 0
    lifecycle.down(Cloud.load(parsed.state).layout, Reporter())
    return 0


def _reset(parsed: argparse.Namespace) -> int:
    if not lifecycle.exists(parsed.state):
        print(f"There is no cloud below {parsed.state}.")
        return 0
    lifecycle.reset(Cloud.load(parsed.state).layout, Reporter(), parsed.keep_downloads)
    return 0


def _status(parsed: argparse.Namespace) -> int:
    rows = Cloud.load(parsed.state).status()
    if parsed.json:
        print(json.dumps([row.__dict__ for row in rows], indent=2))
    else:
        for row in rows:
            print(f"{row.name:<24} {row.state:<18} {row.detail}")
    return 0 if all(row.healthy for row in rows) else 3


def _exec(parsed: argparse.Namespace) -> int:
    host = Cloud.load(parsed.state).host(parsed.host)
    command = parsed.command[1:] if parsed.command[:1] == ["--"] else parsed.command
    words = [*host.enter, *(command or ["sh"])]
    os.environ.update(host.env)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        raise CloudError(f"{words[0]} cannot be run: {error.strerror}.") from error


def _env(parsed: argparse.Namespace) -> int:
    for name, value in Cloud.load(parsed.state).host(parsed.host).env.items():
        print(f"export {name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
