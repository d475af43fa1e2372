# SPDX-License-Identifier: Apache-2.0
"""An engine that starts before Kurier, and a Kurier that starts before the cloud."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.api import Cloud
from tests.cloud.conftest import Troupe
from tests.cloud.faults.clouds import spoil
from tests.cloud.faults.engines import host_of
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.daemon import QUICK

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]


@pytest.fixture
def stage(second_troupe: Troupe) -> Iterator[Stage]:
    with second_troupe.own(QUICK) as stage:
        yield stage


def running(stage: Stage, names: list[str]) -> bool:
    return set(names) <= set(stage.docker("ps", "--format", "{{.Names}}").split())


@pytest.mark.parametrize("late", [pytest.param(0.0, marks=pytest.mark.long), 8.0])
def test_an_engine_started_without_kurier_runs_all_when_kurier_comes(
    stage: Stage, late: float
) -> None:
    """Kurier is away, ten containers shall always run, the engine restarts; Kurier comes while
    the engine still looks for it, and all ten run again.
    """
    network = stage.create_network()
    names = [stage.run_container(network, "--restart=always") for _ in range(10)]
    host_of(stage).stop_dockerd()
    stage.settled()
    stage.daemon.stop()
    began = time.monotonic()
    host_of(stage).dockerd.daemon.start()
    time.sleep(late)
    stage.daemon.start()
    wait_until(lambda: stage.docker.attempt("ps").returncode == 0, "the engine answers", 60)
    print(f"the engine's API answers after {time.monotonic() - began:.1f} s")
    wait_until(lambda: running(stage, names), "all ten run again", 90)
    assert stage.pings(names[0], stage.ip_of(names[9]))


def test_kurier_starts_before_the_cloud(stage: Stage, cloud: Cloud, tmp_path: Path) -> None:
    """Nobody answers where Keystone and Neutron should be: the socket answers, running containers
    go on, a new one fails with the reason, and works once the cloud is there.
    """
    network = stage.create_network()
    first, second = stage.run_container(network), stage.run_container(network)
    stage.settled()
    stage.daemon.stop()
    spoil(stage, cloud, tmp_path, lambda one: one["auth"].update(auth_url="http://127.0.0.1:9/v3"))
    stage.daemon.start()
    assert stage.daemon.call("Plugin.Activate", {})[0] == 200
    assert stage.pings(first, stage.ip_of(second))
    assert "127.0.0.1:9" in stage.fail_container(network)
    stage.daemon.environ.clear()
    stage.daemon.restart()
    assert stage.pings(stage.run_container(network), stage.ip_of(second))
