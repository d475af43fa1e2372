# SPDX-License-Identifier: Apache-2.0
"""A port that was given back: nothing of its former container reaches the next one."""

from __future__ import annotations

import subprocess
import time

from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.inside import inside
from tests.cloud.stage.pools import cooled, pool_of, taker_of

POOL = {
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
