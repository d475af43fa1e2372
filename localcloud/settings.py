# SPDX-License-Identifier: Apache-2.0
"""What a local cloud is made with: its state folder, ports, addresses and number of hosts."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from .errors import CloudError

DEFAULT_STATE = Path("/var/lib/kurier-cloud")
STATE_VARIABLE = "KURIER_CLOUD_STATE"
MAX_HOSTS = 9


def state_folder() -> Path:
    """The state folder: `KURIER_CLOUD_STATE`, or `/var/lib/kurier-cloud`."""
    return Path(os.environ.get(STATE_VARIABLE) or DEFAULT_STATE).absolute()


def default_prefix(state: Path) -> str:
    """A short name that keeps the devices of two clouds on one machine apart."""
    if state == DEFAULT_STATE:
        return "kc"
    return "k" + hashlib.sha256(str(state).encode()).hexdigest()[:3]


@dataclass(frozen=True)
class Settings:
    """Settings of one cloud, kept in `STATE/cloud.json`.

    `management` carries the APIs and the OVN databases, `underlay` the Geneve tunnels; the first
    address of each is the machine's own. Ports are TCP ports on the machine.
    """

    state: Path
    hosts: int = 1
    prefix: str = "kc"
    management: IPv4Network = field(default=IPv4Network("10.99.1.0/24"))
    underlay: IPv4Network = field(default=IPv4Network("10.99.0.0/24"))
    keystone_port: int = 15000
    neutron_port: int = 19696
    southbound_port: int = 16642

    @property
    def api_address(self) -> IPv4Address:
        """Where Keystone, Neutron and the southbound database listen, reachable from each host."""
        return self.management[1]

    @property
    def keystone_url(self) -> str:
        return f"http://{self.api_address}:{self.keystone_port}/v3"

    @property
    def neutron_url(self) -> str:
        return f"http://{self.api_address}:{self.neutron_port}"

    def write(self) -> None:
        """Remember these settings below the state folder."""
        values = {
            key: value if isinstance(value, int) else str(value)
            for key, value in asdict(self).items()
        }
        self.state.mkdir(parents=True, exist_ok=True)
        settings_file(self.state).write_text(json.dumps(values, indent=2) + "\n")


def settings_file(state: Path) -> Path:
    """Where the settings of the cloud below `state` are kept."""
    return state / "cloud.json"


def load(state: Path) -> Settings | None:
    """The settings the cloud below `state` was made with, or None where there is no cloud.

    Raises `CloudError` if the file is damaged.
    """
    path = settings_file(state)
    try:
        values = json.loads(path.read_text())
        return Settings(
            state=state,
            hosts=int(values["hosts"]),
            prefix=str(values["prefix"]),
            management=IPv4Network(values["management"]),
            underlay=IPv4Network(values["underlay"]),
            keystone_port=int(values["keystone_port"]),
            neutron_port=int(values["neutron_port"]),
            southbound_port=int(values["southbound_port"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        raise CloudError(
            f"{path} cannot be read ({error}); `kurier-cloud reset` starts afresh."
        ) from error


def merge(stored: Settings | None, asked: Settings) -> Settings:
    """The settings to go on with: only the number of hosts may change in a cloud's life.

    Raises `CloudError` if `asked` differs from what the cloud was made with in anything else,
    since addresses and ports are written into its databases.
    """
    if stored is None:
        return asked
    if replace(stored, hosts=asked.hosts) != asked:
        raise CloudError(
            "The cloud was made with other ports or addresses; "
            "`kurier-cloud reset` first, then `up` with the new ones."
        )
    return asked
