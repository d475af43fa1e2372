# SPDX-License-Identifier: Apache-2.0
"""What Keystone and Neutron have in common: a WSGI application under uWSGI."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .layout import Layout
from .process import Daemon

START_SECONDS = 120.0


def daemon(layout: Layout, name: str, env: Mapping[str, str]) -> Daemon:
    """The uWSGI master of one service."""
    return layout.daemon(
        name,
        (str(layout.venv / "bin" / "uwsgi"), "--ini", str(layout.state / name / "uwsgi.ini")),
        env=env,
    )


def configure(layout: Layout, name: str, module: str, port: int, processes: int) -> None:
    """Write the service's `uwsgi.ini`. It listens on the loopback and the API address."""
    # Neutron counts the workers of one start by start-time, and lazy-apps gives each worker
    # connections of its own; no-orphans ends the workers when the master is killed.
    (layout.state / name / "uwsgi.ini").write_text(f"""[uwsgi]
http-socket = {layout.settings.api_address}:{port}
http-socket = 127.0.0.1:{port}
module = {module}
master = true
processes = {processes}
threads = 4
enable-threads = true
lazy-apps = true
no-orphans = true
start-time = %t
add-header = Connection: close
die-on-term = true
hook-master-start = unix_signal:15 gracefully_kill_them_all
worker-reload-mercy = 5
venv = {layout.venv}
buffer-size = 65535
thunder-lock = true
log-date = true
""")


def start(service: Daemon, ready: Callable[[], bool]) -> str:
    """Start a service and wait until it answers. Raises `CloudError`."""
    started = service.start()
    service.wait_ready(ready, START_SECONDS)
    return "started" if started else "running"
