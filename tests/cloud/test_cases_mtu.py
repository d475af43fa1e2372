# SPDX-License-Identifier: Apache-2.0
"""The network's MTU in its containers and on the way, and what many rounds leave behind.

KURIER_TEST_ROUNDS says how many rounds (default 18, with `--long` 60).
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kurier.model.tags import parse_pool
from tests.cloud.conftest import OwnStage
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.pools import pool_of
from tests.speed import LONG

ROUNDS = int(os.environ.get("KURIER_TEST_ROUNDS", "60" if LONG else "18"))
PROTOCOL_ROUNDS = 1002 if LONG else 201
WARMING = 10
"""Rounds after which the daemon has opened what it keeps open: connections, threads, the log."""
LIVELY = ("threads", "descriptors")
"""They differ by what went on at once, up to a bound; a leak grows in every third of the rounds."""
DF_PING = Path(__file__).parent / "stage" / "df_ping.py"


def df_ping(stage: Stage, container: str, address: str, size: int) -> str:
    """What became of a packet of this size that must not be cut; see `stage/df_ping.py`."""
    inside = ("nsenter", "-t", stage.process_of(container), "-n")
    told = stage.machine.run([*inside, sys.executable, str(DF_PING), address, str(size)])
    return told.stdout.strip()


@pytest.mark.parametrize("mtu", [1442, 1300])
def test_a_full_size_packet_passes_uncut_and_a_larger_one_is_refused(
    stage: Stage, mtu: int
) -> None:
    cidr = stage.cidr()
    theirs = stage.make_network(cidr, mtu=mtu)
    network = stage.create_network("-o", f"neutron.net.uuid={theirs.id}", subnet=cidr)
    one, two = stage.run_container(network), stage.run_container(network)

    assert stage.exec(one, "cat", "/sys/class/net/eth0/mtu") == str(mtu)
    assert df_ping(stage, one, stage.ip_of(two), mtu) == "answered"
    assert df_ping(stage, one, stage.ip_of(two), mtu + 1) == "refused"


@pytest.fixture
def routed(stage: Stage) -> tuple[str, str, int]:
    """A container on a network of the usual MTU, one on the smaller network outside of its
    router, and the smaller MTU.
    """
    inner, outer, smaller = stage.cidr(), stage.cidr(), 1300
    near = stage.make_network(inner)
    far = stage.make_network(outer, mtu=smaller, is_router_external=True)
    make_router(stage, near, far)
    # The outer one sees the router's address, which is in nobody's security group.
    open_to_all = ("-o", "kurier.port_security=false")
    first, second = (
        stage.create_network("-o", f"neutron.net.uuid={net.id}", *open_to_all, subnet=cidr)
        for net, cidr in ((near, inner), (far, outer))
    )
    return stage.run_container(first), stage.run_container(second), smaller


def make_router(stage: Stage, network: Any, outside: Any) -> None:
    """A router on the gateway of a network's subnet, with its own gateway on another."""
    routers = stage.neutron.network
    (subnet,) = stage.neutron_subnets(network.id)
    router = routers.create_router(
        name=stage.name("router"), external_gateway_info={"network_id": outside.id}
    )
    stage.undo(partial(routers.delete_router, router.id))
    routers.add_interface_to_router(router, subnet.id)
    stage.undo(partial(routers.remove_interface_from_router, router, subnet.id))


def test_a_router_tells_of_a_smaller_network_outside(
    stage: Stage, routed: tuple[str, str, int]
) -> None:
    near, far, smaller = routed
    address = stage.ip_of(far)
    wait_until(lambda: df_ping(stage, near, address, 1000) == "answered", "the router routes", 30)
    assert df_ping(stage, near, address, smaller) == "answered"
    assert df_ping(stage, near, address, smaller + 1) == f"told {smaller}"


@pytest.mark.timeout(240 + 8 * ROUNDS)
def test_many_rounds_leave_nothing(stage: Stage, lan: str) -> None:
    """A running container joins and leaves a network again and again."""
    container = stage.run_container("none")
    stage.docker("network", "disconnect", "none", container)
    with stage.unchanged():
        rounds(stage, lan, container, WARMING)
        told = assert_no_leak(stage, lambda: rounds(stage, lan, container, ROUNDS // 3))
    print(f"{ROUNDS} rounds; before and after each third: {told}")


@pytest.mark.timeout(600)
def test_rounds_of_the_protocol_leave_nothing(own_stage: OwnStage) -> None:
    """The calls of a start and a stop, on ready ports, as fast as they are answered."""
    settings = {"enabled": True, "min": 4, "max": 4, "cooling": 0.1, "lag": 0.0}
    with own_stage({"pool": settings}) as stage, stage.unchanged():
        network = stage.create_network()
        wait_until(lambda: pool_of(stage, network)["ready"] == 4, "ports are ready", 60)
        calls(stage, network, WARMING)

        def third() -> None:
            calls(stage, network, PROTOCOL_ROUNDS // 3)
            wait_until(lambda: pool_of(stage, network)["ready"] == 4, "ports are ready again", 60)

        print(
            f"{PROTOCOL_ROUNDS} rounds; before and after each third: {assert_no_leak(stage, third)}"
        )
        stage.remove_network(network)


def calls(stage: Stage, network: str, number: int) -> None:
    """So many starts and stops as an engine would ask for them."""
    (subnet,) = stage.neutron_subnets(stage.neutron_network(network).id)
    (pool,) = {found for found in map(parse_pool, subnet.tags) if found}
    identity = stage.docker.inspect("network", network)["Id"]

    def ask(method: str, **body: object) -> dict[str, Any]:
        status, answer = stage.daemon.call(method, body)
        assert status == 200, answer
        return answer

    for _ in range(number):
        wait_until(lambda: pool_of(stage, network)["ready"] > 0, "a port is ready", 60)
        both = {"NetworkID": identity, "EndpointID": secrets.token_hex(32)}
        address = ask("IpamDriver.RequestAddress", PoolID=pool, Address="")["Address"]
        ask("NetworkDriver.CreateEndpoint", **both, Interface={"Address": address})
        ask("NetworkDriver.Join", **both, SandboxKey="/var/run/docker/netns/none", Options={})
        ask("NetworkDriver.Leave", **both)
        ask("NetworkDriver.DeleteEndpoint", **both)
        ask("IpamDriver.ReleaseAddress", PoolID=pool, Address=address.partition("/")[0])


def rounds(stage: Stage, network: str, container: str, number: int) -> None:
    for _ in range(number):
        stage.docker("network", "connect", network, container)
        stage.docker("network", "disconnect", network, container)
    stage.settled(120)


def held(stage: Stage) -> dict[str, int]:
    """How much the daemon and the switch hold."""
    process = Path("/proc") / str(stage.daemon.pid)
    listed = stage.machine.run(["ip", "-o", "link", "show", "type", "veth"]).stdout
    # ovn-controller makes tunnels and patch ports as other hosts and networks need them.
    rows = [
        name
        for name in stage.machine.vsctl("list-ports", "br-int").split()
        if not name.startswith(("patch-", "ovn-"))
    ]
    return {
        "threads": len(list((process / "task").iterdir())),
        "descriptors": len(list((process / "fd").iterdir())),
        "veth": len(listed.splitlines()),
        "rows": len(rows),
    }


def at_rest(stage: Stage) -> dict[str, int]:
    """The least that is held within two seconds: a look may meet a comparison with Neutron."""
    looks = []
    for _ in range(8):
        looks.append(held(stage))
        time.sleep(0.25)
    return {what: min(look[what] for look in looks) for what in looks[0]}


def assert_no_leak(stage: Stage, third: Callable[[], None]) -> list[dict[str, int]]:
    """Works three times; what is held before and after each, of which nothing may have leaked."""
    told = [at_rest(stage)]
    fixed = [what for what in told[0] if what not in LIVELY]

    def as_before() -> bool:
        now = held(stage)
        return all(now[what] <= told[0][what] for what in fixed)

    for _ in range(3):
        third()
        try:
            wait_until(as_before, "no more than before", 60)
        except AssertionError:
            raise AssertionError(f"before: {told}, now {held(stage)}") from None
        told.append(at_rest(stage))
    for what in LIVELY:
        grew = all(before[what] < after[what] for before, after in pairwise(told))
        assert not grew, f"{what} grow with the rounds: {told}"
    return told
