# SPDX-License-Identifier: Apache-2.0
"""A bare-metal machine: a namespace cabled to the physical network, unknown to Neutron."""

from __future__ import annotations

from dataclasses import dataclass

from .. import network, ovs
from ..commands import run
from ..hosts import Host
from ..image import busybox
from .addressing import Gateway, Interface
from .records import GuestRecord


@dataclass(frozen=True)
class BareMetal:
    """A machine named `name` (at most 8 characters) on the provider network `physnet1`.

    It answers ping and serves HTTP on TCP 80.
    """

    host: Host
    name: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Gateway, ...] = ()
    mtu: int = 1500

    @property
    def netns(self) -> str:
        """Its network namespace, within the host's `/run/netns`."""
        return f"{self.host.place.layout.settings.prefix}-{self.name}"

    def start(self) -> None:
        """Make it, cable it to the physical bridge and serve. Raises `CloudError`."""
        layout = self.host.place.layout
        self.stop()
        self._record().write(layout)
        self._cable()
        folder = layout.state / "guests" / f"www-{self.name}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text(f"hello from the bare-metal machine {self.name}\n")
        daemon = self._record().daemon(
            layout,
            (str(busybox(layout)), "httpd", "-f", "-p", "80", "-h", str(folder)),
            (*self.host.enter, "ip", "netns", "exec", self.netns),
        )
        daemon.start()
        daemon.wait_ready(lambda: ":80 " in self.run("netstat", "-ltn"), 10)

    def run(self, *argv: str) -> str:
        """The output of a busybox command on this machine. Raises `CloudError`."""
        return run(
            [
                *self.host.enter,
                "ip",
                "netns",
                "exec",
                self.netns,
                str(busybox(self.host.place.layout)),
                *argv,
            ]
        )

    def stop(self) -> None:
        """Take it away; nothing happens if it is not there."""
        self._record().remove(self.host.place.layout)

    def _record(self) -> GuestRecord:
        return GuestRecord(
            self.name, self.host.place.index, f"bm-{self.name}", ovs.PHYSICAL_BRIDGE, self.netns
        )

    def _cable(self) -> None:
        enter, space, device = self.host.enter, self.netns, self._record().device
        inside = [*enter, "ip", "-n", space]
        run([*enter, "ip", "netns", "add", space])
        run(
            [
                *enter,
                "ip",
                "link",
                "add",
                device,
                "mtu",
                str(self.mtu),
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "mtu",
                str(self.mtu),
                "netns",
                space,
            ]
        )
        network.checksum_offload_off("eth0", (*enter, "ip", "netns", "exec", space))
        run([*enter, "ip", "link", "set", device, "up"])
        for link in ("lo", "eth0"):
            run([*inside, "link", "set", link, "up"])
        for address in self.addresses:
            nodad = ["nodad"] if address.version == 6 else []
            run([*inside, "address", "add", str(address), "dev", "eth0", *nodad])
        for gateway in self.gateways:
            run([*inside, "route", "add", "default", "via", str(gateway)])
        self.host.vsctl("add-port", ovs.PHYSICAL_BRIDGE, device)
