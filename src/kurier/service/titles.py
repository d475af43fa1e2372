# SPDX-License-Identifier: Apache-2.0
"""The names that users gave their networks: the plugin protocol tells ids alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from kurier.model.errors import Code, KurierError
from kurier.model.records import Job, NetworkRecord, NetworkState
from kurier.service.context import Context
from kurier.service.outbox import JobKind, Outbox

LOG = logging.getLogger(__name__)


def called(networks: Iterable[NetworkRecord], name: str, listed_by: str) -> NetworkRecord:
    """The network that an operator means by an id, its beginning, or a name; NOT_FOUND, with the
    command that lists them.
    """
    for record in networks:
        if name in (record.id, record.name) or (len(name) >= 4 and record.id.startswith(name)):
            return record
    raise KurierError(
        Code.NOT_FOUND, f"No Docker network {name} is known on this host: see `{listed_by}`."
    )


class Titles:
    """Learns names from the engine's API, in the background alone."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._ledger = context.ledger
        self._engine = context.engine
        outbox.handle(JobKind.NAME_NETWORK, self._name)

    async def learn(self) -> None:
        """Names every nameless network that the engine lists; tries no more than once."""
        if not self._nameless():
            return
        try:
            listed = await self._engine.networks()
        except KurierError as error:
            LOG.info("names of networks: %s", error.sentence)
            return
        # Read anew: a network may have been named or removed while the engine was asked.
        for record in self._nameless():
            name = listed.get(record.id)
            if name:
                self._ledger.put_network(replace(record, name=name))

    async def _name(self, job: Job) -> None:
        await self.learn()

    def _nameless(self) -> list[NetworkRecord]:
        return [
            record
            for record in self._ledger.networks()
            if record.state is NetworkState.ACTIVE and not record.name
        ]
