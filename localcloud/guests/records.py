# SPDX-License-Identifier: Apache-2.0
"""What each guest holds on its host, written down so that `down` finds it in another process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import ovs
from ..commands import attempt
from ..layout import Layout
from ..place import Place
from ..process import Daemon


@dataclass(frozen=True)
class GuestRecord:
    """A guest's process, the device it is plugged in with, and its namespace ("" for none)."""

    name: str
    host_index: int
    device: str
    bridge: str
    netns: str = ""

    def daemon(
        self, layout: Layout, argv: tuple[str, ...] = (), enter: tuple[str, ...] = ()
    ) -> Daemon:
        """The guest's process; `argv` is needed only to start it."""
        return layout.daemon(f"guest-{self.name}", argv, enter=enter, stop_seconds=3.0)

    def write(self, layout: Layout) -> None:
        """Remember the guest before anything of it is made."""
        path = _file(layout, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    def remove(self, layout: Layout) -> None:
        """End the guest's process and take away its port, device and namespace."""
        place = Place(layout, self.host_index)
        self.daemon(layout).stop()
        # The port goes before the device: the switch keeps hold of a device that dies under it.
        ovs.vsctl_if_there(place, "--if-exists", "del-port", self.bridge, self.device)
        attempt([*place.enter, "ip", "link", "del", self.device])
        if self.netns:
            attempt([*place.enter, "ip", "netns", "del", self.netns])
        _file(layout, self.name).unlink(missing_ok=True)


def all_records(layout: Layout) -> Iterator[GuestRecord]:
    """Every guest that was started and not stopped."""
    for path in sorted((layout.state / "guests").glob("*.json")):
        yield GuestRecord(**json.loads(path.read_text()))


def remove_all(layout: Layout, host_index: int | None = None) -> None:
    """Stop all guests, or those of one host."""
    for record in list(all_records(layout)):
        if host_index in (None, record.host_index):
            record.remove(layout)


def _file(layout: Layout, name: str) -> Path:
    return layout.state / "guests" / f"{name}.json"
