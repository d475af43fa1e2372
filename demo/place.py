# SPDX-License-Identifier: Apache-2.0
"""Where the story plays: on a host of the local cloud, or on this machine with a cloud of yours."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.api import ADMIN_CLOUD, IMAGE, Cloud, CloudError, Host

FOLDER = Path("/var/lib/kurier-demo")


@dataclass(frozen=True)
class Place:
    """A Docker host with a switch, and the cloud it belongs to."""

    host: Host | None
    """None with a cloud that is not the local one: there are no VM and no bare-metal host then."""
    ovsdb: str
    plugin_dir: Path
    """As this machine sees it."""
    image: str
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The daemon's configuration and state; kept if the story is cut off, for the next one."""
        return FOLDER / (self.host.name if self.host else "own")


def find(host_name: str) -> Place:
    """The place; starts the local cloud unless `OS_CLOUD` or `OS_AUTH_URL` name another one."""
    cloud_name = os.environ.get("OS_CLOUD", "")
    if os.environ.get("OS_AUTH_URL") or cloud_name not in ("", ADMIN_CLOUD):
        return _own()
    cloud = Cloud.load()
    if not all(row.healthy for row in cloud.status()):
        cloud.up()
    host = cloud.host(host_name)
    env = {**os.environ, **host.env, "DOCKER_HOST": host.docker_host}
    return Place(host, host.ovsdb, host.plugin_dir, IMAGE, _with_tools(env, host.name))


def _own() -> Place:
    if os.geteuid() != 0:
        raise CloudError("The story needs root: it plugs ports into Open vSwitch.")
    ovsdb = os.environ.get("KURIER_DATAPATH_OVSDB", "unix:/run/openvswitch/db.sock")
    plugins = Path("/run/docker/plugins")
    return Place(None, ovsdb, plugins, "busybox", _with_tools(dict(os.environ), "own"))


def _with_tools(env: dict[str, str], folder: str) -> Mapping[str, str]:
    """The project's own `openstack` and `kurier` first, whatever else the machine has."""
    tools = Path(sys.executable).parent
    return {
        **env,
        "PATH": f"{tools}:{env.get('PATH', '')}",
        "KURIER_CONFIG": str(FOLDER / folder / "kurier.toml"),
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": "100",
        "CLIFF_FIT_WIDTH": "1",
    }
