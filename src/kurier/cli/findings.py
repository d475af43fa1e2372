# SPDX-License-Identifier: Apache-2.0
"""What `kurier doctor` looks at, and what it advises.

The cloud and the switch are asked by the daemon alone, which tells in its status how it fared:
`cloud` and `switch`, each with `state` (ok, away or unknown) and `error`.
"""

from __future__ import annotations

import http.client
import json
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kurier.cli.unix_http import Unanswered, ask_daemon, request
from kurier.config import Settings

_PATIENCE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `ok` is None where it could not be told."""

    what: str
    ok: bool | None
    says: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Everything on this host, in the order in which one thing needs the other."""
    status, daemon = _daemon(settings)
    return [
        _switch_database(settings),
        _bridge(settings),
        _engine(settings),
        daemon,
        plugin_socket(Path(settings.daemon.plugin_dir) / f"{settings.daemon.driver_name}.sock"),
        _part("cloud", status, "Check the credentials, auth_url, and that Neutron is up."),
        _part("switch", status, "Check datapath.ovsdb and that ovs-vswitchd runs."),
        *_host_name(status),
        *_troubles(status),
    ]


def _daemon(settings: Settings) -> tuple[Mapping[str, Any], Finding]:
    path = settings.daemon.admin_socket
    try:
        status = ask_daemon(path, "GET", "/v1/status", _PATIENCE)
    except Unanswered as error:
        return {}, Finding("daemon", False, str(error), "See `journalctl -u kurier`.")
    if not isinstance(status, Mapping):
        return {}, Finding("daemon", False, f"{path} answers, but not with a status.")
    return status, Finding("daemon", True, f"It answers on {path}.")


def _switch_database(settings: Settings) -> Finding:
    remote = settings.datapath.ovsdb
    method, _, path = remote.partition(":")
    if method != "unix":
        return Finding("OVSDB", None, f"{remote} is not a local socket: see the daemon's word.")
    advice = "Start Open vSwitch, or set datapath.ovsdb to where its database listens."
    if wrong := _unconnectable(Path(path)):
        return Finding("OVSDB", False, wrong, advice)
    return Finding("OVSDB", True, f"{path} accepts connections.")


def _bridge(settings: Settings) -> Finding:
    name = settings.datapath.integration_bridge
    if Path("/sys/class/net", name).exists():
        return Finding("bridge", True, f"{name} is there.")
    return Finding(
        "bridge",
        False,
        f"There is no {name} in this network namespace.",
        "Start ovn-controller or the OVS agent, which make it, or set datapath.integration_bridge.",
    )


def _engine(settings: Settings) -> Finding:
    host = settings.engine.docker_host
    if not host.startswith("unix://"):
        return Finding("engine", None, f"{host} is not a local socket: see the daemon's word.")
    path = host.removeprefix("unix://")
    if wrong := _unconnectable(Path(path)):
        return Finding("engine", False, wrong, "Start Docker, or set engine.docker_host.")
    try:
        answer = request(path, "GET", "/_ping", timeout=_PATIENCE)
    except (OSError, http.client.HTTPException) as error:
        return Finding("engine", False, f"Docker on {path} does not answer: {error}.")
    version = answer.headers.get("Api-Version", "unknown")
    return Finding("engine", True, f"Docker answers on {path}, API version {version}.")


def plugin_socket(path: Path) -> Finding:
    """Whether a driver for Docker answers on the socket `path`."""
    advice = "Start Kurier; if it runs, compare daemon.plugin_dir with what it was started with."
    if wrong := _unconnectable(path):
        return Finding("plugin socket", False, wrong, advice)
    try:
        answer = request(str(path), "POST", "/Plugin.Activate", b"{}", _PATIENCE)
        drivers = json.loads(answer.body)["Implements"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        return Finding("plugin socket", False, f"{path} is no plugin's: {error}.", advice)
    return Finding("plugin socket", True, f"{path} serves {' and '.join(drivers)}.")


def _part(name: str, status: Mapping[str, Any], advice: str) -> Finding:
    part = status.get(name)
    state = part.get("state") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or state not in ("ok", "away"):
        return Finding(name, None, "Only the daemon can tell, and it has not yet.")
    if state == "ok":
        where = part.get("url") or part.get("bridge")
        return Finding(name, True, f"It answers{f', {where}' if where else ''}.")
    return Finding(name, False, str(part.get("error") or "It does not answer."), advice)


def _host_name(status: Mapping[str, Any]) -> Iterator[Finding]:
    switch = status.get("switch")
    theirs = switch.get("hostname") if isinstance(switch, Mapping) else None
    ours = status.get("host")
    if not theirs or not ours:
        return
    if theirs == ours:
        yield Finding("host name", True, f"Ports are bound to {ours}, as the switch is called.")
        return
    yield Finding(
        "host name",
        False,
        f"Ports are bound to {ours}, but the switch calls this host {theirs}: Neutron would "
        "answer binding_failed.",
        f"Set daemon.host to {theirs}, or Open vSwitch's external_ids:hostname to {ours}.",
    )


def _troubles(status: Mapping[str, Any]) -> Iterator[Finding]:
    """What the daemon's last pass found that only people can mend."""
    for trouble in status.get("troubles") or ():
        if isinstance(trouble, Mapping):
            yield Finding(str(trouble.get("whom")), False, str(trouble.get("says")))


def _unconnectable(path: Path) -> str | None:
    """Why nobody can connect to a unix socket, as a sentence; None if one can."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return f"{path} is not a socket."
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PATIENCE)
            probe.connect(str(path))
    except FileNotFoundError:
        return f"There is no socket {path}."
    except ConnectionRefusedError:
        return f"Nobody listens on {path}."
    except OSError as error:
        return f"{path} cannot be connected to: {error.strerror or error}."
    return None
