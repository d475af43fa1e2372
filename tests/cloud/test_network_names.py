# SPDX-License-Identifier: Apache-2.0
"""What users called their networks, in what Kurier shows; and networks that Docker forgot."""

from __future__ import annotations

import sqlite3

import pytest

from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage, wait_until

FORGETS = {"pool": {"enabled": True, "min": 2}, "reconcile": {"interval": 2.0, "grace": 60.0}}


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


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_network_that_docker_forgot_is_taken_away(own_stage: OwnStage) -> None:
    with own_stage(FORGETS) as stage:
        before = stage.snapshot()
        kept, gone = (stage.create_network("-o", "kurier.pool.wait=true") for _ in range(2))
        stage.settled()
        stage.daemon.stop()
        stage.docker("network", "rm", gone, seconds=90)
        stage.daemon.start()

        def told() -> list[str]:
            return [one["whom"] for one in stage.daemon.admin()["troubles"]]

        wait_until(lambda: told() == [f"network {gone}"], "it is told", 20)
        refused = stage.daemon.kurier("network", "forget", kept, check=False)
        assert f"docker network rm {kept}" in refused.stderr
        stage.daemon.kurier("network", "forget", gone)
        wait_until(lambda: not told(), "it is gone", 20)
        name = stage.run_container(kept)
        stage.remove_container(name)
        stage.remove_network(kept)
        stage.nothing_left(before)
