# SPDX-License-Identifier: Apache-2.0
"""Several hosts' daemons, called as engines call them, all at the same moment."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.cloud.stage.daemon import Daemon, Table
from tests.cloud.stage.machine import Machine

_Answer = TypeVar("_Answer")
_GENERIC = "com.docker.network.generic"


@dataclass
class Racer:
    """One host's daemon and what it was told of the networks it has."""

    daemon: Daemon
    pools: dict[str, str] = field(default_factory=dict)

    def create(self, network: str, cidr: str, *, auxiliary: str = "", **options: str) -> str:
        """RequestPool, RequestAddress and CreateNetwork; what the daemon complained of, or "".

        `auxiliary` is an address to keep out, as by `--aux-address`.
        """
        gateway = cidr.replace(".0/", ".1/")
        pool = self._call(
            "IpamDriver.RequestPool", {"AddressSpace": "LocalDefault", "Pool": cidr, "Options": {}}
        )
        if "PoolID" not in pool:
            return str(pool.get("Error") or pool.get("Err"))
        self.pools[network] = str(pool["PoolID"])
        asked = {"RequestAddressType": "com.docker.network.gateway"}
        body = {"PoolID": pool["PoolID"], "Address": gateway.partition("/")[0], "Options": asked}
        self._call("IpamDriver.RequestAddress", body)
        data: dict[str, object] = {
            "AddressSpace": "LocalDefault",
            "Pool": cidr,
            "Gateway": gateway,
            "AuxAddresses": {"kept": f"{auxiliary}/24"} if auxiliary else {},
        }
        answer = self._call(
            "NetworkDriver.CreateNetwork",
            {
                "NetworkID": network,
                "Options": {_GENERIC: options, "com.docker.network.enable_ipv6": False},
                "IPv4Data": [data],
                "IPv6Data": [],
            },
        )
        return str(answer.get("Err", ""))

    def remove(self, network: str) -> str:
        """ReleasePool and DeleteNetwork; what the daemon complained of, or ""."""
        pool = self.pools.pop(network, None)
        if pool:
            self._call("IpamDriver.ReleasePool", {"PoolID": pool})
        return str(self._call("NetworkDriver.DeleteNetwork", {"NetworkID": network}).get("Err", ""))

    def known(self) -> dict[str, str]:
        """The Neutron network of each engine network that is in use here."""
        rows = self.daemon.admin("/v1/networks")
        return {row["docker_id"]: row["neutron_id"] for row in rows if row["state"] == "active"}

    def settled(self) -> bool:
        """Whether nothing is left to tell Neutron."""
        return bool(self.daemon.admin()["outbox"]["depth"] == 0)

    def _call(self, method: str, body: dict[str, object]) -> dict[str, Any]:
        return self.daemon.call(method, body)[1]


def racer(machine: Machine, cloud: str, environment: str, settings: Table | None = None) -> Racer:
    """A daemon of its own on a host, beside the others that the host may have."""
    folder = Path(tempfile.mkdtemp(prefix="kurier-race-"))
    own: dict[str, dict[str, object]] = {
        "daemon": {"environment": environment, "driver_name": f"race{secrets.token_hex(2)}"}
    }
    for section, values in (settings or {}).items():
        own[section] = {**own.get(section, {}), **values}
    return Racer(Daemon(machine, folder, own, cloud))


def at_once(work: Sequence[Callable[[], _Answer]]) -> list[_Answer]:
    """Does everything at the same moment; the answers in order."""
    with ThreadPoolExecutor(len(work)) as threads:
        return [future.result() for future in [threads.submit(piece) for piece in work]]


def swarm_id() -> str:
    """An id as a Swarm gives its networks: 25 characters of base 36."""
    return "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(25))
