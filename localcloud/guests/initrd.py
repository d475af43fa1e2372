# SPDX-License-Identifier: Apache-2.0
"""A virtual machine's system: Debian's kernel and an initial RAM disk of busybox alone."""

from __future__ import annotations

import lzma
import platform
from pathlib import Path

from .. import debs
from ..commands import run
from ..errors import CloudError
from ..image import busybox
from ..layout import Layout
from ..locks import held

READY_LINE = "KURIER-GUEST-READY"
_KERNELS = {"x86_64": "linux-image-cloud-amd64"}
# In the order they depend on each other; what a kernel has built in is skipped.
_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
)

# The addresses come on the kernel's command line, so that one disk serves every guest.
_INIT = f"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module.ko; done
for word in $(cat /proc/cmdline); do
  case $word in kurier.*) eval "${{word#kurier.}}" ;; esac
done
hostname "$name"
echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad
ip link set lo up
ip link set eth0 mtu "$mtu" up
for each in $(echo "$addresses" | tr , ' '); do ip address add "$each" dev eth0; done
for each in $(echo "$gateways" | tr , ' '); do
  case $each in *:*) ip -6 route add default via "$each" ;; *) ip route add default via "$each" ;;
  esac
done
echo "hello from the virtual machine $name" > /www/index.html
httpd -h /www
echo {READY_LINE}
while true; do setsid cttyhack sh; done
"""


def boot_files(layout: Layout) -> tuple[Path, Path]:
    """(kernel, initial RAM disk), made once per state folder. Raises `CloudError`."""
    folder = layout.state / "guests"
    with held(folder / "boot-files.lock"):
        root = _kernel_package(layout)
        kernel = next(iter(sorted((root / "boot").glob("vmlinuz-*"))), None)
        if kernel is None:
            raise CloudError(f"The kernel package below {root} holds no kernel.")
        disk = folder / "initrd"
        part = folder / "initrd.new"
        part.write_bytes(_archive(root, busybox(layout)))
        part.replace(disk)  # Another guest may be booting from the one before.
        return kernel, disk


def _kernel_package(layout: Layout) -> Path:
    package = _KERNELS.get(platform.machine())
    if package is None:
        raise CloudError(f"There are no virtual machines for {platform.machine()} here yet.")
    into = layout.downloads / "kernel"
    if (into / ".complete").exists():
        return into
    suite = debs.machine_suite()
    return debs.unpack(layout, (debs.resolve(layout, package, suite),), suite, into)


def _archive(root: Path, program: Path) -> bytes:
    archive = _CpioArchive()
    for folder in ("bin", "proc", "sys", "dev", "modules", "www", "tmp"):
        archive.add(folder, 0o040755)
    archive.add("init", 0o100755, _INIT.encode())
    archive.add("bin/busybox", 0o100755, program.read_bytes())
    for applet in run([str(program), "--list"]).split():
        if applet != "busybox":
            archive.add(f"bin/{applet}", 0o120777, b"busybox")
    found = [(name, path) for name in _MODULES if (path := _module(root, name)) is not None]
    for name, path in found:
        content = path.read_bytes()
        archive.add(
            f"modules/{name}.ko",
            0o100644,
            lzma.decompress(content) if path.suffix == ".xz" else content,
        )
    archive.add("modules/order", 0o100644, " ".join(name for name, _ in found).encode())
    return archive.close()


def _module(root: Path, name: str) -> Path | None:
    return next(
        (path for pattern in (f"{name}.ko", f"{name}.ko.xz") for path in root.rglob(pattern)), None
    )


class _CpioArchive:
    """A "newc" archive, the form the kernel unpacks (its initramfs buffer format document)."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._inode = 0

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        self._inode += 1
        links = 2 if mode & 0o040000 == 0o040000 else 1
        fields = (self._inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self._content += b"070701" + b"".join(b"%08X" % field for field in fields)
        self._content += name.encode() + b"\0"
        self._pad()
        self._content += data
        self._pad()

    def close(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._content)

    def _pad(self) -> None:
        self._content += b"\0" * (-len(self._content) % 4)
