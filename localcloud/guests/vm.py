# SPDX-License-Identifier: Apache-2.0
"""A virtual machine: QEMU on a Neutron port, booted from a kernel and a RAM disk."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from .. import network, ovs, packages
from ..commands import run
from ..errors import CloudError
from ..hosts import Host
from ..process import Daemon
from .addressing import GuestPort
from .initrd import READY_LINE, boot_files
from .records import GuestRecord

_serial = itertools.count(1)


@dataclass(frozen=True)
class Vm:
    """A guest named `name` on `host`, plugged into OVN as `port`.

    It answers ping and serves HTTP on TCP 80. Emulated (TCG), so it needs no KVM; up in some
    seconds. Nothing is made in Neutron: the caller makes the port, bound to `host.hostname`.
    """

    host: Host
    name: str
    port: GuestPort
    memory_mib: int = 192

    @property
    def console(self) -> Path:
        """All that the guest wrote to its console."""
        return self.host.place.layout.log(f"console-{self.name}")

    @property
    def running(self) -> bool:
        return self._daemon().running

    def start(self) -> None:
        """Plug the port in and boot. Installs QEMU and fetches the kernel the first time.

        Raises `CloudError`.
        """
        layout = self.host.place.layout
        packages.ensure(packages.GUEST, layout.log("packages"))
        files = boot_files(layout)
        self.stop()
        self.console.unlink(missing_ok=True)
        self._record().write(layout)
        self._plug()
        daemon = self._daemon(*files)
        daemon.start()
        daemon.wait_ready(self._console_socket.exists, 20)

    def wait_ready(self, seconds: float = 120.0) -> None:
        """Wait until the guest has its addresses and serves. Raises `CloudError`."""
        daemon = self._daemon()
        deadline = time.monotonic() + seconds
        while READY_LINE not in self._console_text():
            if not daemon.running:
                raise CloudError(f"The virtual machine {self.name} ended.", daemon.log)
            if time.monotonic() > deadline:
                raise CloudError(
                    f"The virtual machine {self.name} was not up within {seconds:.0f} s.",
                    self.console,
                )
            time.sleep(0.1)

    def run(self, command: str, seconds: float = 30.0) -> str:
        """Run a shell command on the guest's console and return its output.

        Raises `CloudError` if it fails or does not end within `seconds`.
        """
        mark = f"kurier-done-{os.getpid()}-{next(_serial)}"
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(seconds)
            console.connect(str(self._console_socket))
            # The mark is split in what is sent, so that its echo is not taken for the end.
            console.sendall(f"{command}; echo {mark[:6]}''{mark[6:]} $?\n".encode())
            text = self._read_until(console, mark, time.monotonic() + seconds)
        output, _, tail = text.partition(mark)
        # The first line is the console's echo of what was typed.
        lines = output.replace("\r", "").split("\n")[1:]
        if tail.split()[0] != "0":
            raise CloudError(
                f"`{command}` in the virtual machine {self.name} failed with exit code "
                f"{tail.split()[0]}: {' '.join(lines).strip()}"
            )
        return "\n".join(lines).strip()

    def stop(self) -> None:
        """Switch it off and take its port and device away; nothing happens if it is not there."""
        self._record().remove(self.host.place.layout)
        self._console_socket.unlink(missing_ok=True)

    @property
    def _device(self) -> str:
        # The tap device of a port, as Nova names it.
        return f"tap{self.port.port_id[:11]}"

    @property
    def _console_socket(self) -> Path:
        return self.host.place.layout.state / "guests" / f"{self.name}.sock"

    def _record(self) -> GuestRecord:
        return GuestRecord(self.name, self.host.place.index, self._device, ovs.INTEGRATION_BRIDGE)

    def _plug(self) -> None:
        enter = self.host.enter
        run([*enter, "ip", "tuntap", "add", "dev", self._device, "mode", "tap"])
        run([*enter, "ip", "link", "set", self._device, "mtu", str(self.port.mtu), "up"])
        network.checksum_offload_off(self._device, enter)
        self.host.vsctl(
            "add-port",
            ovs.INTEGRATION_BRIDGE,
            self._device,
            "--",
            "set",
            "Interface",
            self._device,
            f"external_ids:iface-id={self.port.port_id}",
            f'external_ids:attached-mac="{self.port.mac}"',
            "external_ids:iface-status=active",
            f"external_ids:vm-id={self.name}",
        )

    def _daemon(self, kernel: Path = Path(), disk: Path = Path()) -> Daemon:
        words = {
            "console": "ttyS0",
            "quiet": "",
            "panic": "-1",
            "kurier.name": self.name,
            "kurier.mtu": str(self.port.mtu),
            "kurier.addresses": ",".join(str(address) for address in self.port.addresses),
            "kurier.gateways": ",".join(str(gateway) for gateway in self.port.gateways),
        }
        command_line = " ".join(f"{key}={value}" if value else key for key, value in words.items())
        # The userspace switch passes checksums on as they are, so the card offers no offload.
        card = (
            "virtio-net-pci,netdev=port,csum=off,gso=off,guest_csum=off,host_tso4=off,"
            f"host_tso6=off,mac={self.port.mac},romfile="
        )
        argv = (
            packages.find("qemu-system-x86_64") or "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-m",
            str(self.memory_mib),
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
            "-kernel",
            str(kernel),
            "-initrd",
            str(disk),
            "-append",
            command_line,
            "-netdev",
            f"tap,id=port,ifname={self._device},script=no,downscript=no,vhost=off",
            "-device",
            card,
            "-chardev",
            f"socket,id=console,path={self._console_socket},server=on,wait=off,"
            f"logfile={self.console}",
            "-serial",
            "chardev:console",
        )
        return self._record().daemon(self.host.place.layout, argv, self.host.enter)

    def _console_text(self) -> str:
        try:
            return self.console.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _read_until(self, console: socket.socket, mark: str, deadline: float) -> str:
        text = ""
        # Done once the line that holds the mark, and behind it the exit code, has ended.
        while "\n" not in text.partition(mark)[2]:
            received = b""
            with contextlib.suppress(TimeoutError):
                received = console.recv(4096)
            if not received or time.monotonic() > deadline:
                raise CloudError(
                    f"The virtual machine {self.name} did not finish its command.", self.console
                )
            text += received.decode(errors="replace")
        return text
