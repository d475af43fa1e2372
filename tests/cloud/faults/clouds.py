# SPDX-License-Identifier: Apache-2.0
"""A `clouds.yaml` that is not as it should be, for a stage's next start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from localcloud.api import Cloud
from tests.cloud.stage import Stage


def spoil(
    stage: Stage, cloud: Cloud, folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    """Each entry of the local cloud's file as `change` makes it, whoever the daemon is."""
    document = yaml.safe_load(cloud.clouds_file.read_text())
    for entry in document["clouds"].values():
        change(entry)
    file = folder / "clouds.yaml"
    file.write_text(yaml.safe_dump(document))
    stage.daemon.environ["OS_CLIENT_CONFIG_FILE"] = str(file)
