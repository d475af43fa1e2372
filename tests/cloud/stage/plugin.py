# SPDX-License-Identifier: Apache-2.0
"""The managed plugin on a host of the stage, installed as users install it."""

from __future__ import annotations

import sys
from pathlib import Path

from kurier.config import Settings
from localcloud import image
from tests.cloud.stage.engine import Docker
from tests.cloud.stage.machine import local_host
from tests.cloud.stage.stage import Stage

PLUGIN = Settings().engine.swarm_plugin
__all__ = ["PLUGIN", "install_plugin", "install_words", "plugin_command", "remove_plugin"]


def install_plugin(stage: Stage, *options: str) -> str:
    """`kurier plugin install` on the stage's host: what it says."""
    return plugin_command(stage, *install_words(stage), *options)


def install_words(stage: Stage) -> tuple[str, ...]:
    """`install` with the busybox that the test image is made of: this machine need have none."""
    busybox = image.busybox(local_host(stage.machine).place.layout)
    return ("install", "--busybox", str(busybox))


def plugin_command(stage: Stage, *words: str) -> str:
    """`kurier plugin …` on the stage's host; raises CloudError with what it says if it fails."""
    kurier = str(Path(sys.executable).with_name("kurier"))
    command = [kurier, "plugin", *words, "--config", str(stage.daemon.config)]
    return stage.machine.run(command).stdout.strip()


def remove_plugin(docker: Docker) -> None:
    """Takes the plugin away, whoever uses it."""
    docker("plugin", "rm", "-f", PLUGIN, check=False)
