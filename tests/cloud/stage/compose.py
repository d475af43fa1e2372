# SPDX-License-Identifier: Apache-2.0
"""Docker Compose on a stage's engine, and the commands that an example file's own comment gives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from localcloud import engines
from tests.cloud.stage.engine import IMAGE, DockerError
from tests.cloud.stage.stage import Stage


class Compose:
    """`docker compose`, its plugin in a folder of the test's own; what it brought up goes with the
    test.

    An example finds its image in KURIER_EXAMPLE_IMAGE, since no registry is asked here.
    """

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        plugins = folder / "docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(engines.compose())
        self._environment = {
            "DOCKER_CONFIG": str(plugins.parent),
            "KURIER_EXAMPLE_IMAGE": IMAGE,
        }

    def __call__(self, *arguments: str) -> str:
        """What `docker compose ARGUMENTS` says, stripped; DockerError where it fails."""
        return self.docker("compose", *arguments)

    def docker(self, *arguments: str) -> str:
        """The same of any `docker` command."""
        if arguments[0] == "compose" and "up" in arguments:
            down = [*arguments[: arguments.index("up")], "down", "-t", "1"]
            self._stage.undo(lambda: self.docker(*down))
        done = self._stage.docker.attempt(*arguments, env=self._environment, seconds=150)
        if done.returncode != 0:
            raise DockerError(f"docker {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()


def documented(file: Path) -> list[list[str]]:
    """The `docker` commands in the comment that a file begins with, without the word `docker`.

    Each stands on lines of its own, indented, with backslashes where it goes on.
    """
    lines = file.read_text().splitlines()
    head = "\n".join(line for line in lines if line.startswith("#"))
    whole = re.sub(r"\\\n#\s*", "", head)
    return [shlex.split(found) for found in re.findall(r"^#\s{2,}docker (.*)$", whole, re.M)]
