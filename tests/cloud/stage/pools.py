# SPDX-License-Identifier: Apache-2.0
"""What the daemon and Neutron say of a network's pool."""

from __future__ import annotations

from typing import Any

from tests.cloud.stage.stage import Stage
from tests.cloud.stage.waiting import wait_until


def pool_of(stage: Stage, network: str) -> dict[str, Any]:
    """The pool of a Docker network, as `kurier pool list` shows it."""
    identity = stage.docker.inspect("network", network)["Id"]
    rows: list[dict[str, Any]] = stage.daemon.admin("/v1/pools")
    return next(row for row in rows if row["network"] == identity)


def ready(stage: Stage, network: str) -> list[Any]:
    """The ready ports of a Docker network, as Neutron's tags tell them."""
    neutron_id = stage.neutron_network(network).id
    return list(stage.neutron.network.ports(network_id=neutron_id, tags="kurier.role:ready"))


def taker_of(stage: Stage, network: str, address: str) -> str:
    """A container that got this address by taking what is ready, one after the other."""
    for _ in range(int(pool_of(stage, network)["ready"])):
        name = stage.run_container(network)
        if stage.ip_of(name) == address:
            return name
    raise AssertionError(f"nobody got {address}")


def cooled(stage: Stage, network: str) -> None:
    """Returns when every port that was given back is ready again, or gone."""
    wait_until(lambda: pool_of(stage, network)["cooling"] == 0, "nothing cools any more", 30)
