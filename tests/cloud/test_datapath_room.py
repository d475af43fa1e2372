# SPDX-License-Identifier: Apache-2.0
"""The datapath against a real Open vSwitch and real veth pairs, in a namespace of their own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pyroute2.ethtool.ioctl import IoctlEthtool

from kurier.datapath import OpenVSwitchDatapath
from kurier.model.errors import Code, KurierError
from kurier.model.ids import PortId, PortKey
from kurier.model.wiring import End, Plug, Plugged, SwitchFacts, WiredBy
from tests.agreement.switch import Bystander, SwitchAgrees
from tests.cloud.datapath_switch import (
    BRIDGE,
    Switch,
    move,
    private_switch,
    run,
    sandboxes,
    talk_tcp,
)
from tests.cloud.stage import wait_until

PLUG = Plug(
    key=PortKey("11111111111111111111111111111111"),
    port_id=PortId("6b5d7a3c-0000-4000-8000-000000000001"),
    mac="fa:16:3e:00:00:01",
    mtu=1442,
    device="ktap1",
    peer="ktip1",
    vm_id="endpoint-1",
)
OTHER = replace(
    PLUG,
    key=PortKey("22222222222222222222222222222222"),
    port_id=PortId("6b5d7a3c-0000-4000-8000-000000000002"),
    mac="fa:16:3e:00:00:02",
    device="ktap2",
    peer="ktip2",
)

SANDBOX = "kt-box"
THIRD = replace(OTHER, port_id=PortId("third"), device="ktap3", peer="ktip3")


@pytest.fixture(scope="module")
def shared_switch() -> Iterator[Switch]:
    with private_switch() as switch:
        yield switch


@pytest.fixture
def switch(shared_switch: Switch) -> Iterator[Switch]:
    """The switch, and its bridge emptied after the test."""
    yield shared_switch
    for port in shared_switch.ports():
        shared_switch.vsctl("del-port", port)
    for device in ("ktap1", "ktap2", "ktip1", "ktip2", "ktap3"):
        if device in devices():
            remove(device)
    shared_switch.vsctl("clear", "Open_vSwitch", ".", "external_ids")


@pytest_asyncio.fixture
async def datapath(switch: Switch) -> AsyncIterator[OpenVSwitchDatapath]:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE)
    yield datapath
    await datapath.close()


def remove(device: str) -> None:
    """Removes a link; one whose namespace just ended goes by itself meanwhile."""
    subprocess.run(("ip", "link", "del", device), capture_output=True, check=False)
    assert device not in devices(), f"{device} cannot be removed"


def devices() -> set[str]:
    return {str(link["ifname"]) for link in json.loads(run("ip", "-json", "link"))}


def link(device: str) -> dict[str, object]:
    (found,) = json.loads(run("ip", "-json", "link", "show", device))
    return {
        "index": found["ifindex"],
        "mac": found["address"],
        "mtu": found["mtu"],
        "up": "UP" in found["flags"],
    }


def tx_checksum(device: str) -> bool:
    ethtool = IoctlEthtool(device)
    try:
        return bool(ethtool.get_offload_flags()["tx-checksumming"])
    finally:
        ethtool.close()


class Hands:
    """Of those who use the host besides: an operator's, an engine's."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def rows(self) -> set[str]:
        return set(self._switch.ports())

    def links(self) -> set[str]:
        return {one for one in devices() if one.startswith(("tap0", "kur0"))}

    def lose_row(self, device: str) -> None:
        self._switch.vsctl("del-port", device)

    def lose_link(self, device: str) -> None:
        run("ip", "link", "del", device)

    def enter(self, peer: str) -> None:
        run("ip", "link", "set", peer, "netns", SANDBOX)

    def leave(self, peer: str) -> None:
        run("ip", "-n", SANDBOX, "link", "set", peer, "netns", str(os.getpid()))

    def end_sandbox(self) -> None:
        """The kernel takes its devices away in its own time."""
        run("ip", "netns", "del", SANDBOX)
        run("ip", "netns", "add", SANDBOX)
        wait_until(lambda: not self.links(), "its devices are gone")

    def inside(self) -> set[str]:
        found = json.loads(run("ip", "-n", SANDBOX, "-json", "link"))
        return {str(one["ifname"]) for one in found} - {"lo"}


class TestSwitch(SwitchAgrees):
    """What the switch in memory does as well."""

    @pytest.fixture
    def others(self, switch: Switch) -> Iterator[Bystander]:
        with sandboxes(SANDBOX):
            yield Hands(switch)
        for device in Hands(switch).links():
            remove(device)


async def refused(code: Code, call: object) -> str:
    """The sentence with which an awaitable is refused."""
    with pytest.raises(KurierError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code is code
    return caught.value.sentence


# ── facts ──


async def test_facts_say_what_the_switch_says(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    switch.vsctl("set", "Open_vSwitch", ".", "external_ids:hostname=node-7")
    assert await datapath.facts() == SwitchFacts("node-7", BRIDGE, True, WiredBy.AGENT)


async def test_a_chassis_takes_ovns_word(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    switch.vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-remote=tcp\\:10.99.0.9\\:6642")
    assert (await datapath.facts()).wired_by is WiredBy.OVN


async def test_without_a_host_name_the_machines_own_counts(datapath: OpenVSwitchDatapath) -> None:
    assert (await datapath.facts()).hostname == os.uname().nodename


async def test_a_missing_bridge_is_named_beside_those_that_exist(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, "br-none")
    sentence = await refused(Code.SWITCH_ERROR, datapath.facts())
    assert "br-none" in sentence
    assert BRIDGE in sentence
    await datapath.close()


# ── plug ──


async def test_plug_makes_the_pair_and_the_port(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    await datapath.plug(PLUG)

    assert switch.ports() == ["ktap1"]
    assert switch.column("Interface", "ktap1", "external_ids") == {
        "iface-id": PLUG.port_id,
        "iface-status": "active",
        "attached-mac": PLUG.mac,
        "vm-uuid": PLUG.vm_id,
        "kurier-lease": PLUG.key,
        "kurier-peer": PLUG.peer,
    }
    assert link("ktap1").items() >= {"mtu": 1442, "up": True}.items()
    assert link("ktip1").items() >= {"mtu": 1442, "up": False, "mac": PLUG.mac}.items()


async def test_userspace_ports_leave_no_checksum_open(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    assert (tx_checksum("ktap1"), tx_checksum("ktip1")) == (False, False)


async def test_kernel_ports_keep_their_checksum_offload(switch: Switch) -> None:
    switch.vsctl("--no-wait", "add-br", "kt-kernel")
    datapath = OpenVSwitchDatapath(switch.remote, "kt-kernel")
    try:
        await datapath.plug(PLUG)
        assert (tx_checksum("ktap1"), tx_checksum("ktip1")) == (True, True)
        await datapath.unplug(PLUG.device)
    finally:
        await datapath.close()
        switch.vsctl("--no-wait", "del-br", "kt-kernel")


async def test_the_host_is_deaf_to_what_a_port_sends(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    assert "NOARP" in run("ip", "link", "show", "ktap1")
    assert run("cat", "/proc/sys/net/ipv4/conf/ktap1/rp_filter") == "1"
    assert run("cat", "/proc/sys/net/ipv6/conf/ktap1/disable_ipv6") == "1"


async def test_the_agents_ports_start_isolated(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    await datapath.plug(PLUG)
    assert switch.column("Port", "ktap1", "tag") == "4095"


async def test_ovns_ports_have_no_tag(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    switch.vsctl("set", "Open_vSwitch", ".", "external_ids:ovn-remote=tcp\\:10.99.0.9\\:6642")
    await datapath.plug(PLUG)
    assert switch.column("Port", "ktap1", "tag") == "['set', []]"


async def test_two_sandboxes_speak_tcp(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, wired_by=WiredBy.OVN)
    with sandboxes("kt-a", "kt-b"):
        await datapath.plug(PLUG)
        await datapath.plug(OTHER)
        move("ktip1", "kt-a", "10.99.7.1/24")
        move("ktip2", "kt-b", "10.99.7.2/24")
        talk_tcp("kt-a", "kt-b", "10.99.7.1")
        await datapath.unplug("ktap1")
        await datapath.unplug("ktap2")
    await datapath.close()


async def test_repeating_changes_nothing(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    before = link("ktap1"), link("ktip1")
    await asyncio.gather(*(datapath.plug(PLUG) for _ in range(8)))
    assert (link("ktap1"), link("ktip1")) == before


async def test_plugs_at_once_all_succeed(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    plugs = [replace(OTHER, device=f"ktm{i}", peer=f"ktn{i}") for i in range(20)]
    await asyncio.gather(*map(datapath.plug, plugs))
    assert set(switch.ports()) == {plug.device for plug in plugs}
    await asyncio.gather(*(datapath.unplug(plug.device) for plug in plugs))
    assert switch.ports() == []


async def test_a_half_made_pair_is_completed(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    run("ip", "link", "add", "ktap1", "type", "veth", "peer", "name", "ktip1")
    index = link("ktap1")["index"]
    await datapath.plug(PLUG)
    assert link("ktap1") == link("ktap1") | {"index": index, "mtu": 1442, "up": True}
    assert link("ktip1").items() >= {"mtu": 1442, "mac": PLUG.mac}.items()
    assert tx_checksum("ktip1") is False
    assert switch.ports() == ["ktap1"]


async def test_a_pair_remade_under_its_old_name_is_alive(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, wired_by=WiredBy.OVN)
    with sandboxes("kt-a", "kt-b"):
        await datapath.plug(PLUG)
        run("ip", "link", "del", "ktap1")
        await datapath.plug(PLUG)
        await datapath.plug(OTHER)
        move("ktip1", "kt-a", "10.99.7.1/24")
        move("ktip2", "kt-b", "10.99.7.2/24")
        talk_tcp("kt-a", "kt-b", "10.99.7.1")
        await datapath.unplug("ktap1")
        await datapath.unplug("ktap2")
    await datapath.close()


async def test_a_lost_port_is_put_back_without_touching_the_sandbox(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    with sandboxes("kt-a"):
        await datapath.plug(PLUG)
        move("ktip1", "kt-a", "10.99.7.1/24")
        switch.vsctl("del-port", "ktap1")
        await datapath.plug(PLUG)
        assert switch.ports() == ["ktap1"]
        assert "10.99.7.1" in run("ip", "-n", "kt-a", "addr", "show", "ktip1")


# ── failures on the way ──


async def test_a_missing_bridge_leaves_nothing(switch: Switch) -> None:
    before = devices()
    datapath = OpenVSwitchDatapath(switch.remote, "br-none")
    await refused(Code.SWITCH_ERROR, datapath.plug(PLUG))
    assert devices() == before
    await datapath.close()


async def test_a_taken_peer_name_leaves_nothing(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    run("ip", "link", "add", "ktip1", "type", "bridge")
    sentence = await refused(Code.SWITCH_ERROR, datapath.plug(PLUG))
    assert "File exists" in sentence
    assert "ktap1" not in devices()
    assert switch.ports() == []


async def test_a_port_of_another_lease_is_left_alone(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    await datapath.plug(replace(OTHER, device="ktap1"))
    before = switch.column("Interface", "ktap1", "external_ids")
    await refused(Code.SWITCH_ERROR, datapath.plug(PLUG))
    assert switch.column("Interface", "ktap1", "external_ids") == before
    assert {"ktap1", "ktip2"} <= devices()


async def test_devices_that_are_no_pair_are_left_alone(datapath: OpenVSwitchDatapath) -> None:
    run("ip", "link", "add", "ktap1", "type", "veth", "peer", "name", "ktap2")
    run("ip", "link", "add", "ktip1", "type", "bridge")
    sentence = await refused(Code.SWITCH_ERROR, datapath.plug(PLUG))
    assert "ktip1" in sentence
    assert {"ktap1", "ktap2", "ktip1"} <= devices()


async def test_a_database_that_hangs_leaves_no_pair_behind(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, timeout=0.5)
    await datapath.ping()
    with switch.frozen_database():
        sentence = await refused(Code.SWITCH_AWAY, datapath.plug(PLUG))
        assert switch.remote in sentence
        assert not devices() & {"ktap1", "ktip1"}
        await refused(Code.SWITCH_AWAY, datapath.ping())
    await datapath.unplug(PLUG.device)
    assert switch.ports() == []
    await datapath.plug(PLUG)
    await datapath.close()


async def test_no_device_is_remade_while_the_switch_may_hold_the_old_one(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, timeout=0.5)
    await datapath.plug(PLUG)
    run("ip", "link", "del", "ktap1")
    switch.stop_daemon()
    try:
        assert "ovs-vswitchd" in await refused(Code.SWITCH_ERROR, datapath.plug(PLUG))
        assert "ktap1" not in devices()
    finally:
        switch.start_daemon()
    await datapath.close()


async def test_what_the_kernel_refuses_is_said(datapath: OpenVSwitchDatapath) -> None:
    sentence = await refused(Code.SWITCH_ERROR, datapath.plug(replace(PLUG, mtu=70000)))
    assert "ktap1" in sentence
    assert not devices() & {"ktap1", "ktip1"}


# ── unplug ──


async def test_unplug_takes_all_away(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    await datapath.unplug(PLUG.device)
    assert switch.ports() == []
    assert not devices() & {"ktap1", "ktip1"}


@pytest.mark.parametrize("gone", ["nothing", "link", "port", "both"])
async def test_what_is_gone_is_gone(
    switch: Switch, datapath: OpenVSwitchDatapath, gone: str
) -> None:
    await datapath.plug(PLUG)
    if gone in {"link", "both"}:
        run("ip", "link", "del", "ktap1")
    if gone in {"port", "both"}:
        switch.vsctl("del-port", "ktap1")
    await datapath.unplug(PLUG.device)
    await datapath.unplug(PLUG.device)
    assert switch.ports() == []
    assert not devices() & {"ktap1", "ktip1"}


async def test_unplug_reaches_into_the_sandbox(datapath: OpenVSwitchDatapath) -> None:
    with sandboxes("kt-a"):
        await datapath.plug(PLUG)
        move("ktip1", "kt-a", "10.99.7.1/24")
        await datapath.unplug(PLUG.device)
        assert "ktip1" not in run("ip", "-n", "kt-a", "link")


async def test_somebody_elses_port_stays(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    run("ip", "link", "add", "ktap1", "type", "veth", "peer", "name", "ktip1")
    switch.vsctl("add-port", BRIDGE, "ktap1")
    await refused(Code.SWITCH_ERROR, datapath.unplug("ktap1"))
    assert switch.ports() == ["ktap1"]
    assert {"ktap1", "ktip1"} <= devices()


async def test_a_device_that_is_no_veth_stays(datapath: OpenVSwitchDatapath) -> None:
    run("ip", "link", "add", "ktap1", "type", "bridge")
    await refused(Code.SWITCH_ERROR, datapath.unplug("ktap1"))
    assert "ktap1" in devices()


# ── many at once ──


def _transactions(switch: Switch) -> int:
    """Transactions that wrote to the database's file so far: two lines each, a head and a body."""
    return (switch.folder / "conf.db").read_bytes().count(b"OVSDB JSON ")


async def test_many_are_plugged_by_one_transaction(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    await datapath.plug(PLUG)  # one stands already
    switch.stop_daemon()  # which would write too
    try:
        before = _transactions(switch)
        await datapath.plug_all([PLUG, OTHER, THIRD])
        assert _transactions(switch) == before + 1
        await datapath.plug_all([PLUG, OTHER, THIRD])
        await datapath.plug_all([])
        assert _transactions(switch) == before + 1
    finally:
        switch.start_daemon()
    assert switch.ports() == ["ktap1", "ktap2", "ktap3"]
    for plug in (PLUG, OTHER, THIRD):
        ids = switch.column("Interface", plug.device, "external_ids")
        assert isinstance(ids, dict)
        assert ids["iface-id"] == plug.port_id
        assert link(plug.device).items() >= {"mtu": 1442, "up": True}.items()
        assert link(plug.peer).items() >= {"mtu": 1442, "up": False, "mac": plug.mac}.items()
        assert tx_checksum(plug.peer) is False
        await datapath.unplug(plug.device)


async def test_many_with_one_refused_are_none(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    switch.vsctl("--no-wait", "add-port", BRIDGE, "ktap3")
    await refused(Code.SWITCH_ERROR, datapath.plug_all([PLUG, OTHER, THIRD]))
    assert switch.ports() == ["ktap3"]
    assert not devices() & {"ktap1", "ktip1", "ktap2", "ktip2", "ktip3"}


async def test_many_with_one_that_the_kernel_refuses_are_none(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    run("ip", "link", "add", "ktip2", "type", "bridge")
    await refused(Code.SWITCH_ERROR, datapath.plug_all([PLUG, OTHER]))
    assert switch.ports() == []
    assert devices() & {"ktap1", "ktip1", "ktap2", "ktip2"} == {"ktip2"}


async def test_many_that_overlap_do_not_wait_for_each_other(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    many = [replace(PLUG, device=f"kta{n}", peer=f"kti{n}") for n in range(12)]
    await asyncio.gather(datapath.plug_all(many), datapath.plug_all(many[::-1]))
    assert switch.ports() == sorted(plug.device for plug in many)
    await asyncio.gather(*(datapath.unplug(plug.device) for plug in many))
    assert not {device for device in devices() if device.startswith(("kta", "kti"))}


async def test_an_end_waits_until_it_moves_away(datapath: OpenVSwitchDatapath) -> None:
    assert datapath.end_waits("ktip1") is False
    await datapath.plug(PLUG)
    assert datapath.end_waits("ktip1") is True
    with sandboxes("kt-a"):
        move("ktip1", "kt-a", "10.99.7.1/24")
        assert datapath.end_waits("ktip1") is False


# ── back from a sandbox ──


def whole_link(device: str) -> dict[str, object]:
    """All that the kernel says of a device; but a queue is only chosen at the first rise."""
    (found,) = json.loads(run("ip", "-json", "-details", "address", "show", device))
    del found["qdisc"]
    return dict(found)


def settings(device: str) -> dict[str, str]:
    """The device's own sysctls."""
    return {
        f"{family}/{file.name}": file.read_text()
        for family in ("ipv4", "ipv6")
        for file in sorted(Path(f"/proc/sys/net/{family}/conf/{device}").iterdir())
        if file.name != "stable_secret"
    }


async def test_an_end_that_comes_back_is_as_new(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    made, sysctls = whole_link("ktip1"), settings("ktip1")
    with sandboxes("kt-a"):
        move("ktip1", "kt-a", "10.99.7.1/24")
        inside = ("ip", "-n", "kt-a", "link", "set", "ktip1")
        run(*inside, "promisc", "on", "allmulticast", "on", "arp", "off", "multicast", "off")
        run(*inside, "mtu", "1300", "address", "fa:16:3e:00:00:77", "txqueuelen", "7", "alias", "x")
        run("ip", "-n", "kt-a", "link", "property", "add", "dev", "ktip1", "altname", "kt-other")
        run("ip", "netns", "exec", "kt-a", "ethtool", "-K", "ktip1", "tx", "on")
        run(*inside, "netns", str(os.getpid()))
    run("ip", "link", "set", "ktip1", "name", "kt-old")
    # …and a host that is quick to configure what it sees:
    run("ip", "link", "set", "kt-old", "up")
    for address in ("10.99.7.1/24", "10.99.8.1/24", "10.99.7.2/24", "fd99::1/64"):
        run("ip", "address", "add", address, "dev", "kt-old")
    run("ip", "route", "add", "10.99.9.0/24", "dev", "kt-old")
    run("ip", "-6", "route", "add", "fd98::/64", "dev", "kt-old")

    assert await datapath.reset(PLUG) is End.WAITING

    assert whole_link("ktip1") == made
    assert settings("ktip1") == sysctls
    assert tx_checksum("ktip1") is False
    assert "ktip1" not in run("ip", "route", "show", "table", "all")
    assert "ktip1" not in run("ip", "-6", "route", "show", "table", "all")
    with sandboxes("kt-a", "kt-b"):
        await datapath.plug(OTHER)
        move("ktip1", "kt-a", "10.99.7.1/24")
        move("ktip2", "kt-b", "10.99.7.2/24")
        for plug in (PLUG, OTHER):
            # What the agent would do, which is not here.
            run("ovs-vsctl", f"--db={datapath._remote}", "clear", "Port", plug.device, "tag")
        talk_tcp("kt-a", "kt-b", "10.99.7.1")


async def test_an_end_that_never_left_is_reset_too(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    made, sysctls = whole_link("ktip1"), settings("ktip1")
    assert await datapath.reset(PLUG) is End.WAITING
    assert await datapath.reset(PLUG) is End.WAITING
    assert (whole_link("ktip1"), settings("ktip1")) == (made, sysctls)


async def test_an_end_in_a_sandbox_is_left_alone(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    with sandboxes("kt-a"):
        move("ktip1", "kt-a", "10.99.7.1/24")
        assert await datapath.reset(PLUG) is End.AWAY
        assert "10.99.7.1/24" in run("ip", "-n", "kt-a", "address", "show", "dev", "ktip1")


async def test_an_end_that_went_with_its_sandbox_is_gone(datapath: OpenVSwitchDatapath) -> None:
    assert await datapath.reset(PLUG) is End.GONE
    await datapath.plug(PLUG)
    run("ip", "link", "del", "ktip1")
    assert await datapath.reset(PLUG) is End.GONE


async def test_an_end_whose_name_is_taken_is_refused(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    run("ip", "link", "set", "ktip1", "name", "kt-old")
    run("ip", "link", "add", "ktip1", "type", "bridge")
    assert "ktip1" in await refused(Code.SWITCH_ERROR, datapath.reset(PLUG))
    assert "kt-old" in devices()


async def test_another_kind_of_device_is_not_reset(datapath: OpenVSwitchDatapath) -> None:
    run("ip", "link", "add", "ktap1", "type", "bridge")
    await refused(Code.SWITCH_ERROR, datapath.reset(PLUG))


# ── waiting for the switch's word ──


async def test_ovns_word_ends_the_wait(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, wired_by=WiredBy.OVN)
    await datapath.plug(PLUG)
    waits = [asyncio.create_task(datapath.wait_wired("ktap1", 30)) for _ in range(3)]
    await datapath.ping()
    assert not any(wait.done() for wait in waits)
    switch.vsctl("set", "Interface", "ktap1", "external_ids:ovn-installed=true")
    assert await asyncio.gather(*waits) == [True, True, True]
    assert await datapath.wait_wired("ktap1", 30) is True
    await datapath.close()


async def test_the_agents_tag_ends_the_wait(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    wait = asyncio.create_task(datapath.wait_wired("ktap1", 30))
    await datapath.ping()
    assert not wait.done()
    switch.vsctl("set", "Port", "ktap1", "tag=7")
    assert await wait is True


async def test_a_word_that_does_not_come_is_a_no(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    assert await datapath.wait_wired("ktap1", 0.1) is False
    assert len(datapath._waiters) == 0


async def test_a_cancelled_wait_leaves_no_watcher(datapath: OpenVSwitchDatapath) -> None:
    await datapath.plug(PLUG)
    wait = asyncio.create_task(datapath.wait_wired("ktap1", 30))
    await datapath.ping()
    assert len(datapath._waiters) == 1
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    assert len(datapath._waiters) == 0


async def test_a_port_that_the_switch_cannot_open_is_said_at_once(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    wait = asyncio.create_task(datapath.wait_wired("ktap1", 30))
    await datapath.ping()
    switch.vsctl("--no-wait", "add-port", BRIDGE, "ktap1")
    assert "No such device" in await refused(Code.SWITCH_ERROR, wait)


async def test_a_wait_outlives_a_restart_of_the_database(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, wired_by=WiredBy.OVN)
    await datapath.plug(PLUG)
    wait = asyncio.create_task(datapath.wait_wired("ktap1", 60))
    await datapath.ping()
    switch.stop_database()
    switch.start_database()
    switch.vsctl("set", "Interface", "ktap1", "external_ids:ovn-installed=true")
    assert await wait is True
    await datapath.close()


# ── what is there ──


async def test_marked_ports_are_listed_with_what_is_left_of_them(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    with sandboxes("kt-a"):
        await datapath.plug(PLUG)
        await datapath.plug(OTHER)
        await datapath.plug(THIRD)
        move("ktip2", "kt-a", "10.99.7.2/24")
        switch.vsctl("set", "Port", "ktap2", "tag=3")
        run("ip", "link", "del", "ktap3")
        found = {port.device: port for port in await datapath.plugged()}
        await datapath.unplug("ktap3")
    assert found == {
        "ktap1": Plugged(PLUG.key, PLUG.port_id, "ktap1", True, True, False, PLUG.mac, PLUG.peer),
        "ktap2": Plugged(
            OTHER.key, OTHER.port_id, "ktap2", True, False, True, OTHER.mac, OTHER.peer
        ),
        "ktap3": Plugged(
            THIRD.key, THIRD.port_id, "ktap3", False, False, False, THIRD.mac, THIRD.peer, False
        ),
    }


async def test_unmarked_ports_are_not_listed(switch: Switch, datapath: OpenVSwitchDatapath) -> None:
    run("ip", "link", "add", "ktap1", "type", "veth", "peer", "name", "ktip1")
    switch.vsctl("add-port", BRIDGE, "ktap1")
    assert await datapath.plugged() == []


async def test_a_devices_presence_is_the_kernels_word(datapath: OpenVSwitchDatapath) -> None:
    assert await datapath.device_present("ktap1") is False
    await datapath.plug(PLUG)
    assert await datapath.device_present("ktap1") is True


# ── the database away and back ──


async def test_nobody_at_the_socket_is_said_with_its_path(tmp_path: Path) -> None:
    remote = f"unix:{tmp_path}/db.sock"
    datapath = OpenVSwitchDatapath(remote, timeout=0.3)
    sentence = await refused(Code.SWITCH_AWAY, datapath.ping())
    assert remote in sentence
    assert "no such socket" in sentence
    await datapath.close()


async def test_many_calls_give_up_together(tmp_path: Path) -> None:
    datapath = OpenVSwitchDatapath(f"unix:{tmp_path}/db.sock", timeout=1)
    async with asyncio.timeout(20):  # one after the other they would take 40 s
        answers = await asyncio.gather(
            *(datapath.unplug(f"kt{i}") for i in range(40)), return_exceptions=True
        )
    codes = {answer.code for answer in answers if isinstance(answer, KurierError)}
    assert (len(answers), codes) == (40, {Code.SWITCH_AWAY})
    await datapath.close()


async def test_a_database_that_comes_later_is_found(switch: Switch) -> None:
    switch.stop_database()
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, timeout=0.3)
    await refused(Code.SWITCH_AWAY, datapath.facts())
    switch.start_database()
    assert (await datapath.facts()).bridge == BRIDGE
    await datapath.close()


async def test_a_restarted_database_is_found_again(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    await datapath.plug(PLUG)
    switch.stop_database()
    quick = OpenVSwitchDatapath(switch.remote, BRIDGE, timeout=0.3)
    await refused(Code.SWITCH_AWAY, quick.plugged())
    await quick.close()
    switch.start_database()
    assert [port.device for port in await datapath.plugged()] == ["ktap1"]
    await datapath.plug(OTHER)
    await datapath.unplug("ktap1")
    assert switch.ports() == ["ktap2"]


async def test_a_replica_without_its_server_is_not_trusted(switch: Switch) -> None:
    datapath = OpenVSwitchDatapath(switch.remote, BRIDGE, timeout=0.5)
    await datapath.plug(PLUG)
    switch.stop_database()
    try:
        await refused(Code.SWITCH_AWAY, datapath.plugged())
    finally:
        switch.start_database()
    await datapath.close()


# ── nothing is left ──


async def test_rounds_leave_no_thread_descriptor_device_or_row(
    switch: Switch, datapath: OpenVSwitchDatapath
) -> None:
    async def rounds(count: int) -> None:
        for number in range(count):
            plug = replace(PLUG, device=f"ktr{number}", peer=f"kts{number}")
            await datapath.plug(plug)
            await datapath.wait_wired(plug.device, 0.001)
            await datapath.unplug(plug.device)

    await asyncio.gather(*(datapath.ping() for _ in range(16)))  # all its workers are up
    before = open_things()
    await rounds(200)
    assert open_things() == before
    assert switch.ports() == []
    assert not {device for device in devices() if device.startswith(("ktr", "kts"))}
    assert switch.vsctl("--columns=name", "find", "Interface", "name!=" + BRIDGE) == ""


async def test_close_ends_threads_and_descriptors(switch: Switch) -> None:
    await asyncio.to_thread(str)  # asyncio's own worker stays for the loop's life
    before = open_things()
    for _ in range(3):
        datapath = OpenVSwitchDatapath(switch.remote, BRIDGE)
        await datapath.plug(PLUG)
        await datapath.unplug(PLUG.device)
        await datapath.close()
        del datapath
    assert open_things() == before


def open_things() -> tuple[int, list[str]]:
    """Threads, and descriptors by what they are.

    libuuid, which python-ovs asks once per connection, keeps its clock open for each thread.
    """
    gc.collect()  # what earlier tests dropped must not go in between
    descriptors = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            descriptors.append(os.readlink(f"/proc/self/fd/{number}").partition(":")[0])
    return threading.active_count(), sorted(
        name for name in descriptors if not name.endswith("/clock.txt")
    )
