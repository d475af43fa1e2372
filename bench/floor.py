# SPDX-License-Identifier: Apache-2.0
"""The floor: a libnetwork driver that does nothing, to see what any remote driver costs at least.

`python -m bench.floor SOCKET [--pairs 128]` answers addresses from a counter and hands out veth
pairs that wait. Nothing is plugged anywhere, nothing is kept, no packet arrives. Whatever a real
driver takes beyond this is its own.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import msgspec

_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
_CONSTANT: dict[bytes, Any] = {
    b"/Plugin.Activate": {"Implements": ["NetworkDriver", "IpamDriver"]},
    b"/NetworkDriver.GetCapabilities": {"Scope": "local", "ConnectivityScope": "local"},
    b"/NetworkDriver.CreateEndpoint": {"Interface": {}},
    b"/NetworkDriver.EndpointOperInfo": {"Value": {}},
    b"/IpamDriver.GetDefaultAddressSpaces": {
        "LocalDefaultAddressSpace": "FloorLocal",
        "GlobalDefaultAddressSpace": "FloorGlobal",
    },
}


class Devices:
    """veth pairs that wait; `make` and `there` are the kernel's part.

    A pair that the engine brought back from a sandbox waits again; one that vanished with its
    sandbox is made up for in the background.
    """

    def __init__(
        self, wanted: int, make: Callable[[Iterable[str]], None], there: Callable[[str], bool]
    ) -> None:
        self._wanted = wanted
        self._make = make
        self._there = there
        self._waiting: deque[str] = deque()
        self._made = 0
        self._making = threading.Lock()

    @property
    def all(self) -> list[str]:
        """Every device made so far."""
        return [_device(number) for number in range(self._made)]

    def refill(self) -> None:
        """Makes as many as are lacking."""
        with self._making:
            lacking = self._wanted - len(self._waiting)
            fresh = [_device(self._made + number) for number in range(lacking)]
            self._made += len(fresh)
            self._make(fresh)
            self._waiting.extend(fresh)

    def take(self) -> str:
        """The one that waits longest, made now if none does."""
        if not self._waiting:
            self.refill()
        return self._waiting.popleft()

    def back(self, device: str) -> None:
        """Takes back what an endpoint had."""
        if self._there(device):
            self._waiting.append(device)

    @property
    def low(self) -> bool:
        """Whether it is time to refill, outside of any call."""
        return len(self._waiting) < self._wanted // 8


class Answers:
    """The answers that are not the same each time."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._given: dict[str, int] = {}
        self._gateways: dict[str, str] = {}
        self._held: dict[str, str] = {}
        self._calls: dict[bytes, Callable[[Any], Any]] = {
            b"/IpamDriver.RequestPool": self._pool,
            b"/IpamDriver.RequestAddress": self._address,
            b"/NetworkDriver.CreateNetwork": self._network,
            b"/NetworkDriver.Join": self._join,
            b"/NetworkDriver.DeleteEndpoint": self._delete_endpoint,
        }

    def answer(self, path: bytes, body: bytes) -> bytes:
        """The JSON that a call gets."""
        call = self._calls.get(path)
        reply = call(msgspec.json.decode(body)) if call else _CONSTANT.get(path, {})
        return msgspec.json.encode(reply)

    def _pool(self, ask: Any) -> Any:
        return {"PoolID": ask["Pool"], "Pool": ask["Pool"], "Data": {}}

    def _address(self, ask: Any) -> Any:
        pool = IPv4Network(ask["PoolID"])
        if ask.get("Address"):
            return {"Address": f"{ask['Address']}/{pool.prefixlen}", "Data": {}}
        number = self._given.get(ask["PoolID"], 1) + 1  # the first is the gateway's
        if number >= pool.num_addresses - 1:
            number = 2
        self._given[ask["PoolID"]] = number
        return {"Address": f"{pool[number]}/{pool.prefixlen}", "Data": {}}

    def _network(self, ask: Any) -> Any:
        self._gateways[ask["NetworkID"]] = ask["IPv4Data"][0]["Gateway"].partition("/")[0]
        return {}

    def _join(self, ask: Any) -> Any:
        device = self._held[ask["EndpointID"]] = self._devices.take()
        return {
            "InterfaceName": {"SrcName": device, "DstPrefix": "eth"},
            "Gateway": self._gateways[ask["NetworkID"]],
        }

    def _delete_endpoint(self, ask: Any) -> Any:
        if device := self._held.pop(ask["EndpointID"], None):
            self._devices.back(device)
        return {}


class Connection(asyncio.Protocol):
    """HTTP/1.1 as the engine speaks it, and no more of it."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answers every request that is whole."""
        self._read += data
        while (head := self._read.find(_END)) >= 0:
            end = head + len(_END) + _length(self._read[:head])
            if len(self._read) < end:
                return
            path = self._read.split(b" ", 2)[1]
            reply = self._answers.answer(path, self._read[head + len(_END) : end])
            self._read = self._read[end:]
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(reply), reply)
            )


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    return 0


def _device(number: int) -> str:
    return f"floor{number}"


def _make(devices: Iterable[str]) -> None:
    lines = [
        f"link add {device} type veth peer name {device}p\nlink set {device}p up"
        for device in devices
    ]
    _batch(lines)


def _batch(lines: list[str]) -> None:
    text = "\n".join(lines)
    subprocess.run(["ip", "-force", "-batch", "-"], input=text, text=True, check=False)


def _there(device: str) -> bool:
    try:
        socket.if_nametoindex(device)
    except OSError:
        return False
    return True


async def _serve(path: Path, devices: Devices) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    answers = Answers(devices)
    await loop.create_unix_server(lambda: Connection(answers), path=str(path))
    while not ended.is_set():
        if devices.low:
            await asyncio.to_thread(devices.refill)
        try:
            await asyncio.wait_for(ended.wait(), 0.5)
        except TimeoutError:
            continue


def main() -> None:
    """Serves until it is told to end; its devices go with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--pairs", type=int, default=128, help="how many wait (default 128)")
    options = parser.parse_args()
    devices = Devices(options.pairs, _make, _there)
    devices.refill()
    options.socket.unlink(missing_ok=True)
    try:
        asyncio.run(_serve(options.socket, devices))
    finally:
        options.socket.unlink(missing_ok=True)
        _batch([f"link del {device}" for device in devices.all if _there(device)])


if __name__ == "__main__":
    main()
