# SPDX-License-Identifier: Apache-2.0
"""A private Open vSwitch in a network namespace of its own, for tests of the datapath."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import netns

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
BRIDGE = "kt-int"
_ECHO_SERVER = """
import socket
server = socket.create_server(("", 7007))
print("ready", flush=True)
peer, _ = server.accept()
while data := peer.recv(65536):
    peer.sendall(data)
"""
_ECHO_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], 7007), timeout=20) as peer:
    sent = b"kurier" * 2000
    peer.sendall(sent)
    got = b""
    while len(got) < len(sent):
        got += peer.recv(65536)
assert got == sent
"""


def run(*command: str) -> str:
    """A command's output; raises with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Switch:
    """ovsdb-server and ovs-vswitchd (userspace datapath) with all their files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = f"unix:{folder}/db.sock"
        self._database: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        run("ovsdb-tool", "create", str(folder / "conf.db"), SCHEMA)

    def start_database(self) -> None:
        self._database = self._spawn(
            "ovsdb-server", str(self.folder / "conf.db"), f"--remote=p{self.remote}"
        )
        self._until(lambda: self._answers("--no-wait", "init"))

    def stop_database(self) -> None:
        self._end(self._database)
        self._database = None

    def start_daemon(self) -> None:
        self._daemon = self._spawn("ovs-vswitchd", self.remote, "--disable-system")

    def stop_daemon(self) -> None:
        self._end(self._daemon)
        self._daemon = None

    @contextmanager
    def frozen_database(self) -> Iterator[None]:
        """The server hangs: it takes connections and says nothing."""
        assert self._database is not None
        self._database.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._database.send_signal(signal.SIGCONT)

    def vsctl(self, *words: str) -> str:
        return run("ovs-vsctl", f"--db={self.remote}", "--timeout=20", *words)

    def column(self, table: str, record: str, column: str) -> dict[str, str] | str:
        """A column's value; a map as a dict."""
        text = self.vsctl("--format=json", f"--columns={column}", "list", table, record)
        value = json.loads(text)["data"][0][0]
        if isinstance(value, list) and value[0] == "map":
            return dict(value[1])
        return str(value)

    def ports(self) -> list[str]:
        return self.vsctl("list-ports", BRIDGE).split()

    def stop(self) -> None:
        self.stop_daemon()
        self.stop_database()

    def _answers(self, *words: str) -> bool:
        command = ("ovs-vsctl", f"--db={self.remote}", "--timeout=5", *words)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _spawn(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{program}.log").open("ab")
        folders = dict.fromkeys(("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"), str(self.folder))
        with log:
            return subprocess.Popen(
                [program, *words, f"--unixctl={self.folder}/{program}.ctl"],
                stdout=log,
                stderr=log,
                env=os.environ | folders,
            )

    @staticmethod
    def _end(process: subprocess.Popen[bytes] | None) -> None:
        if process is not None:
            process.terminate()
            process.wait(20)

    @staticmethod
    def _until(true: object) -> None:
        assert callable(true)
        for _ in range(100):
            if true():
                return
            time.sleep(0.1)
        raise AssertionError("the private Open vSwitch did not start")


@contextmanager
def private_switch() -> Iterator[Switch]:
    """A running switch with one bridge; this thread moves into the switch's namespace."""
    name = f"kt-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="kt-"))
    netns.create(name)
    netns.pushns(name)
    switch = Switch(folder)
    try:
        switch.start_database()
        switch.start_daemon()
        switch.vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev")
        yield switch
    finally:
        switch.stop()
        netns.popns()
        netns.remove(name)
        shutil.rmtree(folder)


@contextmanager
def sandboxes(*names: str) -> Iterator[None]:
    """Namespaces that play a container's."""
    for name in names:
        netns.create(name)
    try:
        yield
    finally:
        for name in names:
            netns.remove(name)


def move(peer: str, sandbox: str, address: str) -> None:
    """What an engine does on Join: the device moves into the sandbox, gets its address, goes up."""
    run("ip", "link", "set", peer, "netns", sandbox)
    run("ip", "-n", sandbox, "addr", "add", address, "dev", peer)
    run("ip", "-n", sandbox, "link", "set", peer, "up")


def talk_tcp(server: str, client: str, address: str) -> None:
    """Sends some kilobytes to and fro; raises where they do not arrive."""
    with subprocess.Popen(
        _inside(server, _ECHO_SERVER), stdout=subprocess.PIPE, text=True
    ) as listening:
        try:
            assert listening.stdout is not None
            assert listening.stdout.readline() == "ready\n"
            run(*_inside(client, _ECHO_CLIENT), address)
        finally:
            listening.kill()


def _inside(sandbox: str, program: str) -> Sequence[str]:
    return ("ip", "netns", "exec", sandbox, sys.executable, "-c", program)
