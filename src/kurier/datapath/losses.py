# SPDX-License-Identifier: Apache-2.0
"""Word of what stood in the switch and does no longer, from the database's thread to the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Losses:
    """Tells whoever waits that something was lost; not of what Kurier itself takes away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: set[str] = set()
        self._happened = False
        self._waiting: asyncio.Future[None] | None = None

    @contextmanager
    def expected(self, device: str) -> Iterator[None]:
        """In this block the device is Kurier's to remove; in any thread.

        The word comes while the database answers, so that it is here before the block ends.
        """
        with self._lock:
            self._expected.add(device)
        try:
            yield
        finally:
            with self._lock:
                self._expected.discard(device)

    def tell(self, device: str) -> None:
        """Says that a device was lost; in any thread."""
        with self._lock:
            if device in self._expected:
                return
            self._happened = True
            waiting = self._waiting
        if waiting is not None:
            try:
                waiting.get_loop().call_soon_threadsafe(_resolve, waiting)
            except RuntimeError:  # the loop has ended, and whoever waited with it
                return

    async def wait(self) -> None:
        """Until something is lost that nobody was told of yet; for one who waits at a time."""
        waiting = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting = waiting
            if self._happened:
                waiting.set_result(None)
        try:
            await waiting
        finally:
            with self._lock:
                self._waiting = None
                self._happened = False


def _resolve(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
