# SPDX-License-Identifier: Apache-2.0
"""A service of many tasks on a network that is made at the first of them, on three hosts.

An answer with many addresses is too long for DNS over UDP, and busybox asks in no other way: names
are asked for over TCP (RFC 7766), as other resolvers do when an answer was cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from localcloud.api import Cloud
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.inside import inside
from tests.cloud.stage.machine import local_host
from tests.cloud.stage.swarm import Swarm, Task, settled
from tests.speed import LONG

pytestmark = [
    pytest.mark.two_hosts,
    pytest.mark.local_cloud,
    pytest.mark.alone,
    pytest.mark.timeout(900),
]
FEW, MANY = (12, 30) if LONG else (5, 12)
SETTINGS = {"reconcile": {"interval": 2.0, "grace": 2.0}, "pool": {"enabled": True, "max": 24}}
_REACH = """
for a in {}; do
    ping -c 1 -W 3 $a >/dev/null || echo "$a by ping"
    for try in 1 2 3; do
        timeout 5 wget -q -O- "http://$a/" | grep -q hello && continue 2
        sleep 1
    done
    echo "$a by HTTP"
done
"""
"""The first ping must be answered. A task runs once its process starts, not once it listens."""


_ASK = r"""
import socket, struct, sys
labels = b"".join(bytes([len(one)]) + one.encode() for one in sys.argv[1].split("."))
question = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
server = socket.create_connection(("127.0.0.11", 53), 5)
server.sendall(struct.pack("!H", len(question)) + question)
stream = server.makefile("rb")
answer = stream.read(struct.unpack("!H", stream.read(2))[0])
at = len(question)
for _ in range(struct.unpack("!H", answer[6:8])[0]):
    while 0 < answer[at] < 0xC0:
        at += answer[at] + 1
    at += 2 if answer[at] else 1  # a pointer, or the root's label
    kind, _, _, length = struct.unpack("!2HIH", answer[at : at + 10])
    if kind == 1:
        print(socket.inet_ntoa(answer[at + 10 : at + 14]))
    at += 10 + length
"""


def resolved(task: Task, name: str) -> set[str]:
    """All addresses that the engine's DNS has for a name, asked from inside a task."""
    with inside(task.stage, task.container, _ASK, name) as told:
        return set(told.read().decode().split())


def same(asked: Callable[[], set[str]], addresses: set[str]) -> bool:
    return asked() == addresses


def assert_all_meet(cloud: Cloud, tasks: list[Task], service: str) -> None:
    """Each task finds all by both names, and reaches every other by address at the first ping.

    A start waits for its own host's switch. Thirty at once keep OVN busy, so that the other hosts
    may learn of the last ones some seconds later; how much later is printed.
    """
    began = time.monotonic()
    cloud.await_hosts()
    print(f"{len(tasks)} tasks: all switches had them {time.monotonic() - began:.1f} s later")
    addresses = {one.address for one in tasks}
    for one in tasks:
        for name in (service, f"tasks.{service}"):
            asked = partial(resolved, one, name)
            wait_until(partial(same, asked, addresses), f"{one.name} finds {name}: {addresses}")
        others = " ".join(sorted(addresses - {one.address}))
        missed = one.stage.exec(one.container, "sh", "-c", _REACH.format(others), seconds=200)
        assert missed == "", f"{one.name} does not reach {missed}"


def assert_bound(tasks: list[Task], neutron_id: str) -> None:
    """Each has an address of its own, and a port that is bound to its host."""
    told = {one.address: one.stage.machine.hostname for one in tasks}
    ports = tasks[0].stage.neutron.network.ports(network_id=neutron_id)
    bound = {one.fixed_ips[0]["ip_address"]: one.binding_host_id for one in ports}
    assert len(told) == len(tasks)
    assert bound.items() >= told.items()


def test_many_tasks(swarm: Swarm, cloud: Cloud) -> None:
    """Some, then more; updated, a node drained, an engine killed; no port of a task is left."""
    manager, drained, killed = swarm.stages
    network = swarm.create_network(subnet=manager.cidr())
    service = swarm.create_service(network, "--endpoint-mode", "dnsrr", replicas=FEW)
    tasks = swarm.running(service, FEW)
    assert {one.stage for one in tasks} == set(swarm.stages)
    neutron_id = tasks[0].stage.neutron_port(tasks[0].container).network_id
    assert_bound(tasks, neutron_id)
    assert_all_meet(cloud, tasks, service)

    swarm.docker("service", "scale", "-d", f"{service}={MANY}")
    tasks = swarm.running(service, MANY, 240)
    assert_bound(tasks, neutron_id)
    assert_all_meet(cloud, tasks, service)

    update = ("--update-parallelism", "10", "--update-delay", "0s", "--env-add", "A=1")
    swarm.docker("service", "update", "-d", "--no-resolve-image", *update, service)
    done = "{{.UpdateStatus.State}}"
    wait_until(
        lambda: swarm.docker("service", "inspect", "-f", done, service) == "completed",
        "the update is complete",
        300,
    )
    node = swarm.node(drained)
    swarm.docker("node", "update", "--availability", "drain", node)
    wait_until(lambda: not swarm.has_containers(drained, service), "the node is empty", 120)
    swarm.docker("node", "update", "--availability", "active", node)
    lost = swarm.node(killed)
    local_host(killed.machine).kill_engine_and_containers()
    try:
        wait_until(lambda: swarm.state(lost) == "down", "the manager misses the node", 90)
        tasks = swarm.running(service, MANY, 240)
        assert killed not in {one.stage for one in tasks}
        assert_bound(tasks, neutron_id)
        assert_all_meet(cloud, tasks, service)
    finally:
        local_host(killed.machine).start_dockerd()
    wait_until(lambda: swarm.state(lost) == "ready", "the node is back", 90)
    swarm.remove_service(service)
    settled(swarm)
    # The engine that was killed forgot its part of the network, and told nobody.
    wait_until(lambda: not kuriers(manager, neutron_id), "no port is left", 90)


def kuriers(stage: Stage, neutron_id: str) -> list[str]:
    """The ports of a network that tasks have or had, or that wait for some."""
    ports = stage.neutron.network.ports(network_id=neutron_id, device_owner="compute:kuryr")
    return [one.id for one in ports]
