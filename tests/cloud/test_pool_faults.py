# SPDX-License-Identifier: Apache-2.0
"""Faults while a pool grows: an answer that is lost, a controller that does not wire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcloud.api import Cloud
from tests.cloud.conftest import Troupe
from tests.cloud.faults.engines import host_of
from tests.cloud.faults.moments import Broker, Moment, before_http
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.pools import pool_of, ready

pytestmark = pytest.mark.local_cloud
POOL: Table = {
    "pool": {"enabled": True, "min": 2, "max": 8, "batch": 4, "cooling": 2.0, "lag": 4.0},
    "datapath": {"wire_timeout": 3.0},
    "reconcile": {"interval": 3600.0},
}
_NEUTRON = ("10.99.1.1", 19696)


@pytest.fixture
def watched(troupe: Troupe, cloud: Cloud, tmp_path: Path) -> Iterator[tuple[Stage, Broker]]:
    """A stage whose daemon speaks to Neutron through a go-between."""
    with before_http(_NEUTRON[0], *_NEUTRON) as (broker, url):
        document = yaml.safe_load(cloud.clouds_file.read_text())
        for entry in document["clouds"].values():
            entry["network_endpoint_override"] = url
        file = tmp_path / "clouds.yaml"
        file.write_text(yaml.safe_dump(document))
        with troupe.own(POOL, start=False) as stage:
            stage.daemon.environ["OS_CLIENT_CONFIG_FILE"] = str(file)
            stage.daemon.start()
            yield stage, broker


@pytest.mark.timeout(240)
def test_ports_whose_answer_was_lost_are_found_again(watched: tuple[Stage, Broker]) -> None:
    """Neutron made them and the answer never came: they are taken in, and none is left over."""
    stage, broker = watched
    before = stage.snapshot()
    theirs = stage.make_network()
    untagged = stage.make_port(theirs.id)
    lost = broker.strike(r"^POST /v2.0/ports", Moment.DONE, lambda: None)

    network = stage.create_network()

    wait_until(lambda: pool_of(stage, network)["ready"] >= 2, "the pool is full", 90)
    assert lost.is_set()
    wait_until(
        lambda: (
            {one.id for one in stage.container_ports(network)}
            == {one.id for one in ready(stage, network)}
        ),
        "Neutron has no port more",
        60,
    )
    assert len(ready(stage, network)) == pool_of(stage, network)["ready"]
    assert stage.neutron.network.get_port(untagged.id)
    one, two = stage.run_container(network), stage.run_container(network)
    assert stage.pings(one, stage.ip_of(two))
    stage.remove_container(one, two)
    stage.remove_network(network)
    stage.delete_neutron_network(theirs.id)
    stage.nothing_left(before)


@pytest.mark.timeout(240)
def test_nothing_is_handed_out_before_the_switch_wires_it(troupe: Troupe) -> None:
    with troupe.own(POOL) as stage:
        controller = host_of(stage).service("ovn-controller")
        controller.stop()
        try:
            network = stage.create_network()
            wait_until(lambda: pool_of(stage, network)["coming"] >= 2, "ports were made", 60)
            refusal = stage.fail_container(network)
            assert "was not wired within 3 s" in refusal
            assert pool_of(stage, network)["ready"] == 0
        finally:
            controller.start()
        wait_until(lambda: pool_of(stage, network)["ready"] >= 2, "they are ready", 90)
        one, two = stage.run_container(network), stage.run_container(network)
        assert stage.pings(one, stage.ip_of(two))
