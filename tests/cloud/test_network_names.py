# SPDX-License-Identifier: Apache-2.0
"""What users called their networks, in what Kurier shows."""

from __future__ import annotations

import sqlite3

from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage, wait_until


def shown(stage: Stage, network: str) -> str:
    """The name that Kurier's own list gives a Docker network."""
    identity = stage.docker.inspect("network", network)["Id"]
    (row,) = [one for one in stage.daemon.admin("/v1/networks") if one["docker_id"] == identity]
    return str(row["name"])


def test_a_new_network_is_shown_with_its_name(stage: Stage) -> None:
    network = stage.create_network()
    stage.settled()
    assert shown(stage, network) == network


def test_a_network_without_a_name_gets_it_at_the_next_pass(own_stage: OwnStage) -> None:
    """As in a ledger of before, or one read back from Neutron's tags."""
    with own_stage({"reconcile": {"interval": 1.0}}) as stage:
        network = stage.create_network()
        stage.settled()
        stage.daemon.stop()
        with sqlite3.connect(stage.daemon.state_dir / "ledger.db") as ledger:
            changed = ledger.execute(
                "UPDATE networks SET document = CAST("
                "json_set(CAST(document AS TEXT), '$.name', '') AS BLOB)"
            ).rowcount
        ledger.close()
        assert changed == 1
        stage.daemon.start()
        wait_until(lambda: shown(stage, network) == network, "the network has its name", 20)
