# SPDX-License-Identifier: Apache-2.0
"""Several processes test at once on one local cloud, each with hosts of its own.

Each compares only what is surely its own. So the process that began them looks at everything,
before the first and after the last.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from openstack.connection import Connection

from localcloud.api import Cloud, Host
from tests.cloud.stage.engine import Docker
from tests.cloud.stage.leftovers import sweep, sweep_cloud, sweep_groups
from tests.cloud.stage.snapshot import WORKER, Seen, Watch, difference
from tests.cloud.stage.swarm import sweep_swarm

HOSTS = 3
"""So many belong to each lane."""
FIRST = 2 + HOSTS * int(WORKER.removeprefix("gw")) if WORKER else 1
"""The number of this lane's first host; requests of the tests' own come from the first of all."""


class Lanes:
    """What the process does that began the others."""

    def __init__(self, cloud: Cloud, neutron: Connection, number: int) -> None:
        self._cloud = cloud
        self._neutron = neutron
        self._number = number
        self._before: Seen = {}

    def begin(self, policy: Mapping[str, str]) -> None:
        """Has all hosts run, and takes away what a session left that was cut off."""
        self._cloud.up(hosts=max(1 + HOSTS * self._number, self._cloud.settings.hosts))
        self._cloud.set_policy(policy)
        for host in self._cloud.hosts:
            sweep_swarm(host)
            sweep(host, self._neutron, f"kt-{host.name}")
            sweep_cloud(host, self._neutron)
            sweep_groups(self._neutron, f"kt-{host.name}")

    def look(self) -> None:
        """Keeps what there is now, for `left` to compare."""
        self._before = self._seen()

    def left(self) -> str:
        """What the whole cloud has more than it had, one line each."""
        self._cloud.set_policy({})
        found = difference(self._before, self._seen()).splitlines()
        return "\n".join(line for line in found if ": new " in line)

    def _seen(self) -> Seen:
        watches = {host.name: self._watch(host) for host in self._cloud.hosts}
        found = next(iter(watches.values())).neutron_alone()
        for name, watch in watches.items():
            found |= {f"{name}: {what}": lines for what, lines in watch.host_alone().items()}
        return found

    def _watch(self, host: Host) -> Watch:
        return Watch(self._neutron, host, Docker(host), "kt", lambda: "")


def number_of(config: pytest.Config) -> int:
    """How many lanes this process has begun; 0 where it tests itself."""
    return 0 if WORKER else int(config.getoption("numprocesses", None) or 0)
