# SPDX-License-Identifier: Apache-2.0
"""Up, down and reset: the order of the parts; each step does only what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import (
    clouds_yaml,
    engine,
    image,
    keystone,
    mariadb,
    network,
    neutron,
    ovn,
    ovs,
    packages,
    stack_venv,
)
from .commands import attempt
from .errors import CloudError
from .guests import records
from .layout import Layout, secrets_of
from .locks import held
from .place import Place, places
from .process import Daemon
from .progress import Reporter, Step, run_steps
from .settings import MAX_HOSTS, settings_file


@contextlib.contextmanager
def locked(state: Path, reporter: Reporter) -> Iterator[None]:
    """One up, down or reset at a time; a second one waits and says so."""
    waiting = "another kurier-cloud is at work here; waiting for it"
    with held(state / "lock", lambda: reporter.line(waiting)):
        yield


def up(layout: Layout, reporter: Reporter) -> None:
    """Bring up whatever does not run. Raises `CloudError` in one sentence."""
    _require_root()
    if not 1 <= layout.settings.hosts <= MAX_HOSTS:
        raise CloudError(f"The number of hosts is from 1 to {MAX_HOSTS}.")
    with locked(layout.state, reporter):
        layout.settings.write()
        layout.log("up").parent.mkdir(exist_ok=True)
        secrets_of(layout)
        for place in _extra_hosts(layout):
            records.remove_all(layout, place.index)
            _stop_host(place)
            network.remove_host(place)
        run_steps(_steps(layout), reporter)


def down(layout: Layout, reporter: Reporter) -> None:
    """Stop everything that was started here; the state stays. Raises `CloudError`."""
    _require_root()
    with locked(layout.state, reporter):
        everywhere = _known_places(layout)
        records.remove_all(layout)
        _side_by_side(
            [
                lambda place=place: _stop_host(place)  # type: ignore[misc]
                for place in everywhere
            ]
        )
        reporter.line("hosts stopped")
        stop_all([neutron.daemon(layout), keystone.daemon(layout), ovn.northd(layout)])
        stop_all(
            [ovn.northbound(layout).daemon, ovn.southbound(layout).daemon, mariadb.daemon(layout)]
        )
        reporter.line("Neutron, Keystone, OVN and MariaDB stopped")
        network.remove(layout, everywhere)
        _unmount_below(layout.state)
        reporter.line("namespaces and bridges removed")


def reset(layout: Layout, reporter: Reporter, keep_downloads: bool = False) -> None:
    """Stop everything and wipe the state; with `keep_downloads` all but what was downloaded."""
    own_engine = Place(layout, 1).folder / "engine.json"
    down(layout, reporter)
    if own_engine.exists():
        attempt(["ip", "link", "del", "docker0"])
    clouds_yaml.remove(layout)
    with locked(layout.state, reporter):
        kept = {layout.venv, layout.downloads} if keep_downloads else set()
        for path in layout.state.iterdir():
            if path in kept:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if not kept:
            layout.state.rmdir()
    reporter.line(f"{layout.state} wiped")


def daemons(layout: Layout) -> list[Daemon]:
    """Every process the cloud has when it is up, machine's own engine excepted."""
    found = [
        mariadb.daemon(layout),
        ovn.northbound(layout).daemon,
        ovn.southbound(layout).daemon,
        ovn.northd(layout),
        keystone.daemon(layout),
        neutron.daemon(layout),
    ]
    for place in places(layout):
        found += host_daemons(place)
    return found


def host_daemons(place: Place) -> list[Daemon]:
    """The processes of one host, in the order they are started."""
    return [ovs.database(place), ovs.switch(place), ovs.controller(place), engine.daemon(place)]


def stop_all(these: list[Daemon]) -> None:
    """Stop processes side by side."""
    _side_by_side([daemon.stop for daemon in these])


def _steps(layout: Layout) -> list[Step]:
    log = layout.log("packages")
    steps = [
        Step("Debian packages", lambda: packages.ensure(packages.BASE, log)),
        Step("Docker package", lambda: _engine_package(layout), ("Debian packages",)),
        Step(
            "Keystone and Neutron (pip)",
            lambda: _install_stack(layout),
            () if packages.venv_possible() else ("Debian packages",),
        ),
        Step("busybox", lambda: _fetch_busybox(layout)),
        Step("MariaDB", lambda: mariadb.start(layout), ("Debian packages",)),
        Step("bridges", lambda: network.make_bridges(layout), ("Debian packages",)),
        Step("OVN databases and northd", lambda: ovn.start(layout), ("bridges",)),
        Step(
            "Keystone tables",
            lambda: keystone.configure(layout),
            ("MariaDB", "Keystone and Neutron (pip)"),
        ),
        Step("Keystone", lambda: keystone.start(layout), ("Keystone tables", "bridges")),
        Step("users, projects, catalogue", lambda: keystone.populate(layout), ("Keystone",)),
        Step(
            "Neutron tables",
            lambda: neutron.configure(layout),
            ("MariaDB", "Keystone and Neutron (pip)"),
        ),
        Step(
            "Neutron",
            lambda: neutron.start(layout),
            ("Neutron tables", "users, projects, catalogue", "OVN databases and northd"),
        ),
        Step("clouds.yaml", lambda: clouds_yaml.write(layout), ("Neutron",)),
    ]
    for place in places(layout):
        steps += _host_steps(place)
    return steps


def _host_steps(place: Place) -> list[Step]:
    name = place.name
    return [
        Step(f"{name}: namespaces, cables", lambda: network.make_host(place), ("bridges",)),
        Step(f"{name}: Open vSwitch", lambda: ovs.start(place), (f"{name}: namespaces, cables",)),
        Step(
            f"{name}: ovn-controller",
            lambda: ovs.start_controller(place),
            (f"{name}: Open vSwitch", "OVN databases and northd"),
        ),
        Step(
            f"{name}: Docker engine",
            lambda: _start_engine(place),
            (f"{name}: namespaces, cables", "Docker package"),
        ),
        Step(
            f"{name}: test image", lambda: image.load(place), (f"{name}: Docker engine", "busybox")
        ),
    ]


def _start_engine(place: Place) -> str:
    word = engine.start(place)
    network.allow_bridged(place.layout)  # The engine has just set FORWARD to DROP.
    return word


def _engine_package(layout: Layout) -> str:
    return packages.ensure(packages.ENGINE, layout.log("packages"))


def _install_stack(layout: Layout) -> str:
    if not stack_venv.current(layout):
        # What runs from the environment that is about to be replaced would fail one by one.
        stop_all([neutron.daemon(layout), keystone.daemon(layout)])
    return stack_venv.ensure(layout)


def _fetch_busybox(layout: Layout) -> str:
    image.busybox(layout)
    return "there"


def _extra_hosts(layout: Layout) -> list[Place]:
    """Hosts of an earlier `up` that this one does not ask for."""
    return [
        place
        for place in _known_places(layout)
        if place.index > layout.settings.hosts and Path(f"/run/netns/{place.netns}").exists()
    ]


def _known_places(layout: Layout) -> list[Place]:
    return [
        Place(layout, index)
        for index in range(1, MAX_HOSTS + 1)
        if layout.host(f"host{index}").exists()
    ]


def _stop_host(place: Place) -> None:
    engine.stop(place, with_containers=True)
    ovs.stop(place)


def _side_by_side(work: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(piece) for piece in work]:
            future.result()


def _unmount_below(folder: Path) -> None:
    """Mounts that engines and namespaces left below the state folder, innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        attempt(["umount", "--lazy", mount])


def _require_root() -> None:
    if os.geteuid() != 0:
        raise CloudError("The local cloud makes devices and namespaces: it has to be run as root.")


def exists(state: Path) -> bool:
    """Whether a cloud was ever made below `state`."""
    return settings_file(state).exists()
