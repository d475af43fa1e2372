# SPDX-License-Identifier: Apache-2.0
"""The real Docker client against a host's real engine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cloud.stage.machine import Machine

IMAGE = "kurier/busybox:1"


class DockerError(Exception):
    """A Docker command failed; its text is what the user reads."""


class Docker:
    """`docker` for one host."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def release(self) -> int:
        """The engine's major version."""
        return int(self("version", "--format", "{{.Server.Version}}").partition(".")[0])

    def as_engine(self) -> Docker:
        """The client of the engine's own release where this machine has it.

        Newer clients refuse some options to older engines, which an older client passes on.
        """
        own = Path("/usr/bin/docker")
        return self if self.release >= 25 or not own.exists() else _Other(self._machine, own)

    def attempt(
        self, *arguments: str, seconds: float = 90.0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs the client and answers with all it said, whether it failed or not."""
        return subprocess.run(
            [*self._command(), *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )

    def __call__(self, *arguments: str, check: bool = True, seconds: float = 90.0) -> str:
        """The client's output, stripped; DockerError where it fails and `check` is on."""
        done = self.attempt(*arguments, seconds=seconds)
        if check and done.returncode != 0:
            raise DockerError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _command(self) -> list[str]:
        return self._machine.docker_command

    def fails(self, *arguments: str, seconds: float = 90.0) -> str:
        """What the client complains of; an AssertionError where it succeeds."""
        done = self.attempt(*arguments, seconds=seconds)
        assert done.returncode != 0, f"docker {' '.join(arguments)} succeeded: {done.stdout}"
        return done.stderr.strip()

    def inspect(self, *arguments: str) -> dict[str, Any]:
        """`docker inspect` of one thing; `network NAME` for a network."""
        kind, name = arguments if len(arguments) == 2 else ("container", arguments[0])
        answer: list[dict[str, Any]] = json.loads(self(kind, "inspect", name))
        return answer[0]

    def names(self, *listing: str) -> set[str]:
        """The names that a listing such as `network ls` shows."""
        return set(self(*listing, "--format", "{{json .}}").splitlines())


class _Other(Docker):
    """Another client of the same engine."""

    def __init__(self, machine: Machine, program: Path) -> None:
        super().__init__(machine)
        self._program = program

    def _command(self) -> list[str]:
        return [str(self._program), *super()._command()[1:]]
