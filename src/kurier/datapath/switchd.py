# SPDX-License-Identifier: Apache-2.0
"""ovs-vswitchd's control socket, for what its database does not offer: connection tracking.

The protocol is JSON-RPC over a unix socket, as ovs-appctl(8) speaks it. python-ovs has a client for
it, which waits for an answer without any limit; this one keeps to a deadline.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from pathlib import Path

from kurier.datapath.deadline import Deadline
from kurier.datapath.failures import switch_error
from kurier.model.ids import IPAddress

_CHUNK = 65536


def run_dir_of(remote: str) -> str:
    """The folder of a database's unix socket, where its siblings are; empty for TCP."""
    kind, _, path = remote.partition(":")
    return str(Path(path).parent) if kind == "unix" else ""


class Switchd:
    """Commands to the ovs-vswitchd whose files are in a folder. Blocking, within a deadline."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir

    def forget(
        self,
        zone: int | None,
        addresses: Sequence[IPAddress],
        deadline: Deadline,
    ) -> None:
        """Flushes a zone of connection tracking, or without one all that an address is an end of.

        SWITCH_ERROR where ovs-vswitchd cannot be asked or refuses.
        """
        # The datapath is left out: there is one, and Open vSwitch 3.1 takes its name for a tuple.
        if zone is not None:
            self._command("dpctl/flush-conntrack", (f"zone={zone}",), deadline)
            return
        for address in addresses:
            for end in ("src", "dst"):
                key = f"ct_nw_{end}" if address.version == 4 else f"ct_ipv6_{end}"
                self._command("dpctl/flush-conntrack", (f"{key}={address}",), deadline)

    def _command(self, name: str, arguments: Sequence[str], deadline: Deadline) -> None:
        asked = json.dumps({"method": name, "params": list(arguments), "id": 0}).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
                control.settimeout(max(0.001, deadline.left()))
                control.connect(self._socket())
                control.sendall(asked)
                answer = _answer(control, deadline)
        except (OSError, ValueError) as error:
            raise switch_error(
                f"ovs-vswitchd could not be asked for {name} in {self._run_dir or 'no folder'} "
                f"({error}): name the folder of its control socket as datapath.ovs_run_dir."
            ) from error
        refusal = answer.get("error")
        if refusal:
            raise switch_error(f"ovs-vswitchd refuses {name}: {str(refusal).strip()}")

    def _socket(self) -> str:
        folder = Path(self._run_dir)
        pid = (folder / "ovs-vswitchd.pid").read_text().strip()
        return str(folder / f"ovs-vswitchd.{pid}.ctl")


def _answer(control: socket.socket, deadline: Deadline) -> dict[str, object]:
    """One JSON object, which may come in pieces."""
    text = b""
    while True:
        control.settimeout(max(0.001, deadline.left()))
        piece = control.recv(_CHUNK)
        text += piece
        try:
            answer = json.loads(text)
        except ValueError:
            if not piece:
                raise
            continue
        if not isinstance(answer, dict):
            raise ValueError("the answer is no JSON-RPC")
        return answer
