# SPDX-License-Identifier: Apache-2.0
"""Containers on Kurier's networks: addresses, several networks, names, Compose."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.agreement.engine import Engine, EngineAgrees
from tests.cloud.stage import IMAGE, Stage, wait_until
from tests.cloud.stage.compose import Compose


@pytest.fixture(scope="module")
def lan_range(lan: str, troupe: object) -> str:
    stage: Stage = troupe.ordinary()  # type: ignore[attr-defined]
    return str(stage.docker.inspect("network", lan)["IPAM"]["Config"][0]["Subnet"])


def test_two_containers_talk(stage: Stage, lan: str) -> None:
    one, two = stage.run_container(lan), stage.run_container(lan)
    stage.serve(two, 80)

    assert stage.pings(one, stage.ip_of(two))
    assert stage.fetches(one, stage.ip_of(two), 80)


def test_start_and_removal_leave_nothing(stage: Stage, lan: str) -> None:
    with stage.unchanged():
        container = stage.run_container(lan)
        stage.remove_container(container)


def test_removal_right_after_the_start_leaves_nothing(stage: Stage, lan: str) -> None:
    with stage.unchanged():
        stage.docker("run", "--rm", "--network", lan, IMAGE, "true")


def test_operators_see_whose_port_it_is(stage: Stage, lan: str) -> None:
    container = stage.run_container(lan, "--hostname", "Web.Example")
    stage.settled()

    port = stage.neutron_port(container)

    assert port.name == container
    assert port.device_id == stage.docker.inspect(container)["Id"]
    assert port.device_owner == "compute:kuryr"
    assert port.binding_host_id == stage.machine.hostname
    assert port.dns_name == "web"
    assert container in port.description
    stage.await_active(port)
    endpoint = stage.endpoint(container)["EndpointID"]
    assert {endpoint[:32], endpoint[32:]} <= set(port.tags)


def test_address_and_mac_are_neutrons(stage: Stage, lan: str, lan_range: str) -> None:
    container = stage.run_container(lan)

    port = stage.neutron_port(container)
    seen = stage.exec(container, "ip", "addr", "show", "eth0")
    assert ip_address(stage.ip_of(container)) in ip_network(lan_range)
    assert f"{port.fixed_ips[0]['ip_address']}/24" in seen
    assert port.mac_address in seen


def test_address_asked_for_is_given(stage: Stage, lan: str, lan_range: str) -> None:
    wanted = str(ip_network(lan_range)[199])

    container = stage.run_container(lan, "--ip", wanted)

    assert stage.ip_of(container) == wanted
    assert stage.neutron_port(container).fixed_ips[0]["ip_address"] == wanted


def test_address_asked_for_is_free_again_at_once(stage: Stage, lan: str, lan_range: str) -> None:
    wanted = str(ip_network(lan_range)[198])
    for _ in range(3):
        container = stage.run_container(lan, "--ip", wanted)
        stage.remove_container(container)

    assert stage.ip_of(stage.run_container(lan, "--ip", wanted)) == wanted


def test_mac_address_asked_for_is_given(stage: Stage, lan: str, lan_range: str) -> None:
    mac, wanted = "02:42:ac:de:48:01", str(ip_network(lan_range)[197])

    container = stage.run_container(lan, "--mac-address", mac, "--ip", wanted)
    other = stage.run_container(lan, "--mac-address", "02:42:ac:de:48:02")
    peer = stage.run_container(lan)

    assert stage.neutron_port(container).mac_address == mac
    assert mac in stage.exec(container, "ip", "link", "show", "eth0")
    assert stage.neutron_port(other).mac_address == "02:42:ac:de:48:02"
    assert stage.pings(peer, wanted)
    assert stage.pings(peer, stage.ip_of(other))


def test_restart_keeps_the_network(stage: Stage, lan: str) -> None:
    container, peer = stage.run_container(lan), stage.run_container(lan)

    stage.docker("restart", "-t", "1", container)

    assert stage.pings(peer, stage.ip_of(container))


def test_network_is_connected_to_and_disconnected_from_a_running_container(
    stage: Stage, lan: str
) -> None:
    second = stage.create_network()
    container = stage.run_container(lan)
    near, far = stage.run_container(lan), stage.run_container(second)

    with stage.unchanged():
        stage.docker("network", "connect", second, container)
        assert stage.pings(container, stage.ip_of(far))
        assert stage.pings(container, stage.ip_of(near))
        stage.docker("network", "disconnect", second, container)

    unreached = stage.docker.attempt("exec", container, "ping", "-c1", "-W1", stage.ip_of(far))
    assert unreached.returncode != 0
    assert stage.pings(container, stage.ip_of(near))


def test_bridge_network_beside_ours_in_both_orders(stage: Stage, lan: str) -> None:
    bridge = stage.name("bridge")
    stage.undo(lambda: stage.docker("network", "rm", bridge, check=False))
    stage.docker("network", "create", "-d", "bridge", bridge)
    first, second = stage.run_container(lan), stage.run_container(bridge)
    peer, neighbour = stage.run_container(lan), stage.run_container(bridge)

    stage.docker("network", "connect", bridge, first)
    stage.docker("network", "connect", lan, second)

    for container in (first, second):
        assert stage.pings(container, stage.ip_of(peer))
        assert stage.pings(container, stage.ip_of(neighbour))
    assert "docker_gwbridge" not in stage.docker("network", "ls")


def test_names_and_aliases_are_resolved(stage: Stage, lan: str) -> None:
    served = stage.run_container(lan, "--network-alias", "backend")
    client = stage.run_container(lan)

    assert stage.pings(client, served)
    assert stage.ip_of(served) in stage.exec(client, "nslookup", "backend", check=False)


def test_endpoint_tells_its_port_in_neutron(stage: Stage, lan: str) -> None:
    container = stage.run_container(lan)

    rows = [row for row in stage.daemon.admin("/v1/ports") if row["network"]]

    assert stage.neutron_port(container).id in [row["port_id"] for row in rows]


def test_compose_up_and_down(stage: Stage, compose: Compose, tmp_path: Path) -> None:
    cidr = stage.cidr()
    file = tmp_path / "compose.yaml"
    file.write_text(
        f"""
services:
  web:
    image: {IMAGE}
    command: httpd -f -p 80 -h /www
    expose: ["80"]
    networks: [lan]
  client:
    image: {IMAGE}
    command: sleep infinity
    networks:
      lan: {{ipv4_address: {cidr[50]}}}
networks:
  lan:
    driver: {stage.driver}
    ipam:
      driver: {stage.driver}
      config: [{{subnet: {cidr}}}]
"""
    )
    project = ("-p", stage.name("compose"), "-f", str(file))
    inside = (*project, "exec", "-T", "client")

    with stage.unchanged():
        compose(*project, "up", "-d")
        wait_until(
            lambda: "hello" in compose(*inside, "wget", "-qO-", "http://web/"),
            "the client fetches a page from web",
        )
        assert str(cidr[50]) in compose(*inside, "ip", "addr")
        compose(*project, "down", "-t", "1")


class UserOfDocker:
    """Docker's own client, and what the daemon wrote down of the engine's calls."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._names: dict[str, str] = {}
        self._read = stage.daemon.log.stat().st_size

    async def create_network(self, name: str) -> None:
        self._names[name] = self._stage.create_network()

    async def remove_network(self, name: str) -> None:
        self._stage.remove_network(self._names[name])

    async def run(self, name: str, network: str) -> None:
        self._names[name] = self._stage.run_container(self._names[network])

    async def connect(self, name: str, network: str) -> None:
        self._stage.docker("network", "connect", self._names[network], self._names[name])

    async def disconnect(self, name: str, network: str) -> None:
        self._stage.docker("network", "disconnect", self._names[network], self._names[name])

    async def restart(self, name: str) -> None:
        self._stage.docker("restart", "-t", "0", self._names[name])

    async def remove(self, name: str) -> None:
        self._stage.remove_container(self._names[name])

    def asked(self) -> list[str]:
        with self._stage.daemon.log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        self._read += len(text)
        return [one.decode() for one in _ANSWERED.findall(text)]


_ANSWERED = re.compile(rb" INFO +\S+: ((?:NetworkDriver|IpamDriver)\.\w+) .*code=ok$", re.MULTILINE)


class TestDocker(EngineAgrees):
    """What the engine in memory does as well."""

    @pytest.fixture
    def engine(self, stage: Stage) -> Engine:
        return UserOfDocker(stage)
