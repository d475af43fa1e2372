# SPDX-License-Identifier: Apache-2.0
"""What the managed plugin is made of: a link to the host daemon's socket, and a busybox to make it.

Swarm takes managed plugins alone, whose socket is in a folder of the plugin's own. The engine
follows a link there on the host, so that its calls reach the host's daemon as they are. The format
is described at https://docs.docker.com/engine/extend/config/.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
from dataclasses import dataclass

import msgspec

MARK = "Kurier's link to "
"""What the description of each such plugin begins with, and of no other."""
_FOLDER = "/run/docker/plugins"
_SOCKET = "kurier.sock"  # short: the whole path has 107 bytes, and the plugin's id takes 64
_FOLDERS = ("rootfs", "rootfs/bin", "rootfs/run", "rootfs/run/docker", "rootfs/run/docker/plugins")
# The shell is process 1 of the plugin: without the trap SIGTERM would do nothing, and every stop of
# the engine would last ten seconds more.
_SCRIPT = f"""\
/bin/busybox ln -sfn "$1" {_FOLDER}/{_SOCKET} || exit 1
trap 'exit 0' TERM INT
while :; do /bin/busybox sleep 86400 & wait $!; done
"""
_PROGRAM_INTERPRETER = 3  # PT_INTERP of elf(5)


@dataclass(frozen=True, slots=True)
class PluginImage:
    """A link to the socket `target`, made by the static program `busybox`."""

    target: str
    busybox: bytes

    @property
    def description(self) -> str:
        """Tells people where it leads, and programs whether another one is the same."""
        content = hashlib.sha256(self.busybox + _SCRIPT.encode()).hexdigest()[:8]
        return f"{MARK}{self.target} ({content})"

    def config(self) -> dict[str, object]:
        """The plugin's `config.json`."""
        return {
            "description": self.description,
            "entrypoint": ["/bin/busybox", "sh", "-c", _SCRIPT, "link", self.target],
            "interface": {
                "types": ["docker.networkdriver/1.0", "docker.ipamdriver/1.0"],
                "socket": _SOCKET,
            },
            "network": {"type": "host"},
            "linux": {"capabilities": []},
        }

    def archive(self) -> bytes:
        """The tar archive that the engine makes a plugin of."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            _add(tar, "config.json", msgspec.json.encode(self.config()), 0o644)
            for folder in _FOLDERS:
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            _add(tar, "rootfs/bin/busybox", self.busybox, 0o755)
        return buffer.getvalue()


def is_static(program: bytes) -> bool:
    """Whether this is an ELF program that needs no interpreter, hence no libraries."""
    if program[:4] != b"\x7fELF" or len(program) < 64:
        return False
    order = "<" if program[5] == 1 else ">"
    wide = program[4] == 2
    (start,) = struct.unpack_from(order + ("Q" if wide else "I"), program, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", program, 54 if wide else 42)
    kinds = (struct.unpack_from(order + "I", program, start + size * n)[0] for n in range(count))
    try:
        return _PROGRAM_INTERPRETER not in tuple(kinds)
    except struct.error:
        return False


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))
