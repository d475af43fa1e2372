# SPDX-License-Identifier: Apache-2.0
"""Which Docker control plane this host belongs to, now and before.

A host that joins or leaves a Swarm changes its environment. What it made before keeps the tags of
the environment that it was made in: so every environment that this host ever was in is remembered,
and things are looked for under all of them.
"""

from __future__ import annotations

import asyncio
import json
import logging

from kurier.model.errors import Code, KurierError
from kurier.model.ids import EnvironmentId
from kurier.model.tags import environment_mark
from kurier.service.protocols import Ledger

LOG = logging.getLogger(__name__)
_CURRENT = "environment"
_KNOWN = "environments"


class Environment:
    """This host's environment: set by configuration, else told by the engine (its Swarm's id, or
    its own), and recalled from the ledger until the engine has told it.

    The engine is asked in the background only; a handler that needs the id waits a moment for it.
    """

    def __init__(self, ledger: Ledger, configured: str = "", patience: float = 2.0) -> None:
        self._ledger = ledger
        self._configured = configured
        self._patience = patience
        self._told = asyncio.Event()
        self.changed = asyncio.Event()
        """Set whenever the environment became another one."""
        self._id = EnvironmentId("")
        recalled = configured or ledger.meta(_CURRENT)
        if recalled:
            self.learn(recalled)

    def learn(self, identity: str) -> None:
        """Takes what the engine tells; what is configured goes before it."""
        found = EnvironmentId(self._configured or identity)
        if found == self._id:
            return
        if self._id:
            LOG.warning("environment %s follows %s: networks keep theirs", found, self._id)
        self._id = found
        others = [one for one in self._remembered() if one != found]
        with self._ledger.transaction():
            self._ledger.set_meta(_CURRENT, found)
            self._ledger.set_meta(_KNOWN, json.dumps([found, *others]))
        self._told.set()
        self.changed.set()

    @property
    def id(self) -> EnvironmentId | None:
        """The id, or None while it is not known."""
        return self._id or None

    async def require(self) -> EnvironmentId:
        """The id; raises INTERNAL where the engine has not told it yet."""
        try:
            await asyncio.wait_for(self._told.wait(), self._patience)
        except TimeoutError:
            raise KurierError(
                Code.INTERNAL,
                "The engine has not told its id yet, which Neutron's tags need: check "
                "engine.docker_host in Kurier's configuration, or set daemon.environment.",
            ) from None
        return self._id

    async def mark(self) -> str:
        """The environment as tags tell it."""
        return environment_mark(await self.require())

    async def all(self) -> tuple[EnvironmentId, ...]:
        """Every environment that this host was ever in, the present one first."""
        await self.require()
        return tuple(self._remembered())

    async def marks(self) -> tuple[str, ...]:
        """The same as tags tell them."""
        return tuple(environment_mark(one) for one in await self.all())

    def _remembered(self) -> list[EnvironmentId]:
        known: list[str] = json.loads(self._ledger.meta(_KNOWN) or "[]")
        current = self._ledger.meta(_CURRENT)  # all that ledgers before this list have
        if current and current not in known:
            known.insert(0, current)
        return [EnvironmentId(one) for one in known]
