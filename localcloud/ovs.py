# SPDX-License-Identifier: Apache-2.0
"""A host's Open vSwitch and ovn-controller.

Where the kernel has the openvswitch module (and the machine runs no Open vSwitch of its own) the
kernel datapath is used, else the userspace one, which also brings its own Geneve.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from . import network
from .commands import attempt, run, succeeds
from .errors import CloudError
from .layout import Layout
from .neutron import PHYSICAL_NETWORK
from .ovn import create_file, southbound
from .ovn import environment as central_environment
from .place import Place
from .process import Daemon

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
TUNNEL_BRIDGE = "br-phy"
PHYSICAL_BRIDGE = "br-ex"
INTEGRATION_BRIDGE = "br-int"
OWN_BRIDGES = (INTEGRATION_BRIDGE, PHYSICAL_BRIDGE, TUNNEL_BRIDGE)
USERSPACE_DEVICE = "ovs-netdev"


@cache
def kernel_datapath() -> bool:
    """Whether the kernel's datapath is there and free to use."""
    for pidfile in ("/run/openvswitch/ovs-vswitchd.pid", "/var/run/openvswitch/ovs-vswitchd.pid"):
        if (
            Path(pidfile).exists()
            and Path(f"/proc/{Path(pidfile).read_text().strip() or 0}").exists()
        ):
            return False
    return Path("/sys/module/openvswitch").exists() or succeeds(["modprobe", "openvswitch"])


def environment(place: Place) -> dict[str, str]:
    """Folders of this host's switch, for its daemons and for ovs-vsctl."""
    folder = str(place.openvswitch)
    names = ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR")
    return dict.fromkeys(names, folder)


def database_socket(place: Place) -> Path:
    """The OVSDB socket of this host."""
    return place.openvswitch / "db.sock"


def database(place: Place) -> Daemon:
    """The process of this host's OVSDB."""
    folder = place.openvswitch
    return _daemon(
        place,
        "ovsdb-server",
        str(place.folder / "conf.db"),
        f"--remote=punix:{database_socket(place)}",
        f"--unixctl={folder / 'ovsdb-server.ctl'}",
    )


def switch(place: Place) -> Daemon:
    """The process of this host's ovs-vswitchd."""
    datapath = () if kernel_datapath() else ("--disable-system",)
    return _daemon(
        place,
        "ovs-vswitchd",
        f"unix:{database_socket(place)}",
        *datapath,
        f"--pidfile={place.openvswitch / 'ovs-vswitchd.pid'}",
    )


def controller(place: Place) -> Daemon:
    """The process of this host's ovn-controller."""
    return _daemon(
        place,
        "ovn-controller",
        f"unix:{database_socket(place)}",
        f"--pidfile={place.openvswitch / 'ovn-controller.pid'}",
    )


def vsctl(place: Place, *arguments: str) -> str:
    """`ovs-vsctl` against this host's database. Raises `CloudError`."""
    return run(
        _vsctl_command(place, 20, *arguments),
        what=f"ovs-vsctl {' '.join(arguments[:2])} on {place.name}",
    )


def vsctl_if_there(place: Place, *arguments: str) -> str:
    """The same for clearing up: "" where the database does not run or does not answer."""
    if not database(place).running:
        return ""
    return attempt(_vsctl_command(place, 5, *arguments))


def _vsctl_command(place: Place, seconds: int, *arguments: str) -> list[str]:
    database = f"--db=unix:{database_socket(place)}"
    return ["ovs-vsctl", f"--timeout={seconds}", database, *arguments]


def start(place: Place) -> str:
    """Database, switch and bridges, whichever is missing. Raises `CloudError`."""
    place.openvswitch.mkdir(parents=True, exist_ok=True)
    create_file(place.folder / "conf.db", SCHEMA)
    started = start_database(place)
    return "started" if start_switch(place) or started else "running"


def start_database(place: Place) -> bool:
    """Start OVSDB and wait until it answers; True if it was started now."""
    server = database(place)
    started = server.start()
    if started:
        server.wait_ready(
            lambda: succeeds(
                [
                    "ovs-vsctl",
                    "--timeout=2",
                    f"--db=unix:{database_socket(place)}",
                    "--no-wait",
                    "init",
                ]
            ),
            30,
        )
    return started


def start_switch(place: Place) -> bool:
    """Start ovs-vswitchd and wire its bridges; True if it was started now."""
    daemon = switch(place)
    if not daemon.running:
        _refuse_foreign_bridges(place)
    started = daemon.start()
    if started:
        daemon.wait_ready(
            lambda: succeeds(
                ["ovs-appctl", "--timeout=2", "-t", "ovs-vswitchd", "version"],
                env=environment(place),
            ),
            30,
        )
        # Bridges that the database has from before are made anew; ovs-vsctl, which then has
        # nothing to change, would not wait for their devices.
        daemon.wait_ready(lambda: _devices_there(place), 30)
    wire(place)
    return started


def wire(place: Place) -> None:
    """Bridges, their cards and this host's tunnel address, as they have to be."""
    kind = "system" if kernel_datapath() else "netdev"
    layout = place.layout
    _plug_card(place, PHYSICAL_BRIDGE, place.device("p"), kind)
    address = f"{place.tunnel_address}/{layout.settings.underlay.prefixlen}"
    holder = place.device("t")
    if not kernel_datapath():
        holder = TUNNEL_BRIDGE
        _plug_card(place, TUNNEL_BRIDGE, place.device("t"), kind)
        network.checksum_offload_off(TUNNEL_BRIDGE, place.enter)
    run([*place.enter, "ip", "address", "replace", address, "dev", holder])
    run([*place.enter, "ip", "link", "set", holder, "up"])
    run([*place.enter, "ip", "link", "set", PHYSICAL_BRIDGE, "up"])
    settings = {
        "system-id": place.hostname,
        "hostname": place.hostname,
        "ovn-remote": f"tcp:{layout.settings.api_address}:{layout.settings.southbound_port}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": str(place.tunnel_address),
        "ovn-bridge-datapath-type": kind,
        "ovn-remote-probe-interval": "30000",
        "ovn-bridge-mappings": f"{PHYSICAL_NETWORK}:{PHYSICAL_BRIDGE}",
        "ovn-cms-options": "enable-chassis-as-gw",
    }
    vsctl(
        place,
        "set",
        "Open_vSwitch",
        ".",
        *(f'external-ids:{key}="{value}"' for key, value in settings.items()),
    )


def start_controller(place: Place) -> str:
    """ovn-controller, awaited until its chassis is in the southbound database."""
    daemon = controller(place)
    started = daemon.start()
    daemon.wait_ready(lambda: registered(place), 60)
    return "started" if started else "running"


def registered(place: Place) -> bool:
    """Whether this host is a chassis and its integration bridge stands."""
    central = southbound(place.layout)
    listed = attempt(
        [
            "ovn-sbctl",
            "--timeout=5",
            f"--db=unix:{central.socket}",
            "--bare",
            "--columns=_uuid",
            "find",
            "Chassis",
            f'name="{place.hostname}"',
        ],
        env=central_environment(place.layout),
    )
    return bool(listed.strip()) and succeeds(
        [
            "ovs-vsctl",
            "--timeout=2",
            f"--db=unix:{database_socket(place)}",
            "br-exists",
            INTEGRATION_BRIDGE,
        ]
    )


def chassis(layout: Layout) -> list[str]:
    """Host names of all chassis in the southbound database."""
    listed = run(
        [
            "ovn-sbctl",
            "--timeout=5",
            f"--db=unix:{southbound(layout).socket}",
            "--bare",
            "--columns=hostname",
            "list",
            "Chassis",
        ],
        env=central_environment(layout),
    )
    return sorted(listed.split())


def _plug_card(place: Place, bridge: str, card: str, kind: str) -> None:
    vsctl(
        place,
        "--may-exist",
        "add-br",
        bridge,
        "--",
        "set",
        "Bridge",
        bridge,
        f"datapath_type={kind}",
    )
    index = run([*place.enter, "ip", "-o", "link", "show", card])
    current = index.partition(":")[0].strip()
    known = attempt(
        [
            "ovs-vsctl",
            "--timeout=20",
            f"--db=unix:{database_socket(place)}",
            "--if-exists",
            "get",
            "Interface",
            card,
            "ifindex",
        ]
    ).strip()
    if known not in ("", "[]", current):
        # A card made anew under its old name is dead to the switch until its port has gone in
        # one transaction and come back in another.
        vsctl(place, "--if-exists", "del-port", bridge, card)
    vsctl(place, "--may-exist", "add-port", bridge, card)


def _refuse_foreign_bridges(place: Place) -> None:
    """Before the switch starts: a bridge device that our database does not know is another's."""
    if not place.is_machine:
        return
    ours = _bridges(place)
    for name in OWN_BRIDGES:
        if name not in ours and network.device_exists(name):
            raise CloudError(
                f"This machine already has a network device {name} that is not this "
                "cloud's; the local cloud needs that name."
            )


def _devices_there(place: Place) -> bool:
    """Whether every bridge of the database has its device."""
    return all(network.device_exists(bridge, place.enter) for bridge in _bridges(place))


def _bridges(place: Place) -> list[str]:
    return vsctl(place, "list-br").split() if database(place).running else []


def _bridges_to_clear(place: Place) -> tuple[str, ...]:
    """What the database names; of one that runs and does not answer, what `wire` makes."""
    if not database(place).running:
        return ()
    return tuple(vsctl_if_there(place, "list-br").split()) or OWN_BRIDGES


def stop(place: Place) -> None:
    """End the host's controller, switch and database, and what a killed switch left behind."""
    controller(place).stop()
    left = [*_bridges_to_clear(place), *([] if kernel_datapath() else [USERSPACE_DEVICE])]
    known = switch(place).record.exists()
    switch(place).stop()
    database(place).stop()
    # A switch that ends by itself takes its devices along, one that was killed does not.
    for device in left if known else []:
        attempt([*place.enter, "ip", "link", "del", device])
    if known and kernel_datapath():
        attempt([*place.enter, "ovs-dpctl", "del-dp", "system@ovs-system"])


def _daemon(place: Place, program: str, *arguments: str) -> Daemon:
    return place.layout.daemon(
        f"{program}-{place.name}",
        (program, *arguments, "-vconsole:info", "-vsyslog:off"),
        env=environment(place),
        enter=place.enter,
    )
