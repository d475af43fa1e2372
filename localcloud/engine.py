# SPDX-License-Identifier: Apache-2.0
"""A host's Docker engine: one of our own, or on the machine itself the one that answers there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import engines
from .commands import attempt, succeeds
from .packages import find
from .place import Place
from .process import Daemon, process_stat

MACHINE_SOCKET = Path("/var/run/docker.sock")
START_SECONDS = 90.0


@dataclass(frozen=True)
class Choice:
    """A host's engine: one of `engines.VERSIONS`, or "" for the installed one, and its flags."""

    version: str = ""
    arguments: tuple[str, ...] = ()


def socket_path(place: Place) -> Path:
    """The engine's socket, as the machine sees it."""
    return MACHINE_SOCKET if place.is_machine else place.run / "docker.sock"


def choice(place: Place) -> Choice:
    """What the engine was last started with."""
    try:
        values = json.loads((place.folder / "engine.json").read_text())
        return Choice(str(values["version"]), tuple(values["arguments"]))
    except (OSError, ValueError, KeyError):
        return Choice()


def daemon(place: Place, chosen: Choice | None = None) -> Daemon:
    """The engine's process. Exec root and socket are Docker's defaults, inside the host."""
    picked = chosen or choice(place)
    # Each version has a data root of its own: an older engine cannot read a newer one's.
    root = place.folder / ("docker" + (f"-{picked.version}" if picked.version else ""))
    return place.layout.daemon(
        f"dockerd-{place.name}",
        (
            _program(place, picked, "dockerd"),
            f"--data-root={root}",
            f"--pidfile={place.folder / 'docker.pid'}",
            f"--config-file={place.folder / 'daemon.json'}",
            "--host=unix:///var/run/docker.sock",
            *picked.arguments,
        ),
        env={"PATH": _path(place, picked)},
        enter=place.enter,
        stop_seconds=60.0,
    )


def start(place: Place, chosen: Choice | None = None) -> str:
    """Start the engine unless one answers. Raises `CloudError`."""
    picked = chosen or choice(place)
    process = daemon(place, picked)
    if answers(place):
        return "running" if process.running else "the machine's own"
    if picked.version:
        engines.fetch(picked.version, place.layout)
    place.folder.mkdir(parents=True, exist_ok=True)
    (place.folder / "daemon.json").write_text("{}\n")
    (place.folder / "engine.json").write_text(json.dumps(asdict(picked)))
    (place.folder / "docker.pid").unlink(missing_ok=True)
    _await_end_of_containerd(place)
    process.start()
    process.wait_ready(lambda: answers(place), START_SECONDS)
    return "started"


def answers(place: Place) -> bool:
    """Whether an engine answers on this host's socket."""
    return socket_path(place).exists() and succeeds(
        [*docker(place), "version", "--format", "{{.Server.Version}}"], seconds=10
    )


def docker(place: Place) -> list[str]:
    """The client's command line for this host's engine."""
    return [_program(place, choice(place), "docker"), "--host", f"unix://{socket_path(place)}"]


def stop(place: Place, *, with_containers: bool) -> bool:
    """Stop our engine; with `with_containers` also what `--live-restore` would keep running."""
    process = daemon(place)
    if not process.running:
        if with_containers:
            kill_shims(place)
        return False
    if with_containers and answers(place):
        names = attempt([*docker(place), "ps", "-q"], seconds=20).split()
        if names:
            attempt([*docker(place), "kill", *names])
    process.stop()
    if with_containers:
        kill_shims(place)
    return True


def changed(place: Place, version: str | None, arguments: tuple[str, ...] | None) -> Choice:
    """The last choice with the given parts changed."""
    picked = choice(place)
    if version is not None:
        picked = replace(picked, version=version)
    if arguments is not None:
        picked = replace(picked, arguments=arguments)
    return picked


def kill_shims(place: Place) -> None:
    """Kill containers whose engine died without them: the shims and their children."""
    shims = set(_shims(place))
    children = [pid for pid in _all_pids() if _parent(pid) in shims]
    for pid in [*children, *shims]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _shims(place: Place) -> Iterator[int]:
    """Shims in this host's network namespace that serve the engine's own containerd."""
    try:
        own = os.stat(f"/run/netns/{place.netns}" if place.netns else "/proc/self/ns/net").st_ino
    except FileNotFoundError:
        return  # Without its namespace the host has no processes.
    mark = b"/docker/containerd/containerd.sock"
    if place.is_machine and not (place.folder / "engine.json").exists():
        return  # The machine's own engine, and so its containers.
    for pid in _all_pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            space = os.stat(f"/proc/{pid}/ns/net").st_ino
        except OSError:
            continue
        if (
            b"containerd-shim" in words[0]
            and space == own
            and any(word.endswith(mark) for word in words)
        ):
            yield pid


def _all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _parent(pid: int) -> int:
    stat = process_stat(pid)
    return stat.parent if stat else 0


def _await_end_of_containerd(place: Place) -> None:
    """Wait while the containerd of a killed engine dies.

    An engine that starts in that moment takes it for living and gives up half a minute later.
    """
    record = place.run / "docker" / "containerd" / "containerd.pid"
    deadline = time.monotonic() + 5.0
    with contextlib.suppress(OSError, ValueError):
        while process_stat(int(record.read_text())) is not None and time.monotonic() < deadline:
            time.sleep(0.05)


def _program(place: Place, picked: Choice, name: str) -> str:
    if picked.version:
        return str(engines.programs(place.layout, picked.version) / name)
    return find(name) or name


def _path(place: Place, picked: Choice) -> str:
    usual = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"
    if picked.version:
        return f"{engines.programs(place.layout, picked.version)}:{usual}"
    return usual
