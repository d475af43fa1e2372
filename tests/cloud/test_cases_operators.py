# SPDX-License-Identifier: Apache-2.0
"""An operator is at the ports of running containers: in Neutron, and in the host's switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.pools import cooled, pool_of, ready

POOL: dict[str, dict[str, Any]] = {
    "pool": {"enabled": True, "min": 2, "max": 8, "batch": 4, "cooling": 1.0, "lag": 4.0},
    "reconcile": {"interval": 3600.0},
}
_AS_NEW = ("security_group_ids", "is_port_security_enabled", "allowed_address_pairs", "description")


def floating_ip(stage: Stage, network: str, port: Any) -> str:
    """A floating IP on a port, and all that an operator makes for it."""
    neutron = stage.neutron.network
    outside = stage.make_network(stage.cidr(), is_router_external=True)
    router = neutron.create_router(
        name=stage.name("router"), external_gateway_info={"network_id": outside.id}
    )
    stage.undo(lambda: neutron.delete_router(router.id))
    (subnet,) = stage.neutron_subnets(stage.neutron_network(network).id)
    neutron.add_interface_to_router(router.id, subnet=subnet.id)
    stage.undo(lambda: neutron.remove_interface_from_router(router.id, subnet=subnet.id))
    made = neutron.create_ip(
        floating_network_id=outside.id, port_id=port.id, project_id=stage.project
    )
    stage.undo(lambda: neutron.delete_ip(made.id))
    return str(made.id)


@pytest.mark.timeout(240)
def test_what_an_operator_set_on_a_port_ends_with_its_container(pooled: Stage) -> None:
    """Whatever it was: the next container has a port as new, or another port."""
    neutron = pooled.neutron.network
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    new = ready(pooled, network)[0]
    ops = pooled.make_group().id

    def a_group(port: Any) -> None:
        neutron.update_port(port.id, security_groups=[*port.security_group_ids, ops])

    def no_security(port: Any) -> None:
        neutron.update_port(port.id, security_groups=[], port_security_enabled=False)

    def address_pairs(port: Any) -> None:
        neutron.update_port(port.id, allowed_address_pairs=[{"ip_address": "10.2.0.200"}])

    def a_tag(port: Any) -> None:
        neutron.set_tags(port, [*port.tags, "billing:alice"])

    led: list[str] = []

    def an_address_outside(port: Any) -> None:
        led.append(floating_ip(pooled, network, port))

    changes: tuple[Callable[[Any], None], ...] = (
        a_group,
        no_security,
        address_pairs,
        a_tag,
        an_address_outside,
    )
    names = [pooled.run_container(network) for _ in changes]
    pooled.settled()
    ports = [pooled.neutron_port(name) for name in names]
    for change, port in zip(changes, ports, strict=True):
        change(port)

    pooled.remove_container(*names)
    cooled(pooled, network)
    pooled.settled()

    for port in ready(pooled, network):
        assert {field: port[field] for field in _AS_NEW} == {field: new[field] for field in _AS_NEW}
        assert set(port.tags) == set(new.tags)
    waiting = {port.id for port in ready(pooled, network)}
    kept = {change.__name__ for change, p in zip(changes, ports, strict=True) if p.id in waiting}
    assert kept <= {"a_tag"}
    assert neutron.get_ip(led[0]).port_id is None


def test_a_container_that_was_taken_out_of_the_switch_is_put_back(pooled: Stage) -> None:
    """At once, by the switch's own word: no pass comes for an hour."""
    network = pooled.create_network("-o", "kurier.pool.wait=true")
    name, peer = pooled.run_container(network), pooled.run_container(network)
    pooled.settled()
    device = pooled.device_of(name)
    address = pooled.ip_of(name)
    vsctl = pooled.machine.vsctl
    for done in (
        ("del-port", "br-int", device),
        ("remove", "Interface", device, "external_ids", "iface-id"),
    ):
        assert pooled.pings(peer, address)
        vsctl(*done)
        wait_until(lambda: pooled.answers(peer, address), f"it is reached after {done[0]}", 20)
    pooled.machine.run(["ip", "link", "set", device, "down"])
    assert not pooled.answers(peer, address)
    pooled.daemon.admin("/v1/reconcile", "POST")
    wait_until(lambda: pooled.answers(peer, address), "it is reached after the link was down", 20)
    waiting = pool_of(pooled, network)["ready"]
    for port in ready(pooled, network):
        vsctl("del-port", "br-int", vsctl(*_find(port.id)).strip())
    wait_until(lambda: pool_of(pooled, network)["ready"] == waiting, "ready ports are back", 30)
    assert pooled.daemon.admin("/v1/reconcile", "POST")["troubles"] == []


def _find(port_id: str) -> tuple[str, ...]:
    return ("--bare", "--columns=name", "find", "Interface", f"external_ids:iface-id={port_id}")


def test_what_only_people_can_mend_is_told_by_the_containers_name(pooled: Stage) -> None:
    neutron = pooled.neutron.network
    network = pooled.create_network()
    names = [pooled.run_container(network) for _ in range(3)]
    pooled.settled()
    disabled, gone, torn = names
    neutron.update_port(pooled.neutron_port(disabled).id, is_admin_state_up=False)
    neutron.delete_port(pooled.neutron_port(gone).id)
    pooled.machine.run(["ip", "link", "delete", pooled.device_of(torn)])
    for _ in range(2):
        pooled.daemon.admin("/v1/reconcile", "POST")

    told = {(one["whom"], one["kind"]) for one in pooled.daemon.admin()["troubles"]}
    assert told == {
        (f"container {disabled}", "cut-off"),
        (f"container {gone}", "port-gone"),
        (f"container {torn}", "cut-off"),
    }
    assert b'kurier_troubles{kind="cut-off"} 2.0' in pooled.daemon.admin("/metrics")
    doctor = pooled.daemon.kurier("doctor", check=False)
    assert doctor.returncode == 1
    for name in names:
        assert f"container {name}: Port " in doctor.stdout
    pooled.docker("restart", "-t", "0", *names)
    pooled.settled()
    for _ in range(2):
        pooled.daemon.admin("/v1/reconcile", "POST")
    assert pooled.daemon.admin()["troubles"] == []
    assert pooled.pings(gone, pooled.ip_of(torn))


def test_what_kurier_told_neutron_of_a_container_comes_back(pooled: Stage) -> None:
    neutron = pooled.neutron.network
    network = pooled.create_network()
    name, peer = pooled.run_container(network), pooled.run_container(network)
    pooled.settled()
    port = pooled.neutron_port(name)
    pooled.await_active(port)
    tags = set(port.tags)
    neutron.set_tags(pooled.neutron_port(name), ["env:prod"])
    neutron.update_port(port.id, device_id="", device_owner="", binding_host_id="")
    for _ in range(2):
        pooled.daemon.admin("/v1/reconcile", "POST")
    pooled.settled()

    again = pooled.neutron_port(name)
    assert set(again.tags) == {*tags, "env:prod"}
    fields = ("device_id", "device_owner", "binding_host_id", "name", "security_group_ids")
    assert {one: again[one] for one in fields} == {one: port[one] for one in fields}
    wait_until(lambda: pooled.answers(peer, pooled.ip_of(name)), "it is reached", 20)
