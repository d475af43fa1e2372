# SPDX-License-Identifier: Apache-2.0
"""One at a time for each key: locks that exist only while somebody holds or awaits them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock for each key."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def busy(self, key: str) -> bool:
        """Whether somebody holds or awaits the key's lock."""
        return key in self._locks

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Holds the key's lock; the last user takes the lock away."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
