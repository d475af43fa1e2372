# SPDX-License-Identifier: Apache-2.0
"""One process a ledger: an advisory lock that the kernel drops with its holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from kurier.model.errors import Code, KurierError


class StateLock:
    """Holds `ledger.lock` in the state folder; its text is the holder's process id.

    Raises CONFLICT naming the process that has it.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(
            folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise KurierError(
                Code.CONFLICT,
                f"Another Kurier (process {holder or 'unknown'}) is using {folder}: stop it first, "
                "or give this one another daemon.state_dir.",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets the next one in; repeating it is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
