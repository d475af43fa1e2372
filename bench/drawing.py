# SPDX-License-Identifier: Apache-2.0
"""Has the picture drawn, in an environment of its own: the drawing library is nobody else's."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.environment import CannotInstall, environment
from localcloud.api import Cloud

_ROOT = Path(__file__).resolve().parents[1]
_LOCK = _ROOT / "requirements-bench.lock"


def draw(cloud: Cloud, numbers: Path, stem: Path) -> str:
    """STEM.png and STEM.svg from the JSON file; a sentence that says what became of it."""
    home = cloud.layout.settings.state / "bench" / "drawing"
    try:
        venv = environment(home, ["--require-hashes", "-r", str(_LOCK)])
    except CannotInstall as reason:
        return f"No picture was drawn: {reason}"
    python = str(venv / "bin" / "python")
    command = [python, "-m", "bench.picture", str(numbers.resolve()), str(stem.resolve())]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"No picture was drawn: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    return f"The picture: {stem}.png and {stem}.svg"
