# SPDX-License-Identifier: Apache-2.0
"""Where things lie below the state folder, and the secrets that are made once."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .process import Daemon
from .settings import Settings

SECRET_NAMES = ("admin", "member", "neutron", "metadata")


@dataclass(frozen=True)
class Layout:
    """Paths of one cloud. Folders with secrets in them are root's alone."""

    settings: Settings

    @property
    def state(self) -> Path:
        return self.settings.state

    @property
    def venv(self) -> Path:
        """The stack's own Python environment: Neutron's many pins never meet Kurier's."""
        return self.state / "venv"

    @property
    def database_socket(self) -> Path:
        return self.state / "mariadb" / "my.sock"

    @property
    def central(self) -> Path:
        """Sockets of the OVN databases."""
        return self.state / "ovn"

    @property
    def neutron(self) -> Path:
        return self.state / "neutron"

    @property
    def keystone(self) -> Path:
        return self.state / "keystone"

    @property
    def policy_file(self) -> Path:
        """Neutron's policy overrides; Neutron reads it again whenever it changes."""
        return self.neutron / "policy.yaml"

    @property
    def clouds_file(self) -> Path:
        return self.state / "clouds.yaml"

    @property
    def downloads(self) -> Path:
        """Unpacked Debian packages and engines."""
        return self.state / "downloads"

    @property
    def namespaces(self) -> Path:
        """Mount namespaces of the hosts, kept alive by bind mounts."""
        return self.state / "ns"

    def host(self, name: str) -> Path:
        return self.state / "hosts" / name

    def log(self, name: str) -> Path:
        return self.state / "log" / f"{name}.log"

    def private_folder(self, path: Path) -> Path:
        """Make a folder that only root may enter."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        return path

    def daemon(
        self,
        name: str,
        argv: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        enter: tuple[str, ...] = (),
        stop_seconds: float = 15.0,
    ) -> Daemon:
        """A daemon with its record and log in the usual places."""
        return Daemon(
            name,
            argv,
            self.state / "run" / f"{name}.json",
            self.log(name),
            env or {},
            enter,
            stop_seconds,
        )

    def done(self, name: str) -> bool:
        """Whether one-time work of this name was marked as done."""
        return (self.state / "done" / name).exists()

    def mark_done(self, name: str) -> None:
        path = self.state / "done" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def secrets_of(layout: Layout) -> dict[str, str]:
    """The cloud's passwords, made at the first call and kept in a file of mode 0600."""
    path = layout.state / "secrets.json"
    if path.exists():
        stored: dict[str, str] = json.loads(path.read_text())
        return stored
    made = {name: secrets.token_urlsafe(18) for name in SECRET_NAMES}
    write_private(path, json.dumps(made, indent=2) + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Replace a file with one of mode 0600, never readable by others in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.new")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)
