# SPDX-License-Identifier: Apache-2.0
"""Long-running processes, recorded so that only what was started here is ever stopped.

A record holds the pid, the start time from `/proc/PID/stat` and the machine's boot id: a pid
that was given to another process, or is from before a reboot, is never signalled. Each daemon
leads a session of its own, so what it leaves behind when killed is found by its session id.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import CloudError

POLL_SECONDS = 0.05

# Started by an intermediate process that ends at once, the daemon belongs to init, which reaps it:
# no zombie stays below a long-lived caller such as a test run. It writes its own record before it
# becomes the program, so that no kill of the caller leaves a process that nobody knows of.
_LAUNCHER = """
import json, os, sys
record, log, boot, *argv = sys.argv[1:]
if os.fork():
    os._exit(0)
os.setsid()
os.chdir("/")
out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
for number, source in ((0, os.open("/dev/null", os.O_RDONLY)), (1, out), (2, out)):
    os.dup2(source, number)
start = open("/proc/self/stat").read().rpartition(")")[2].split()[19]
with open(record + ".new", "w") as file:
    json.dump({"pid": os.getpid(), "start": int(start), "boot": boot}, file)
os.rename(record + ".new", record)
try:
    os.execvp(argv[0], argv)
except OSError as error:
    print(f"{argv[0]} cannot be started: {error.strerror}", flush=True)
    os._exit(127)
"""


@dataclass(frozen=True)
class ProcessStat:
    """Of `/proc/PID/stat`: state letter, parent, session id and start time in ticks."""

    state: str
    parent: int
    session: int
    start: int


def process_stat(pid: int) -> ProcessStat | None:
    """The process's state, or None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return ProcessStat(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def boot_id() -> str:
    """Names this boot of the machine: pids of another one mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Daemon:
    """One process of the cloud: how it is started, and where its record and log are.

    `enter` is put before `argv` (namespaces to enter); `env` is added to the environment.
    `stop_seconds` bounds the time it gets to end by itself before it is killed.
    """

    name: str
    argv: tuple[str, ...]
    record: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    enter: tuple[str, ...] = ()
    stop_seconds: float = 15.0

    def pid(self) -> int | None:
        """The pid of the running process that was started here, else None."""
        recorded = self._recorded()
        if recorded is None:
            return None
        pid, start = recorded
        stat = process_stat(pid)
        alive = stat is not None and stat.start == start and stat.state not in "ZX"
        return pid if alive else None

    @property
    def running(self) -> bool:
        return self.pid() is not None

    def start(self) -> bool:
        """Start it unless it runs; True if it was started now."""
        if self.running:
            return False
        self._kill_leftovers()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.record.unlink(missing_ok=True)
        words = (str(self.record), str(self.log), boot_id(), *self.enter, *self.argv)
        subprocess.run(
            [sys.executable, "-S", "-c", _LAUNCHER, *words],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            check=True,
        )
        deadline = time.monotonic() + 10.0
        while not self.record.exists() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 10)
        return True

    def stop(self) -> bool:
        """Ask it to end, kill it when it does not; True if it had been running."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            self.resume()
            self._wait_gone(self.stop_seconds)
        self._kill_leftovers()
        self.record.unlink(missing_ok=True)
        return pid is not None

    def kill(self) -> None:
        """SIGKILL, to the process alone: what a crash would leave behind is left behind."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._wait_gone(5.0)

    def pause(self) -> None:
        """SIGSTOP to every process of its session."""
        self._signal_session(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to every process of its session."""
        self._signal_session(signal.SIGCONT)

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`; raises `CloudError` if the process ends first or time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise CloudError(f"{self.name} ended while it was starting.", self.log)
            if time.monotonic() > deadline:
                raise CloudError(f"{self.name} did not answer within {seconds:.0f} s.", self.log)
            time.sleep(POLL_SECONDS)

    def _recorded(self) -> tuple[int, int] | None:
        try:
            values = json.loads(self.record.read_text())
            if values["boot"] != boot_id():
                return None
            return int(values["pid"]), int(values["start"])
        except (OSError, ValueError, KeyError):
            return None

    def _session(self) -> Iterator[int]:
        recorded = self._recorded()
        if recorded is None:
            return
        leader, start = recorded
        stat = process_stat(leader)
        if stat is not None and stat.start != start:
            return  # The number was given to another process, so nothing of ours is left.
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                member = process_stat(int(entry))
                if member is not None and member.session == leader and member.state not in "ZX":
                    yield int(entry)

    def _signal_session(self, number: signal.Signals) -> None:
        for pid in list(self._session()):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _kill_leftovers(self) -> None:
        self._signal_session(signal.SIGKILL)
        deadline = time.monotonic() + 5.0
        while any(self._session()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _wait_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
