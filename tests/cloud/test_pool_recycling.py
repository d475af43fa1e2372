# SPDX-License-Identifier: Apache-2.0
"""A port that was given back: nothing of its former container reaches the next one."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kurier.datapath.tables import PEER_MARK
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.inside import inside
from tests.cloud.stage.pools import cooled, pool_of, taker_of

POOL: dict[str, dict[str, Any]] = {
    "pool": {"enabled": True, "min": 1, "max": 8, "batch": 4, "cooling": 2.0, "lag": 4.0},
    "reconcile": {"interval": 3600.0},
}
_PEER = """
import socket, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 9000))
tcp, _ = socket.create_server(("", 9000)).accept()
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
    tcp.setsockopt(socket.IPPROTO_TCP, option, 1)
tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 120)
_, client = udp.recvfrom(100)
while True:
    udp.sendto(b"again", client)
    time.sleep(0.1)
"""
"""Answers one datagram ten times a second for ever, and asks once a second whether the one who
opened a TCP connection is still there: neither minds that nobody answers."""
_CLIENT = """
import socket, sys, time
for _ in range(100):
    try:
        tcp = socket.create_connection((sys.argv[1], 9000), 5)
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect((sys.argv[1], 9000))
udp.send(b"hello")
udp.settimeout(10)
udp.recv(100)
print("open", flush=True)
time.sleep(600)
"""


def received(stage: Stage, container: str) -> dict[str, int]:
    """What came into a container's network since it began: TCP segments, and datagrams that
    nobody there had asked for.
    """
    counters: dict[str, dict[str, str]] = {}
    lines = stage.exec(container, "cat", "/proc/net/snmp").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        counters[names.split(":")[0]] = dict(zip(names.split(), values.split(), strict=True))
    return {"tcp": int(counters["Tcp"]["InSegs"]), "udp": int(counters["Udp"]["NoPorts"])}


def test_an_open_flow_does_not_reach_the_next_container(pooled: Stage) -> None:
    """The group lets nobody in: what the former container was sent came as answers alone, and
    the switch would let them through for as long as it remembers the flow.
    """
    cidr = pooled.cidr()
    both = pooled.make_network(cidr)
    closed = pooled.make_group()
    open_ = pooled.make_group({"direction": "ingress"})
    on_it = ("-o", f"neutron.net.uuid={both.id}", "-o")
    warm = pooled.create_network(
        *on_it, f"kurier.security_groups={closed.id}", "-o", "kurier.pool.wait=true", subnet=cidr
    )
    cold = pooled.create_network(
        *on_it, f"kurier.security_groups={open_.id}", "-o", "kurier.pool.max=0", subnet=cidr
    )
    server, client = pooled.run_container(cold), pooled.run_container(warm)
    address, peer = pooled.ip_of(client), pooled.ip_of(server)
    with inside(pooled, server, _PEER), inside(pooled, client, _CLIENT, peer) as said:
        assert said.readline() == b"open\n"
        pooled.docker("network", "disconnect", "-f", warm, client)
        cooled(pooled, warm)
        heir = taker_of(pooled, warm, address)
        time.sleep(5)

        assert received(pooled, heir) == {"tcp": 0, "udp": 0}
    assert pooled.pings(heir, peer)


def test_a_neighbours_memory_of_the_address_stays_right(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    peer, first = pooled.run_container(network), pooled.run_container(network)
    address = pooled.ip_of(first)
    assert pooled.pings(peer, address)
    before = pooled.exec(peer, "ip", "neigh", "show", address).split("lladdr ")[1].split()[0]
    pooled.remove_container(first)
    cooled(pooled, network)

    heir = taker_of(pooled, network, address)

    assert pooled.exec(heir, "cat", "/sys/class/net/eth0/address") == before
    assert "1 packets received" in pooled.exec(peer, "ping", "-c", "1", "-W", "2", address)


def test_another_mac_at_the_same_address_is_announced(pooled: Stage) -> None:
    """A neighbour that remembers the former MAC address is told of the new one."""
    cidr = pooled.cidr()
    network, address = pooled.create_network(subnet=cidr), str(cidr[99])
    peer = pooled.run_container(network)
    first = pooled.run_container(network, "--ip", address)
    assert pooled.pings(peer, address)
    mac = pooled.neutron_port(first).mac_address
    pooled.remove_container(first)

    second = pooled.run_container(network, "--ip", address)
    assert pooled.neutron_port(second).mac_address != mac

    def knows() -> bool:
        told = pooled.exec(peer, "ip", "neigh", "show", address)
        return str(pooled.neutron_port(second).mac_address) in told

    wait_until(knows, "the neighbour knows the new MAC address", 15)


def test_a_former_containers_published_ports_are_closed_to_the_next(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    first = pooled.run_container(network, "--expose", "8081/tcp")
    pooled.settled()
    port = pooled.neutron_port(first)
    assert len(port.security_group_ids) == 2
    pooled.remove_container(first)
    cooled(pooled, network)

    heir = taker_of(pooled, network, port.fixed_ips[0]["ip_address"])

    again = pooled.neutron_port(heir)
    assert again.id == port.id
    assert len(again.security_group_ids) == 1
    pooled.settled()
    gone = set(port.security_group_ids) - set(again.security_group_ids)
    assert not [one for one in pooled.neutron.network.security_groups() if one.id in gone]


def test_a_device_that_somebody_holds_is_not_handed_out(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    first = pooled.run_container(network)
    address = pooled.ip_of(first)
    holder = pooled.machine.popen(
        ["nsenter", "-t", pooled.process_of(first), "-n", "sleep", "600"],
        stdin=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)
        pooled.remove_container(first)
        wait_until(lambda: pool_of(pooled, network)["ready"] >= 1, "another is ready", 30)
        cooled(pooled, network)  # the engine took the device back, whoever holds the namespace
        heir = taker_of(pooled, network, address)
        peer = pooled.run_container(network)
        assert pooled.pings(peer, address)
        assert pooled.ip_of(heir) == address
    finally:
        holder.terminate()
        holder.wait(10)


def test_a_ready_port_whose_device_is_gone_is_passed_over(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.min=2", "-o", "kurier.pool.wait=true")
    identity = pooled.docker.inspect("network", network)["Id"]
    assert pool_of(pooled, network)["network"] == identity
    for device in devices_of(pooled, network):
        pooled.machine.run(["ip", "link", "del", device])

    name = pooled.run_container(network)

    peer = pooled.run_container(network)
    assert pooled.pings(peer, pooled.ip_of(name))
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 2, "they are plugged anew", 40)


def test_a_ready_port_that_the_switch_lost_is_plugged_anew(pooled: Stage) -> None:
    network = pooled.create_network("-o", "kurier.pool.min=2", "-o", "kurier.pool.wait=true")
    for device in devices_of(pooled, network):
        pooled.machine.vsctl("del-port", device)
    pooled.daemon.admin("/v1/reconcile", "POST")
    wait_until(lambda: pool_of(pooled, network)["ready"] >= 2, "they are plugged anew", 40)

    one, two = pooled.run_container(network), pooled.run_container(network)
    assert pooled.pings(one, pooled.ip_of(two))


def devices_of(stage: Stage, network: str) -> list[str]:
    """The switch's ends of a network's ready ports."""
    neutron_id = stage.neutron_network(network).id
    ready = stage.neutron.network.ports(network_id=neutron_id, tags="kurier.role:ready")
    return [
        stage.machine.vsctl(
            "--columns=name", "--bare", "find", "Interface", f"external_ids:iface-id={port.id}"
        ).strip()
        for port in ready
    ]


def test_an_address_asked_for_at_once_comes_without_the_former_containers_group(
    pooled: Stage,
) -> None:
    """The port still cools, and in Neutron it may still wear what it was given."""
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    first = pooled.run_container(network, "--expose", "8082/tcp")
    address = pooled.ip_of(first)
    pooled.settled()
    before = pooled.neutron_port(first)
    assert len(before.security_group_ids) == 2
    pooled.remove_container(first)

    second = pooled.run_container(network, "--ip", address)

    pooled.settled()
    port = pooled.neutron_port(second)
    assert port.id == before.id
    assert len(port.security_group_ids) == 1


@contextmanager
def namespace(stage: Stage) -> Iterator[str]:
    """A network namespace that some process of the host holds; yields the process's id."""
    holder = stage.machine.popen(["unshare", "-n", "sleep", "600"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _namespace_of(holder.pid) != _namespace_of("self"), "it is apart", 10)
        yield str(holder.pid)
    finally:
        holder.kill()
        holder.wait(10)


def _namespace_of(process: object) -> str:
    return os.readlink(f"/proc/{process}/ns/net")


@pytest.mark.timeout(240)
def test_an_address_that_somebody_answers_for_is_not_handed_out(pooled: Stage) -> None:
    """Another process took the former container's device and speaks with its address: the port
    cools until that ends, whatever its time is.
    """
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    peer, first = pooled.run_container(network), pooled.run_container(network)
    address, device = pooled.ip_of(first), waiting_end(pooled, pooled.neutron_port(first).id)
    with namespace(pooled) as process:
        pooled.remove_container(first)
        pooled.machine.run(["ip", "link", "set", device, "netns", process])
        inside = ["nsenter", "-t", process, "-n", "ip"]
        pooled.machine.run([*inside, "address", "add", f"{address}/24", "dev", device])
        pooled.machine.run([*inside, "link", "set", device, "up"])
        time.sleep(3 * POOL["pool"]["cooling"])

        assert pooled.pings(peer, address)
        assert pool_of(pooled, network)["cooling"] == 1
        others = [pooled.run_container(network) for _ in range(3)]
        assert address not in map(pooled.ip_of, others)
    cooled(pooled, network)
    wait_until(lambda: pool_of(pooled, network)["coming"] == 0, "all are ready again", 60)
    heir = taker_of(pooled, network, address)
    assert pooled.pings(peer, pooled.ip_of(heir))


def waiting_end(stage: Stage, port_id: str) -> str:
    """The name that the sandbox's end of a port's pair has in the host."""
    find = ("--columns=name", "--bare", "find", "Interface", f"external_ids:iface-id={port_id}")
    device = stage.machine.vsctl(*find).strip()
    mark = f"external_ids:{PEER_MARK}"
    return stage.machine.vsctl("get", "Interface", device, mark).strip().strip('"')


def test_late_and_repeated_releases_harm_nobody(pooled: Stage) -> None:
    """The engine tells of the former container again, when the next one has the port already."""
    network = pooled.create_network("-o", "kurier.pool.min=1", "-o", "kurier.pool.wait=true")
    peer, first = pooled.run_container(network), pooled.run_container(network)
    address, endpoint = pooled.ip_of(first), pooled.endpoint(first)
    pooled.remove_container(first)
    cooled(pooled, network)
    heir = taker_of(pooled, network, address)
    both = {"NetworkID": endpoint["NetworkID"], "EndpointID": endpoint["EndpointID"]}
    range_ = pool_id_of(pooled, address)
    for _ in range(2):
        assert pooled.daemon.call("NetworkDriver.Leave", both)[0] == 200
        assert pooled.daemon.call("NetworkDriver.DeleteEndpoint", both)[0] == 200
        late = {"PoolID": range_, "Address": address}
        assert pooled.daemon.call("IpamDriver.ReleaseAddress", late)[0] == 200
    pooled.settled()

    assert pooled.pings(peer, address)
    assert pooled.neutron_port(heir).fixed_ips[0]["ip_address"] == address
    assert pooled.ip_of(pooled.run_container(network)) != address


def pool_id_of(stage: Stage, address: str) -> str:
    """The range that an address was given from, as the engine was told it."""
    asked = r'ReleaseAddress \{"PoolID":"(\w+)","Address":"' + re.escape(address)
    return str(re.findall(asked, stage.daemon.said())[-1])
