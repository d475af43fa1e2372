# SPDX-License-Identifier: Apache-2.0
"""Short-lived commands: run, logged, and failed in one sentence."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import CloudError


def run(
    argv: Sequence[str],
    *,
    what: str = "",
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    seconds: float = 600.0,
    stdin: bytes = b"",
) -> str:
    """Run a command and return its output.

    With `log`, both streams are appended there instead, and "" is returned. `what` names the
    work in the error. Raises `CloudError` on a failure or a time-out.
    """
    label = what or " ".join(argv[:3])
    try:
        done = _run(argv, env, log, seconds, stdin)
    except FileNotFoundError as error:
        raise CloudError(f"{label} failed: there is no command {argv[0]}.") from error
    except subprocess.TimeoutExpired as error:
        raise CloudError(f"{label} took longer than {seconds:.0f} s.", log) from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout or b"").decode(errors="replace").strip()[-600:]
        detail = f": {words}" if words else "."
        raise CloudError(f"{label} failed with exit code {done.returncode}{detail}", log)
    return (done.stdout or b"").decode(errors="replace")


def attempt(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, seconds: float = 60.0
) -> str:
    """A command that may fail, as a look or a clean-up does: its output, or "" if it failed."""
    try:
        done = _run(argv, env, None, seconds, b"")
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def succeeds(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, seconds: float = 20.0
) -> bool:
    """Whether a command exits with 0 within `seconds`; its output is dropped."""
    try:
        return _run(argv, env, None, seconds, b"").returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _run(
    argv: Sequence[str],
    env: Mapping[str, str] | None,
    log: Path | None,
    seconds: float,
    stdin: bytes,
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **(env or {})}
    if log is None:
        return subprocess.run(
            argv, env=environment, capture_output=True, timeout=seconds, check=False, input=stdin
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.run(
            argv,
            env=environment,
            stdout=file,
            stderr=file,
            timeout=seconds,
            check=False,
            input=stdin,
        )
