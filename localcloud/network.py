# SPDX-License-Identifier: Apache-2.0
"""Namespaces and cables: three Linux bridges that join the hosts, one veth per host and bridge.

`m` management: APIs and OVN databases, plain kernel networking. `t` tunnels: Geneve, ends in
Open vSwitch. `p` physical: the provider network `physnet1`, ends in each host's `br-ex`.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from .commands import attempt, run, succeeds
from .layout import Layout
from .place import Place


@dataclass(frozen=True)
class Plane:
    """One of the networks between the hosts."""

    letter: str
    bridge_suffix: str


MANAGEMENT = Plane("m", "mgmt")
TUNNELS = Plane("t", "tun")
PHYSICAL = Plane("p", "phys")
PLANES = (MANAGEMENT, TUNNELS, PHYSICAL)
_mount_lock = threading.Lock()


def bridge_name(layout: Layout, plane: Plane) -> str:
    """The Linux bridge of a plane."""
    return f"{layout.settings.prefix}-{plane.bridge_suffix}"


def device_exists(name: str, enter: tuple[str, ...] = ()) -> bool:
    """Whether there is a network device of this name, on the machine or where `enter` leads."""
    return succeeds([*enter, "ip", "link", "show", "dev", name])


def make_bridges(layout: Layout) -> str:
    """The bridges, the API address, and leave for their frames to pass the firewall."""
    made = False
    for plane in PLANES:
        bridge = bridge_name(layout, plane)
        if not device_exists(bridge):
            run(["ip", "link", "add", bridge, "type", "bridge"])
            checksum_offload_off(bridge)
            made = True
        run(["ip", "link", "set", bridge, "up"])
    prefix = layout.settings.management.prefixlen
    run(
        [
            "ip",
            "address",
            "replace",
            f"{layout.settings.api_address}/{prefix}",
            "dev",
            bridge_name(layout, MANAGEMENT),
        ]
    )
    allow_bridged(layout)
    return "made" if made else "there already"


def allow_bridged(layout: Layout) -> None:
    """Let frames that stay on our bridges pass, whatever the FORWARD policy (Docker: DROP)."""
    for tool in ("iptables", "ip6tables"):
        for rule in _rules(layout):
            if not succeeds([tool, "-w", "-C", *rule]):
                # A machine without IPv6 has no ip6tables to speak of.
                attempt([tool, "-w", "-I", *rule])


def remove(layout: Layout, hosts: list[Place]) -> None:
    """Take bridges, cables, namespaces and firewall rules away."""
    for tool in ("iptables", "ip6tables"):
        for rule in _rules(layout):
            while succeeds([tool, "-w", "-D", *rule]):
                pass
    for place in hosts:
        remove_host(place)
    for plane in PLANES:
        attempt(["ip", "link", "del", bridge_name(layout, plane)])


def make_host(place: Place) -> str:
    """The host's namespaces (none for the machine) and its cables. Raises `CloudError`."""
    made = not place.is_machine and _make_namespaces(place)
    for plane in PLANES:
        if plane is not MANAGEMENT or not place.is_machine:
            made = _make_cable(place, plane) or made
    if not place.is_machine:
        _set_address(
            place,
            place.device("m"),
            f"{place.management_address}/{place.layout.settings.management.prefixlen}",
        )
    return "made" if made else "there already"


def remove_host(place: Place) -> None:
    """The host's cables and namespaces; processes inside must be gone already."""
    for plane in PLANES:
        attempt(["ip", "link", "del", place.device(plane.letter) + "b"])
    if place.netns is None:
        return
    attempt(["ip", "netns", "del", place.netns])
    for file in (place.mount_namespace, place.uts_namespace):
        attempt(["umount", str(file)])
        file.unlink(missing_ok=True)


def checksum_offload_off(device: str, enter: tuple[str, ...] = ()) -> None:
    """Have the kernel finish TCP checksums itself: a userspace switch forwards them as they are."""
    attempt([*enter, "ethtool", "-K", device, "tx", "off"])


def _make_namespaces(place: Place) -> bool:
    fresh = not Path(f"/run/netns/{place.netns}").exists()
    if fresh:
        run(["ip", "netns", "add", str(place.netns)])
        run(["ip", "-n", str(place.netns), "link", "set", "lo", "up"])
    # The namespace is kept before its mounts are made: only the last of them says it is whole.
    mark = f"kurier-{place.name}"
    if succeeds([*place.enter, "test", "-e", f"/run/{mark}"]):
        return fresh
    _private_mount(place.layout.namespaces)
    for file in (place.mount_namespace, place.uts_namespace):
        attempt(["umount", str(file)])
        file.touch()
    engine_folder = place.folder / "etc-docker"
    for folder in (
        place.run / "docker" / "plugins",
        place.run / "lock",
        engine_folder,
        Path("/etc/docker"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
    (place.run / mark).touch()
    _keep_namespaces(place, engine_folder)
    return True


def _keep_namespaces(place: Place, engine_folder: Path) -> None:
    """Make the mount and UTS namespaces and keep them by bind mounts."""
    script = 'hostname "$1" && mount --bind "$3" /etc/docker && mount --bind "$2" /run'
    command = [
        "nsenter",
        f"--net=/run/netns/{place.netns}",
        "unshare",
        f"--mount={place.mount_namespace}",
        f"--uts={place.uts_namespace}",
        *("sh", "-c", script, "sh", place.hostname, str(place.run), str(engine_folder)),
    ]
    # Linux refuses to keep a mount namespace whose number is below that of its maker's, and newer
    # kernels number them per processor: where the first try fails, one of the processors will do.
    for cpu in sorted(os.sched_getaffinity(0)):
        if succeeds(["taskset", "-c", str(cpu), *command]):
            return
        for file in (place.mount_namespace, place.uts_namespace):
            attempt(["umount", str(file)])
    run(command, what=f"Making the namespaces of {place.name}")


def _private_mount(folder: Path) -> None:
    """A mount namespace can be kept only on a mount that is not shared (unshare(1))."""
    with _mount_lock:
        folder.mkdir(parents=True, exist_ok=True)
        if not succeeds(["mountpoint", "-q", str(folder)]):
            run(["mount", "--bind", str(folder), str(folder)])
        run(["mount", "--make-private", str(folder)])


def _make_cable(place: Place, plane: Plane) -> bool:
    device = place.device(plane.letter)
    outer = device + "b"
    if device_exists(device, place.enter) and device_exists(outer):
        return False
    attempt(["ip", "link", "del", outer])
    peer = ["name", device, *(["netns", place.netns] if place.netns else [])]
    run(["ip", "link", "add", outer, "type", "veth", "peer", *peer])
    run(["ip", "link", "set", outer, "master", bridge_name(place.layout, plane), "up"])
    run([*place.enter, "ip", "link", "set", device, "up"])
    checksum_offload_off(outer)
    checksum_offload_off(device, place.enter)
    return True


def _set_address(place: Place, device: str, address: str) -> None:
    run([*place.enter, "ip", "address", "replace", address, "dev", device])
    run([*place.enter, "ip", "link", "set", device, "up"])


def _rules(layout: Layout) -> list[list[str]]:
    names = [bridge_name(layout, plane) for plane in PLANES]
    return [["FORWARD", "-i", name, "-o", name, "-j", "ACCEPT"] for name in names]
