# SPDX-License-Identifier: Apache-2.0
"""kuryr-libnetwork from PyPI, in an environment of its own, with what it needs here."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path

import openstack

from bench.contender import Ground, NotAvailable
from bench.environment import CannotInstall, environment
from localcloud.api import ADMIN_CLOUD, Cloud

VERSION = "18.0.0"
ADDRESS = "127.0.0.1:23750"


def serve(ground: Ground) -> subprocess.Popen[bytes]:
    """Its daemon, on `ADDRESS` within the host. Raises `NotAvailable`."""
    home = ground.cloud.layout.settings.state / "bench" / "kuryr-libnetwork"
    try:
        venv = environment(home, [f"kuryr-libnetwork=={VERSION}"], ["setuptools<81"])
    except CannotInstall as reason:
        raise NotAvailable(f"kuryr-libnetwork {VERSION}: {reason}") from reason
    config = ground.folder / "kuryr.conf"
    with config.open("w") as file:
        _config(ground.cloud, venv, ground.folder).write(file)
    ovs = {"OVS_RUNDIR": str(Path(ground.host.ovsdb.removeprefix("unix:")).parent)}
    with (ground.folder / "kuryr.log").open("wb") as log:
        return ground.host.popen(
            [str(venv / "bin" / "kuryr-server"), "--config-file", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**ovs, "PATH": f"{venv / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"},
        )


def _config(cloud: Cloud, venv: Path, folder: Path) -> configparser.ConfigParser:
    region = openstack.config.loader.OpenStackConfig(config_files=[str(cloud.clouds_file)]).get_one(
        cloud=ADMIN_CLOUD
    )
    auth = region.config["auth"]
    config = configparser.ConfigParser()
    config["DEFAULT"] = {
        "bindir": str(venv / "libexec" / "kuryr"),
        "capability_scope": "local",
        "state_path": str(folder / "kuryr-state"),
        "kuryr_uri": f"http://{ADDRESS}",
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
