# SPDX-License-Identifier: Apache-2.0
"""Those who wait for a port to be wired: asyncio's futures, answered from another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kurier.model.errors import KurierError


class Waiters:
    """Who waits for which device. Any thread may tell; nothing blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @contextmanager
    def waiting(self, device: str) -> Iterator[asyncio.Future[None]]:
        """A future that the first word on the device resolves; forgotten when the block ends."""
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.setdefault(device, set()).add(future)
        try:
            yield future
        finally:
            self._forget(device, future)
            future.cancel()  # a word that is on its way finds nobody to tell

    def awaited(self, device: str) -> bool:
        with self._lock:
            return device in self._waiting

    def tell(self, device: str, error: KurierError | None = None) -> None:
        """Says to all who wait for the device that it is wired, or why it never will be."""
        with self._lock:
            futures = tuple(self._waiting.get(device, ()))
        for future in futures:
            try:
                future.get_loop().call_soon_threadsafe(_resolve, future, error)
            except RuntimeError:
                # The loop has ended, and whoever waited with it.
                self._forget(device, future)

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def _forget(self, device: str, future: asyncio.Future[None]) -> None:
        with self._lock:
            futures = self._waiting.get(device, set())
            futures.discard(future)
            if not futures:
                self._waiting.pop(device, None)


def _resolve(future: asyncio.Future[None], error: KurierError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
