# SPDX-License-Identifier: Apache-2.0
"""Who uses which Neutron network, as Neutron's tags tell it, whichever hosts they are."""

from __future__ import annotations

from dataclasses import dataclass

from kurier.model.census import Attachment, attachments, maker
from kurier.model.ids import EnvironmentId
from kurier.model.neutron import Network
from kurier.model.swarm import definitions_of
from kurier.service.context import Context


@dataclass(frozen=True, slots=True)
class AttachmentView:
    """One engine network on one Neutron network."""

    neutron_id: str
    neutron_name: str
    made_by: str
    """`kurier`, `kuryr-libnetwork`, or `others`, whose network stays when all have left."""
    environment: str
    """The environment's mark, as tags carry it; empty where kuryr-libnetwork attached it."""
    here: str
    """Whether that is this host's environment: `yes`, `former` or `no`."""
    docker_id: str
    name: str
    """The engine's name for it, where this host knows it."""
    hosts: int | None
    """How many hosts use it, for a Swarm's network."""


class Census:
    """Reads the tags of every Neutron network that the credentials show."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def everywhere(self) -> list[AttachmentView]:
        """Every environment's."""
        marks = await self._context.environment.marks()
        known = await self._context.environment.all()
        views = [
            self._view(network, attachment, marks, known)
            for network in await self._context.cloud.networks()
            for attachment in attachments(network.tags)
        ]
        return sorted(views, key=lambda one: (one.neutron_name, one.neutron_id))

    async def of_environment(self) -> list[AttachmentView]:
        """Those of this host's environment, and of each that it was in before."""
        return [one for one in await self.everywhere() if one.here != "no"]

    def _view(
        self,
        network: Network,
        attachment: Attachment,
        marks: tuple[str, ...],
        known: tuple[EnvironmentId, ...],
    ) -> AttachmentView:
        record = self._context.ledger.network(attachment.network)
        environment = attachment.environment or (marks[0] if record else "")
        return AttachmentView(
            network.id,
            network.name,
            maker(network.tags),
            attachment.environment,
            _here(environment, marks),
            attachment.network,
            record.name if record else _defined_name(network, attachment, known),
            attachment.hosts,
        )


def _defined_name(
    network: Network, attachment: Attachment, known: tuple[EnvironmentId, ...]
) -> str:
    told = (one for each in known for one in definitions_of(each, network))
    return next((one.name for one in told if one.id == attachment.network), "")


def _here(environment: str, marks: tuple[str, ...]) -> str:
    if environment not in marks:
        return "no"
    return "yes" if environment == marks[0] else "former"
