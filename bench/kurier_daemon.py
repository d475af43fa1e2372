# SPDX-License-Identifier: Apache-2.0
"""A Kurier daemon under measurement: its configuration, and what its admin socket tells."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.metrics import Histogram, rpc_histograms
from kurier.cli.unix_http import Unanswered, ask_daemon, request
from kurier.config.option import table
from kurier.config.settings import Settings
from localcloud.api import ADMIN_CLOUD, Host

_PATIENCE = 600.0  # seconds
_PORT_PATIENCE = 3.0  # seconds for each, several times what a Neutron that is alone needs
_PAUSE = 0.1

HAS_POOLS = "pool.enabled" in {row.name for row in table(Settings)}
"""Whether this Kurier keeps ready ports; one that does not refuses to hear of them."""


@dataclass(slots=True)
class KurierDaemon:
    """`kurier serve` inside a host, an environment of its own, so that two may serve one engine."""

    host: Host
    name: str
    """The driver's."""
    folder: Path
    plugin_dir: Path
    pools: Mapping[str, object]
    """The section `[pool]`."""
    reconcile: float = 3600.0
    """Seconds between two comparisons."""

    @property
    def socket(self) -> Path:
        return self.plugin_dir / f"{self.name}.sock"

    @property
    def _admin(self) -> str:
        return str(self.folder / "admin.sock")

    def start(self) -> subprocess.Popen[bytes]:
        """The process; it may take some seconds until it answers."""
        self.folder.mkdir(parents=True)
        config = self.folder / "kurier.toml"
        config.write_text(self._config())
        program = Path(sys.executable).with_name("kurier")
        with (self.folder / "kurier.log").open("wb") as log:
            return self.host.popen(
                [str(program), "serve", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def settled(self) -> None:
        """Returns when no work is left to tell Neutron. Raises `TimeoutError`."""
        self._wait(lambda: self._ask("/v1/status")["outbox"]["depth"] == 0, "settles")

    def ready(self, network: str, count: int) -> None:
        """Returns when a network (Docker's name) has so many ready ports and no pool is at work.

        At once where no pools are kept. Raises `TimeoutError`.
        """
        if HAS_POOLS and self.pools.get("enabled"):
            identity = self.host.docker("network", "inspect", "-f", "{{.Id}}", network).strip()
            self._wait(
                lambda: is_ready(self._ask("/v1/pools"), identity, count),
                f"has {count} ready ports for {network} and rests",
                _PATIENCE + _PORT_PATIENCE * count,
            )

    def rpc(self) -> dict[str, Histogram]:
        """The time that each call took since the daemon's start."""
        return rpc_histograms(request(self._admin, "GET", "/metrics").body.decode())

    def _ask(self, path: str) -> Any:
        return ask_daemon(self._admin, "GET", path)

    def _wait(self, condition: Any, what: str, seconds: float = _PATIENCE) -> None:
        until = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except Unanswered:
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: no sign within {seconds:.0f} s that it {what}.")
            time.sleep(_PAUSE)

    def _config(self) -> str:
        sections: dict[str, Mapping[str, object]] = {
            "daemon": {
                "driver_name": self.name,
                "plugin_dir": str(self.plugin_dir),
                "admin_socket": self._admin,
                "state_dir": str(self.folder / "state"),
                "environment": self.name,
            },
            "cloud": {"name": ADMIN_CLOUD},
            "engine": {"docker_host": "unix:///var/run/docker.sock"},
            "datapath": {"ovsdb": self.host.ovsdb},
            # Several daemons share the switch here, and each would take the others' waiting
            # devices for leaks one day.
            "reconcile": {"interval": self.reconcile, "grace": 86400.0},
        }
        if HAS_POOLS:
            sections["pool"] = self.pools
        return "\n".join(_section(name, values) for name, values in sections.items())


def is_ready(pools: Sequence[Mapping[str, Any]], network: str, count: int) -> bool:
    """Whether the pool of a network (Docker's id) holds so many ready ports and all pools rest.

    A pool at work, making ports or deleting surplus ones, keeps Neutron busy, and Neutron shares
    the machine. Cooling ports cost nothing and come back by themselves.
    """
    ready = sum(row["ready"] for row in pools if row["network"] == network)
    return ready >= count and all(map(_rests, pools))


def _rests(pool: Mapping[str, Any]) -> bool:
    lacks = pool["ready"] < min(pool["target"], pool["maximum"] - pool["cooling"])
    too_many = pool["ready"] + pool["cooling"] > pool["maximum"]
    return not (pool["coming"] or lacks or too_many)


def _section(name: str, values: Mapping[str, object]) -> str:
    """A table of TOML, which reads scalars as JSON writes them."""
    return "\n".join([f"[{name}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items()), ""])
