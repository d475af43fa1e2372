# SPDX-License-Identifier: Apache-2.0
"""Pools at their limits: full subnets, quotas, demand, cooling, and what operators do.

KURIER_TEST_ROUNDS says how often a container lives for a moment on a small pool (default 12, with
`--long` 40).
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from ipaddress import ip_network

import pytest

from tests.cloud.stage import IMAGE, Stage, wait_until
from tests.cloud.stage.counting import NeutronLog
from tests.cloud.stage.pools import pool_of, ready
from tests.cloud.stage.swarm import address_of
from tests.speed import LONG

ROUNDS = int(os.environ.get("KURIER_TEST_ROUNDS", "40" if LONG else "12"))
POOL = {
    "pool": {"enabled": True, "min": 2, "max": 16, "batch": 4, "cooling": 3.0, "lag": 4.0},
    "reconcile": {"interval": 3600.0},
}


def attempts(stage: Stage, network: str, number: int) -> tuple[list[str], list[str]]:
    """So many starts, one after the other: who runs, and what the others were told."""
    running, told = [], []
    for _ in range(number):
        name = stage.name("c")
        stage.undo(lambda name=name: stage.docker("rm", "-f", name, check=False))  # type: ignore[misc]
        options = stage.run_options(network, name)
        done = stage.docker.attempt("run", *options, IMAGE, "sleep", "infinity")
        if done.returncode == 0:
            running.append(name)
        else:
            told.append(done.stderr)
            stage.docker("rm", "-f", name, check=False)
    return running, told


@pytest.mark.parametrize("minimum", [2, 0])
@pytest.mark.timeout(240)
def test_a_full_subnet(pooled: Stage, neutron_log: NeutronLog, minimum: int) -> None:
    """As many run as there are addresses; the others fail with a sentence, Neutron is left in
    peace, and what is given back is used again.
    """
    tiny = ip_network(f"{pooled.cidr()[0]}/28")
    network = pooled.create_network("-o", f"kurier.pool.min={minimum}", subnet=tiny)
    other = pooled.create_network("-o", "kurier.pool.min=1")
    running, told = attempts(pooled, network, 14)
    assert 10 <= len(running) <= 13
    assert len({pooled.ip_of(name) for name in running}) == len(running)
    assert all("no free address" in sentence for sentence in told), told

    with neutron_log.counted(address_of(pooled)) as seen:
        _, more = attempts(pooled, network, 3)
    assert len(more) == 3
    creates = [one for one in seen.writes if one.method == "POST" and "/ports" in one.path]
    assert len(creates) <= 2 * len(more), seen.told()

    wait_until(lambda: pool_of(pooled, other)["ready"] >= 1, "the other pool grows", 40)
    gone = running[:3]
    addresses = {pooled.ip_of(name) for name in gone}
    pooled.remove_container(*gone)
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 1, "they are used again", 40)
    again = pooled.run_container(network)
    assert pooled.ip_of(again) in addresses


@pytest.mark.alone
@pytest.mark.local_cloud
@pytest.mark.timeout(240)
def test_a_used_up_port_quota(pooled: Stage, neutron_log: NeutronLog) -> None:
    """It is told in words, Neutron is left in peace, and what is given back is used again."""
    network = pooled.create_network("-o", "kurier.pool.min=1", "-o", "kurier.pool.wait=true")
    project = pooled.project
    used = len(list(pooled.neutron.network.ports(project_id=project)))
    waiting = pool_of(pooled, network)["ready"]
    pooled.neutron.network.update_quota(project, ports=used + 3)
    pooled.undo(lambda: pooled.neutron.network.delete_quota(project))
    running, told = attempts(pooled, network, 7)
    assert 1 <= len(running) <= waiting + 3
    assert all("quota" in sentence.lower() for sentence in told), told

    with neutron_log.counted(address_of(pooled)) as seen:
        _, more = attempts(pooled, network, 3)
    assert len(more) == 3
    creates = [one for one in seen.writes if one.method == "POST" and "/ports" in one.path]
    assert len(creates) <= 2 * len(more), seen.told()
    address = pooled.ip_of(running[0])
    pooled.remove_container(running[0])
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 1, "it is used again", 40)
    assert pooled.ip_of(pooled.run_container(network)) == address


@pytest.mark.timeout(120 + 6 * ROUNDS)
def test_no_address_is_back_before_its_time(pooled: Stage) -> None:
    """Many short lives on a small pool, a restart among them: it grows, and each address that was
    given back rests for as long as is set.
    """
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    for number in range(ROUNDS):
        pooled.docker("run", "--rm", "--network", network, IMAGE, "true")
        if number == ROUNDS // 2:
            pooled.daemon.restart()
    rests = reuses(pooled)
    assert rests, "no address was used twice"
    assert min(rests) >= POOL["pool"]["cooling"]
    assert pool_of(pooled, network)["target"] > 2


def reuses(stage: Stage) -> list[float]:
    """Seconds from each release of an address to its next use, by the daemon's own log."""
    released: dict[str, datetime] = {}
    rests = []
    pattern = re.compile(
        r"^(\S+ \S+) .*(ReleaseAddress|CreateEndpoint) .*?\"(?:Address)\":\"([0-9.]+)(?:/\d+)?\"",
        re.MULTILINE,
    )
    for stamp, call, address in pattern.findall(stage.daemon.said()):
        at = datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f")
        if call == "ReleaseAddress":
            released[address] = at
        elif address in released:
            rests.append((at - released.pop(address)).total_seconds())
    return rests


def test_an_admin_deletes_a_ready_port_and_one_in_use(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    name = pooled.run_container(network)
    pooled.settled()
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 2, "the pool is full", 40)
    waiting, used = ready(pooled, network)[0], pooled.neutron_port(name)
    pooled.neutron.network.delete_port(waiting.id)
    pooled.neutron.network.delete_port(used.id)

    reports = [pooled.daemon.admin("/v1/reconcile", "POST") for _ in range(2)]

    (trouble,) = reports[1]["troubles"]
    assert (trouble["kind"], trouble["whom"]) == ("port-gone", f"container {name}")
    assert used.id in trouble["says"]
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 2, "it is replaced", 40)
    assert waiting.id not in {port.id for port in ready(pooled, network)}
    one, two = pooled.run_container(network), pooled.run_container(network)
    assert pooled.pings(one, pooled.ip_of(two))


def test_a_drained_host_keeps_its_containers(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    name, peer = pooled.run_container(network), pooled.run_container(network)
    pooled.daemon.admin("/v1/pools/drain", "POST", {})
    wait_until(lambda: not ready(pooled, network), "no port waits", 40)
    assert pooled.pings(peer, pooled.ip_of(name))
    cold = pooled.run_container(network)
    assert pooled.pings(cold, pooled.ip_of(name))
    pooled.daemon.admin("/v1/pools/resume", "POST", {})
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 2, "ports wait again", 40)


def test_a_group_that_waiting_ports_wear_is_freed_by_one_command(pooled: Stage) -> None:
    group = pooled.make_group()
    network = pooled.create_network(
        "-o", f"kurier.security_groups={group.name}", "-o", "kurier.pool.wait=true"
    )
    assert {tuple(port.security_group_ids) for port in ready(pooled, network)} == {(group.id,)}

    freed = pooled.daemon.admin("/v1/pools/free", "POST", {"resource": group.name})

    assert freed["ports"] == 2
    wait_until(lambda: not ready(pooled, network), "no port waits", 40)
    pooled.neutron.network.delete_security_group(group.id)
    pooled.daemon.admin("/v1/pools/resume", "POST", {})


def test_every_hosts_ready_ports_are_told(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    rows = pooled.daemon.admin("/v1/pools/everywhere")
    mine = [row for row in rows if row["neutron_network"] == pooled.neutron_network(network).id]
    assert mine == [
        {
            "host": pooled.machine.hostname,
            "neutron_network": pooled.neutron_network(network).id,
            "ports": 2,
        }
    ]
