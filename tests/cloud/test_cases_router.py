# SPDX-License-Identifier: Apache-2.0
"""An address that changes hands while a peer on another network speaks to it through a router."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import IO

import pytest

from tests.cloud.stage import Stage
from tests.cloud.stage.inside import inside
from tests.cloud.stage.pools import cooled, taker_of

POOL = {
    "pool": {"enabled": True, "min": 1, "max": 6, "batch": 4, "cooling": 2.0, "lag": 4.0},
    "reconcile": {"interval": 3600.0},
}
_ASKER = """
import socket, sys, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 9001))
udp.settimeout(0.05)
while True:
    udp.sendto(b"who", (sys.argv[1], 9000))
    try:
        print(udp.recv(100).decode(), flush=True)
    except OSError:
        continue
    time.sleep(0.05)
"""
_ANSWERER = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 9000))
while True:
    udp.sendto(sys.argv[1].encode(), udp.recvfrom(100)[1])
"""
_SECONDS = 15
"""What tells an address that works from one that does not; a reply is there within one."""


@dataclass(frozen=True)
class Scene:
    """A peer behind a router, and the network whose addresses it speaks to."""

    stage: Stage
    network: str
    cidr: IPv4Network
    peer: str

    @contextmanager
    def asking(self, address: str) -> Iterator[IO[bytes]]:
        """The peer asks over one UDP flow, without end; yields the names of those who answer."""
        with inside(self.stage, self.peer, _ASKER, address) as heard:
            yield heard

    def first_reply(self, heard: IO[bytes], container: str, address: str) -> float:
        """Seconds until the peer hears the container, by ping and in its flow."""
        began = time.monotonic()
        with inside(self.stage, container, _ANSWERER, container):
            assert self.stage.pings(self.peer, address)
            for line in heard:
                seconds = time.monotonic() - began
                assert seconds < _SECONDS, "the flow does not reach the container"
                if line.strip().decode() == container:
                    return seconds
        raise AssertionError("the peer stopped asking")


@pytest.fixture
def scene(pooled: Stage) -> Scene:
    """Two Docker networks, joined by a Neutron router at their gateways."""
    cidr = pooled.cidr()
    ours = pooled.create_network("-o", "kurier.pool.wait=true", subnet=cidr)
    theirs = pooled.create_network("-o", "kurier.pool.max=0")
    join(pooled, ours, theirs)
    return Scene(pooled, ours, cidr, pooled.run_container(theirs))


def join(stage: Stage, *networks: str) -> None:
    """A router between Docker networks, as an operator makes it."""
    neutron = stage.neutron.network
    router = neutron.create_router(name=stage.name("router"))
    stage.undo(lambda: neutron.delete_router(router.id))
    for network in networks:
        (subnet,) = stage.neutron_subnets(stage.neutron_network(network).id)
        neutron.add_interface_to_router(router.id, subnet=subnet.id)
        stage.undo(
            lambda subnet=subnet: neutron.remove_interface_from_router(  # type: ignore[misc]
                router.id, subnet=subnet.id
            )
        )


@pytest.mark.timeout(240)
def test_the_same_port_answers_for_its_next_container(scene: Scene) -> None:
    stage = scene.stage
    first = stage.run_container(scene.network)
    address = stage.ip_of(first)
    port = stage.neutron_port(first)
    with scene.asking(address) as heard:
        before = scene.first_reply(heard, first, address)
        stage.remove_container(first)
        cooled(stage, scene.network)
        heir = taker_of(stage, scene.network, address)
        after = scene.first_reply(heard, heir, address)
    assert stage.neutron_port(heir).id == port.id
    print(f"same port: first reply {before:.2f} s, after reuse {after:.2f} s")


@pytest.mark.timeout(240)
def test_a_port_whose_mac_was_changed_answers(scene: Scene) -> None:
    """The next container asks for a recycled address with a MAC address of its own."""
    stage, mac = scene.stage, "02:aa:bb:00:00:07"
    first = stage.run_container(scene.network)
    address = stage.ip_of(first)
    with scene.asking(address) as heard:
        scene.first_reply(heard, first, address)
        stage.remove_container(first)
        options = ("--ip", address, "--mac-address", mac)
        heir = stage.run_container(scene.network, *options)
        after = scene.first_reply(heard, heir, address)
    assert stage.neutron_port(heir).mac_address == mac
    print(f"--mac-address: first reply {after:.2f} s")


@pytest.mark.timeout(240)
def test_a_port_deleted_and_made_again_at_the_same_address_answers(scene: Scene) -> None:
    stage, address = scene.stage, str(scene.cidr[99])
    first = stage.run_container(scene.network, "--ip", address)
    port = stage.neutron_port(first)
    with scene.asking(address) as heard:
        scene.first_reply(heard, first, address)
        stage.remove_container(first)
        heir = stage.run_container(scene.network, "--ip", address)
        after = scene.first_reply(heard, heir, address)
    assert stage.neutron_port(heir).id != port.id
    print(f"deleted and made again: first reply {after:.2f} s")
