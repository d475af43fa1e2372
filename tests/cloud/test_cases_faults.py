# SPDX-License-Identifier: Apache-2.0
"""A daemon that hangs, an engine that dies with all its containers, a cloud that is not there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from localcloud.api import Cloud
from tests.cloud.conftest import Troupe
from tests.cloud.faults.engines import host_of
from tests.cloud.stage import DockerError, Stage, wait_until
from tests.cloud.stage.daemon import QUICK
from tests.cloud.stage.pools import pool_of
from tests.cloud.stage.sentences import is_one_sentence
from tests.speed import LONG

pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]
_HUNG = 60.0 if LONG else 20.0
"""Seconds; longer than a call of the engine may take, and than it waits for a plugin at first."""
_MANY = 20


@pytest.fixture
def stage(second_troupe: Troupe) -> Iterator[Stage]:
    with second_troupe.own(QUICK) as stage:
        yield stage


def ports_of(stage: Stage, network: str) -> list[str]:
    """The addresses of the network's container ports in Neutron."""
    return [port.fixed_ips[0]["ip_address"] for port in stage.container_ports(network)]


@pytest.mark.timeout(240)
def test_a_start_outlives_a_daemon_that_hangs_for_a_minute(stage: Stage) -> None:
    """The engine answers others meanwhile; in the end one port is used and none lost."""
    before = stage.snapshot()
    network, name = stage.create_network(), stage.name("slow")
    stage.settled()
    stage.daemon.pause()
    start = threading.Thread(
        target=lambda: stage.run_container(network, name=name, command=("sleep", "infinity"))
    )
    start.start()
    time.sleep(_HUNG / 2)
    assert name not in stage.docker("ps", "--format", "{{.Names}}", seconds=10).split()
    time.sleep(_HUNG / 2)
    stage.daemon.resume()
    start.join()
    stage.settled()
    assert ports_of(stage, network) == [stage.ip_of(name)]
    stage.remove_container(name)
    stage.remove_network(network)
    stage.nothing_left(before)


@pytest.mark.timeout(300)
def test_an_engine_killed_with_twenty_containers_starts_them_again(stage: Stage) -> None:
    """No DeleteEndpoint tells of them: their ports go all the same, and the names start again."""
    before = stage.snapshot()
    cidr = stage.cidr()
    network = stage.create_network(subnet=cidr)
    named = stage.run_container(network, "--ip", str(cidr[77]))
    names = [stage.run_container(network) for _ in range(_MANY - 1)]
    stage.settled()
    host_of(stage).kill_dockerd()
    host_of(stage).start_dockerd()
    stage.docker("start", named, *names, seconds=180)
    assert stage.ip_of(named) == str(cidr[77])
    wait_until(lambda: len(ports_of(stage, network)) == _MANY, "the old ports are gone", 60)
    assert set(ports_of(stage, network)) == {stage.ip_of(one) for one in [named, *names]}
    assert stage.pings(names[0], stage.ip_of(names[-1]))
    stage.remove_container(named, *names)
    stage.remove_network(network)
    stage.nothing_left(before)


@contextmanager
def no_cloud(cloud: Cloud) -> Iterator[None]:
    """Keystone and Neutron stopped within the block."""
    for service in ("neutron", "keystone"):
        cloud.service(service).stop()
    try:
        yield
    finally:
        for service in ("keystone", "neutron"):
            cloud.service(service).start()


@pytest.mark.alone
@pytest.mark.timeout(240)
@pytest.mark.parametrize("warm", [0, 2])
def test_an_engine_and_kurier_start_while_the_cloud_is_down(
    second_troupe: Troupe, cloud: Cloud, warm: int
) -> None:
    """The engine starts; as many containers run as ports were ready, the next fails with the
    reason, and runs when Keystone and Neutron are back.
    """
    pool = {"enabled": warm > 0, "min": warm, "max": warm, "cooling": 1.0, "lag": 0.0}
    with second_troupe.own({**QUICK, "pool": pool}) as stage:
        before = stage.snapshot()
        network = stage.create_network()
        if warm:
            wait_until(lambda: pool_of(stage, network)["ready"] == warm, "ports are ready", 60)
        stage.settled()
        stage.daemon.stop()
        with no_cloud(cloud):
            stage.daemon.start()
            host_of(stage).stop_dockerd()
            host_of(stage).start_dockerd()
            names = [stage.run_container(network) for _ in range(warm)]
            refusal = stage.fail_container(network)
            assert "Keystone" in refusal or "Neutron" in refusal
        names.append(wait_until(lambda: tried(stage, network), "a container starts again", 90))
        stage.settled()
        assert all(stage.pings(names[0], stage.ip_of(name)) for name in names[1:])
        stage.await_active(*map(stage.neutron_port, names))
        stage.remove_container(*names)
        stage.remove_network(network)
        stage.nothing_left(before, 60)


def tried(stage: Stage, network: str) -> str:
    """A container's name, or nothing where it does not start: a Neutron that has only just begun
    takes its time for the first port.
    """
    try:
        return stage.run_container(network)
    except DockerError:
        return ""


@pytest.mark.alone
def test_a_port_quota_that_is_used_up(stage: Stage, cloud: Cloud) -> None:
    network = stage.create_network()
    stage.settled()
    used = len(list(stage.neutron.network.ports(project_id=stage.project)))
    stage.neutron.network.update_quota(stage.project, ports=used)
    stage.undo(lambda: stage.neutron.network.delete_quota(stage.project))

    with stage.unchanged():
        said = stage.fail_container(network)

    assert "quota" in said.lower()
    assert "port" in said
    assert is_one_sentence(said)
