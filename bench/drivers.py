# SPDX-License-Identifier: Apache-2.0
"""What is measured: Docker's bridge, Kurier and kuryr-libnetwork, each behind a stop-watch."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openstack

from bench.proxy import Stopwatch
from localcloud.api import ADMIN_CLOUD, Cloud, Host

PEER_VERSION = "18.0.0"
_PEER_ADDRESS = "127.0.0.1:23750"


class NotAvailable(Exception):
    """A driver that cannot be measured here, with the reason."""


@dataclass(slots=True)
class Contender:
    """A driver under measurement and its Docker network."""

    name: str
    network: str
    create: tuple[str, ...]
    watch: Stopwatch | None = None
    process: subprocess.Popen[bytes] | None = None
    settle_seconds: float = 0.0

    def stop(self) -> None:
        """Ends the daemon and its stop-watch."""
        if self.watch:
            self.watch.stop()
        if self.process:
            self.process.terminate()
            self.process.wait(20)


def bridge(cloud: Cloud, folder: Path) -> Contender:
    """A user-defined bridge network: the fair peer, since the engine sets up its DNS there too."""
    return Contender(
        "bridge", "bench-bridge", ("-d", "bridge", "--subnet", "10.211.0.0/24", "bench-bridge")
    )


def kurier(cloud: Cloud, folder: Path) -> Contender:
    """Kurier, its daemon behind the stop-watch."""
    host = cloud.hosts[0]
    config = folder / "kurier.toml"
    config.write_text(_kurier_config(cloud, host, folder))
    log = (folder / "kurier.log").open("wb")
    program = Path(sys.executable).with_name("kurier")
    command = [str(program), "serve", "--config", str(config)]
    process = host.popen(command, stdout=log, stderr=subprocess.STDOUT)
    watch = Stopwatch(host.plugin_dir / "benchkurier.sock", str(folder / "kurierbehind.sock"))
    watch.start()
    return Contender(
        "kurier",
        "bench-kurier",
        _create("benchkurier", "10.212.0.0/24", "bench-kurier"),
        watch,
        process,
        settle_seconds=2.5,
    )


def kuryr(cloud: Cloud, folder: Path) -> Contender:
    """kuryr-libnetwork from PyPI in an environment of its own."""
    host = cloud.hosts[0]
    venv = _peer_environment(cloud.layout.settings.state / "bench" / "kuryr-libnetwork")
    config = folder / "kuryr.conf"
    with config.open("w") as file:
        _peer_config(cloud, venv, folder).write(file)
    log = (folder / "kuryr.log").open("wb")
    ovs = {"OVS_RUNDIR": str(Path(host.ovsdb.removeprefix("unix:")).parent)}
    process = host.popen(
        [str(venv / "bin" / "kuryr-server"), "--config-file", str(config)],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**host.env, **ovs, "PATH": f"{venv / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    watch = Stopwatch(host.plugin_dir / "benchkuryr.sock", f"http://{_PEER_ADDRESS}")
    watch.start()
    create = _create("benchkuryr", "10.213.0.0/24", "bench-kuryr")
    return Contender("kuryr-libnetwork", "bench-kuryr", create, watch, process)


ALL: tuple[Callable[[Cloud, Path], Contender], ...] = (bridge, kurier, kuryr)


def _create(driver: str, subnet: str, name: str) -> tuple[str, ...]:
    gateway = subnet.replace(".0/24", ".1")
    ranges = ("--subnet", subnet, "--gateway", gateway)
    return ("-d", driver, "--ipam-driver", driver, *ranges, name)


def _kurier_config(cloud: Cloud, host: Host, folder: Path) -> str:
    return f"""
[daemon]
driver_name = "kurierbehind"
plugin_dir = "{folder}"
admin_socket = "{folder}/admin.sock"
state_dir = "{folder}/state"
[cloud]
name = "{ADMIN_CLOUD}"
[engine]
docker_host = "{host.docker_host}"
[datapath]
ovsdb = "{host.ovsdb}"
"""


def _peer_environment(venv: Path) -> Path:
    if (venv / "bin" / "kuryr-server").exists():
        return venv
    venv.parent.mkdir(parents=True, exist_ok=True)
    commands = (
        ["/usr/bin/python3", "-m", "venv", str(venv)],
        [str(venv / "bin" / "pip"), "install", "-q", f"kuryr-libnetwork=={PEER_VERSION}"],
        [str(venv / "bin" / "pip"), "install", "-q", "setuptools<81"],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise NotAvailable(f"kuryr-libnetwork {PEER_VERSION} cannot be installed: {last}")
    return venv


def _peer_config(cloud: Cloud, venv: Path, folder: Path) -> configparser.ConfigParser:
    region = openstack.config.loader.OpenStackConfig(config_files=[str(cloud.clouds_file)]).get_one(
        cloud=ADMIN_CLOUD
    )
    auth = region.config["auth"]
    config = configparser.ConfigParser()
    config["DEFAULT"] = {
        "bindir": str(venv / "libexec" / "kuryr"),
        "capability_scope": "local",
        "state_path": str(folder / "kuryr-state"),
        "kuryr_uri": f"http://{_PEER_ADDRESS}",
        "process_external_connectivity": "False",
    }
    config["binding"] = {
        "link_iface": "eth0",
        "driver": "kuryr.lib.binding.drivers.veth",
        "default_driver": "kuryr.lib.binding.drivers.veth",
    }
    config["neutron"] = {
        "auth_type": "password",
        "auth_url": auth["auth_url"],
        "username": auth["username"],
        "password": auth["password"],
        "project_name": auth["project_name"],
        "project_domain_id": auth.get("project_domain_id", "default"),
        "user_domain_id": auth.get("user_domain_id", "default"),
        "region_name": region.get_region_name("network") or "RegionOne",
        "endpoint_type": "public",
    }
    return config


def work_folder() -> tempfile.TemporaryDirectory[str]:
    """Where the daemons' files of one run live."""
    return tempfile.TemporaryDirectory(prefix="kurier-bench-")
