# SPDX-License-Identifier: Apache-2.0
"""What the daemon and Neutron say of a network's pool."""

from __future__ import annotations

from typing import Any

from tests.cloud.stage.stage import Stage


def pool_of(stage: Stage, network: str) -> dict[str, Any]:
    """The pool of a Docker network, as `kurier pool list` shows it."""
    identity = stage.docker.inspect("network", network)["Id"]
    rows: list[dict[str, Any]] = stage.daemon.admin("/v1/pools")
    return next(row for row in rows if row["network"] == identity)


def ready(stage: Stage, network: str) -> list[Any]:
    """The ready ports of a Docker network, as Neutron's tags tell them."""
    neutron_id = stage.neutron_network(network).id
    return list(stage.neutron.network.ports(network_id=neutron_id, tags="kurier.role:ready"))
