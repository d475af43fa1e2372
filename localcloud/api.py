# SPDX-License-Identifier: Apache-2.0
"""The local cloud for Python programs: tests, the demo, benchmarks.

>>> cloud = Cloud.load()
>>> cloud.up(hosts=2)
>>> cloud.host("host2").docker("run", "--rm", "--network", "none", IMAGE, "true")
>>> cloud.service("neutron").stop()
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml

from . import engine, keystone, lifecycle, mariadb, neutron, ovn, ovs
from .clouds_yaml import ADMIN_CLOUD, MEMBER_CLOUD
from .errors import CloudError
from .hosts import Host
from .http_api import answers
from .image import IMAGE
from .layout import Layout, write_private
from .place import Place, places
from .progress import Reporter
from .services import Service, StatusRow, status_row
from .settings import Settings, default_prefix, load, merge, state_folder

__all__ = ["ADMIN_CLOUD", "IMAGE", "MEMBER_CLOUD", "Cloud", "CloudError", "Host", "Service"]


class Cloud:
    """One local cloud, running or not."""

    def __init__(self, settings: Settings, reporter: Reporter | None = None) -> None:
        self.layout = Layout(merge(load(settings.state), settings))
        self._reporter = reporter or Reporter(sys.stderr)

    @classmethod
    def load(cls, state: Path | None = None) -> Cloud:
        """The cloud below `state` (default: `KURIER_CLOUD_STATE` or `/var/lib/kurier-cloud`).

        Where there is none yet, one with default settings, made by `up`.
        """
        folder = state or state_folder()
        return cls(load(folder) or Settings(folder, prefix=default_prefix(folder)))

    @property
    def settings(self) -> Settings:
        return self.layout.settings

    @property
    def clouds_file(self) -> Path:
        """A `clouds.yaml` with the entries `ADMIN_CLOUD` and `MEMBER_CLOUD`, mode 0600."""
        return self.layout.clouds_file

    @property
    def hosts(self) -> list[Host]:
        """The hosts, the machine itself first."""
        return [Host(place) for place in places(self.layout)]

    def host(self, name: str) -> Host:
        """The host of this name ("host1" …). Raises `CloudError` if there is none."""
        for candidate in self.hosts:
            if candidate.name == name:
                return candidate
        raise CloudError(f"There is no {name}; the cloud has {len(self.hosts)} host(s).")

    def up(self, hosts: int | None = None) -> None:
        """Start whatever does not run; with `hosts` also change their number."""
        if hosts is not None:
            self.layout = Layout(replace(self.settings, hosts=hosts))
        lifecycle.up(self.layout, self._reporter)

    def down(self) -> None:
        """Stop everything, keep the state."""
        lifecycle.down(self.layout, self._reporter)

    def reset(self, keep_downloads: bool = False) -> None:
        """Stop everything and wipe the state."""
        lifecycle.reset(self.layout, self._reporter, keep_downloads)

    def service(self, name: str) -> Service:
        """One service: mariadb, ovn-nb, ovn-sb, ovn-northd, keystone, neutron.

        Those of a host are had with `Host.service`. Raises `CloudError` for another name.
        """
        services = self._services()
        if name not in services:
            raise CloudError(f"There is no service {name}; there are {', '.join(services)}.")
        return services[name]

    def set_policy(self, rules: Mapping[str, str]) -> None:
        """Replace Neutron's policy overrides; it reads them at its next request.

        `{"create_port:binding:host_id": "role:member"}` lets tenants choose a port's host; `{}`
        gives Neutron's own rules back.
        """
        write_private(self.layout.policy_file, yaml.safe_dump(dict(rules)))

    def chassis(self) -> list[str]:
        """Host names of the chassis that OVN knows."""
        return ovs.chassis(self.layout)

    def await_hosts(self, seconds: int = 60) -> None:
        """Wait until every host's switch has what Neutron has told OVN so far.

        Raises `CloudError` after `seconds`; a chassis whose ovn-controller does not run is waited
        for as well.
        """
        ovn.await_hosts(self.layout, seconds)

    def status(self) -> list[StatusRow]:
        """One row per process, and what the APIs and engines answer."""
        settings = self.settings
        rows = [
            status_row(daemon)
            for daemon in (
                mariadb.daemon(self.layout),
                ovn.northbound(self.layout).daemon,
                ovn.southbound(self.layout).daemon,
                ovn.northd(self.layout),
            )
        ]
        rows.append(
            status_row(
                keystone.daemon(self.layout), settings.keystone_url, answers(settings.keystone_url)
            )
        )
        rows.append(
            status_row(
                neutron.daemon(self.layout),
                settings.neutron_url,
                answers(settings.neutron_url + "/v2.0/"),
            )
        )
        for place in places(self.layout):
            rows += [status_row(daemon) for daemon in lifecycle.host_daemons(place)[:3]]
            rows.append(_engine_row(place))
        return rows

    def _services(self) -> dict[str, Service]:
        layout = self.layout
        north, south = ovn.northbound(layout), ovn.southbound(layout)
        return {
            "mariadb": Service(mariadb.daemon(layout), lambda: mariadb.start(layout)),
            "ovn-nb": Service(north.daemon, lambda: ovn.start_database(layout, north)),
            "ovn-sb": Service(south.daemon, lambda: ovn.start_database(layout, south)),
            "ovn-northd": Service(ovn.northd(layout), ovn.northd(layout).start),
            "keystone": Service(keystone.daemon(layout), lambda: keystone.start(layout)),
            "neutron": Service(neutron.daemon(layout), lambda: neutron.start(layout)),
        }


def _engine_row(place: Place) -> StatusRow:
    process, up = engine.daemon(place), engine.answers(place)
    if up and not process.running:
        return StatusRow(
            process.name, "the machine's own", f"unix://{engine.socket_path(place)}", True
        )
    return status_row(process, f"unix://{engine.socket_path(place)}", up)
