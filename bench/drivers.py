# SPDX-License-Identifier: Apache-2.0
"""What is measured: Docker's own networks, a driver that does nothing, Kurier, kuryr-libnetwork."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

from bench import peer
from bench.contender import Contender, Ground, NotAvailable
from bench.kurier_daemon import HAS_POOLS, KurierDaemon
from bench.proxy import Stopwatch

_HOST_MAX = 8192
"""Above what any benchmark keeps ready."""
_ROOT = Path(__file__).resolve().parents[1]


def no_network(ground: Ground) -> Contender:
    """`--network none`: what the engine costs without any network."""
    return Contender("none", "none")


def default_bridge(ground: Ground) -> Contender:
    """The network that every engine has; it gets none of the engine's DNS set-up."""
    return Contender("default-bridge", "bridge")


def bridge(ground: Ground) -> Contender:
    """A user-defined bridge network: the fair peer, since the engine sets up its DNS there too."""
    return Contender("bridge", "bench-bridge", IPv4Network("10.211.0.0/16"), ("-d", "bridge"))


def floor(ground: Ground) -> Contender:
    """A remote driver that does nothing: what any remote driver costs at least."""
    socket = ground.host.plugin_dir / "benchfloor.sock"
    socket.parent.mkdir(parents=True, exist_ok=True)
    process = ground.host.popen(
        [sys.executable, "-m", "bench.floor", str(socket), "--pairs", str(max(ground.pool, 32))],
        env={"PYTHONPATH": str(_ROOT)},
        stdin=subprocess.DEVNULL,
    )
    space = IPv4Network("10.214.0.0/16")
    return Contender("floor", "bench-floor", space, _remote("benchfloor"), process=process)


def kurier(ground: Ground) -> Contender:
    """Kurier with ready ports; the same as `kurier_cold` where none are wanted or kept."""
    if ground.pool and not HAS_POOLS:
        print("kurier: this Kurier has no pools of ready ports", file=sys.stderr)
    one = _kurier(ground, "benchkurier", {"enabled": ground.pool > 0, "host_max": _HOST_MAX})
    one.options = pool_options(ground.pool)
    return one


def kurier_cold(ground: Ground) -> Contender:
    """Kurier with pools switched off: each start waits for Neutron to make its port."""
    one = _kurier(ground, "benchcold", {"enabled": False})
    one.name, one.network, one.space = "kurier-cold", "bench-cold", IPv4Network("10.215.0.0/16")
    return one


def kuryr(ground: Ground) -> Contender:
    """kuryr-libnetwork from PyPI."""
    if ground.watched and ground.host.netns:
        raise NotAvailable("kuryr-libnetwork: its stop-watch reaches it on the machine itself only")
    space = IPv4Network("10.213.0.0/16")
    one = Contender("kuryr-libnetwork", "bench-kuryr", space, _remote("benchkuryr"))
    one.process = peer.serve(ground)
    if ground.watched:
        one.watch = _watch(ground, "benchkuryr", f"http://{peer.ADDRESS}")
    else:
        one.spec = _write_spec(ground, "benchkuryr", f"tcp://{peer.ADDRESS}")
    return one


ALL: dict[str, Callable[[Ground], Contender]] = {
    "none": no_network,
    "default-bridge": default_bridge,
    "bridge": bridge,
    "floor": floor,
    "kurier": kurier,
    "kurier-cold": kurier_cold,
    "kuryr-libnetwork": kuryr,
}


def contenders(ground: Ground, names: Iterable[str]) -> Iterator[Contender]:
    """Those that can be had here, their daemons started; the others are left out with a word."""
    for name in names:
        try:
            yield ALL[name](ground)
        except NotAvailable as reason:
            print(f"left out: {reason}", file=sys.stderr)


def pool_options(count: int) -> tuple[str, ...]:
    """What a network needs so that Kurier keeps so many ready ports; none where it has no pools."""
    if not HAS_POOLS or not count:
        return ()
    return ("-o", f"kurier.pool.min={count}", "-o", f"kurier.pool.max={count}")


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """Where the daemons' files of one run live."""
    return tempfile.TemporaryDirectory(prefix="kurier-bench-")


def _kurier(ground: Ground, driver: str, pools: dict[str, object]) -> Contender:
    folder = ground.folder / driver
    if ground.watched:
        daemon = KurierDaemon(ground.host, f"{driver}behind", folder, folder, pools)
    else:
        daemon = KurierDaemon(ground.host, driver, folder, ground.host.plugin_dir, pools)
    daemon.reconcile = ground.reconcile
    process = daemon.start()
    watch = _watch(ground, driver, str(daemon.socket)) if ground.watched else None
    one = Contender("kurier", "bench-kurier", IPv4Network("10.212.0.0/16"), _remote(driver))
    one.process, one.watch, one.kurier = process, watch, daemon
    return one


def _remote(driver: str) -> tuple[str, ...]:
    return ("-d", driver, "--ipam-driver", driver)


def _watch(ground: Ground, driver: str, upstream: str) -> Stopwatch:
    watch = Stopwatch(ground.host.plugin_dir / f"{driver}.sock", upstream)
    watch.start()
    return watch


def _write_spec(ground: Ground, driver: str, address: str) -> str:
    path = f"/etc/docker/plugins/{driver}.spec"
    script = 'mkdir -p "$(dirname "$1")" && echo "$2" >"$1"'
    ground.host.run(["sh", "-c", script, "sh", path, address])
    return path
