# SPDX-License-Identifier: Apache-2.0
"""Security groups of Kurier's own for `--expose` and `-p`; the user's groups are never edited.

One group opens one set of ports, and every container of the environment that exposes this set
wears it: groups are few, and a project's quota of them is small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from kurier.model import tags
from kurier.model.ids import SecurityGroupId
from kurier.model.neutron import Port, PortFilter, Rule
from kurier.model.records import Job
from kurier.service.absence import unless_used
from kurier.service.context import Context
from kurier.service.outbox import LOST_ANSWER_DELAY, PRECAUTION, UNANSWERED, JobKind, Outbox
from kurier.service.turns import Turns

_SEEN = "seen"


class Exposure:
    """Finds, makes and removes the groups for exposed ports."""

    def __init__(self, context: Context, outbox: Outbox) -> None:
        self._context = context
        self._turns = Turns()
        self._outbox = outbox
        outbox.handle(JobKind.DROP_GROUP, self._drop)
        outbox.handle(JobKind.SWEEP_GROUP, self._sweep)

    async def group(self, rules: tuple[Rule, ...]) -> SecurityGroupId:
        """The group that opens exactly these ports; made where there is none."""
        environment = await self._context.environment.require()
        mark = _mark(rules)
        wanted = (tags.environment_tag(environment), tags.exposing_tag(mark))
        async with self._turns.turn("groups"):
            found = await self._context.cloud.security_groups(tags=wanted)
            if found:
                return min(group.id for group in found)
            name = f"kurier-expose-{mark[:8]}"
            why = {UNANSWERED: "create security group", PRECAUTION: "before it is made"}
            self._outbox.add(JobKind.SWEEP_GROUP, name, delay=LOST_ANSWER_DELAY, **why)
            made = await self._context.cloud.create_security_group(
                name, _description(rules), rules, (tags.MADE, *wanted)
            )
            return made.id

    async def unworn(self) -> frozenset[SecurityGroupId]:
        """The environment's groups that the ledger does not name and no port wears, on any host:
        a kill between making one and noting it leaves one, as does a lost ledger.
        """
        environment = tags.environment_tag(await self._context.environment.require())
        groups = await self._context.cloud.security_groups(tags=(environment,))
        idle = {one.id for one in groups if any(map(tags.is_exposing, one.tags))} - self._named()
        if not idle:
            return frozenset()
        ports = await self._context.cloud.ports(PortFilter(tags=(environment,)))
        worn = {group for port in ports for group in port.security_groups}
        return frozenset(idle - worn - self._named())

    def _named(self) -> set[SecurityGroupId]:
        """The groups that the ledger names."""
        ports = self._context.ledger.ports()
        return {port.exposing_group for port in ports if port.exposing_group is not None}

    async def worn_by(self, ports: Iterable[Port]) -> tuple[SecurityGroupId, ...]:
        """The groups of Kurier's own among those that ports wear."""
        worn = {group for port in ports for group in port.security_groups}
        if not worn:
            return ()
        made = await self._context.cloud.security_groups(tags=(tags.MADE,))
        return tuple(
            sorted(
                group.id
                for group in made
                if group.id in worn and any(map(tags.is_exposing, group.tags))
            )
        )

    async def _drop(self, job: Job) -> None:
        await self.drop(SecurityGroupId(job.key))

    async def _sweep(self, job: Job) -> None:
        """Deletes groups never tagged, seen by two looks: another host may be at one."""
        cloud, seen = self._context.cloud, job.payload.get(_SEEN, "").split()
        bare = [one.id for one in await cloud.security_groups(name=job.key) if not one.tags]
        for group in bare:
            if group in seen:
                await unless_used(cloud.delete_security_group(group))
        if bare:
            again = {**job.payload, _SEEN: " ".join(bare)}
            self._outbox.add(JobKind.SWEEP_GROUP, job.key, delay=LOST_ANSWER_DELAY, **again)

    async def drop(self, group: SecurityGroupId) -> None:
        """Deletes a group that nobody wears any more."""
        async with self._turns.turn("groups"):
            if group in self._named():
                return
            # Where another host of the environment wears it, its last wearer removes it.
            await unless_used(self._context.cloud.delete_security_group(group))


def _mark(rules: tuple[Rule, ...]) -> str:
    text = ",".join(sorted(map(_told, rules)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _told(rule: Rule) -> str:
    return f"{rule.protocol}/{rule.port_min}-{rule.port_max}/{rule.ethertype}"


def _description(rules: tuple[Rule, ...]) -> str:
    """What the group opens, for people; Neutron takes 255 characters."""
    ports = sorted({f"{rule.protocol}/{rule.port_min}" for rule in rules})
    return f"Kurier: opens {' '.join(ports)} of containers that expose them"[:255]
