# SPDX-License-Identifier: Apache-2.0
"""Whether the ledger is this host's, and as far as the world is: asked before it is acted upon.

A state folder may be another host's (a cloned machine), or older than the world (a snapshot that
was put back). Acted upon, the one would delete ports that another host uses, the other ports of
containers that run. Such a ledger is set aside, and what is in use is found again from Neutron, the
switch and the engine.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from kurier.model.errors import Code, KurierError
from kurier.model.records import NetworkState
from kurier.model.upkeep import in_anothers_hand, in_two_hands
from kurier.service.asking import until_answered
from kurier.service.context import Context
from kurier.service.doing import patience

_Answer = TypeVar("_Answer")
_HOST, _MACHINE = "host", "machine"
_PATIENCE = 5.0
"""Seconds that a start waits at most for the first look at the switch."""
_NEUTRONS_TIME = 3.0
"""Seconds from a life's beginning for which a start waits for Neutron's word on ready ports."""
_MOMENT = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Arrival:
    """The first looks of a life. `unfit` is told why the ledger must not be used."""

    def __init__(self, context: Context, unfit: Callable[[str], None]) -> None:
        self._context = context
        self._ledger = context.ledger
        self._unfit = unfit
        self._met_switch = asyncio.Event()
        self._met_engine = asyncio.Event()
        self._met_neutron = asyncio.Event()
        self._neutron_until = float("-inf")
        """Until when a start waits for Neutron's word, in seconds of the monotonic clock."""

    @property
    def over(self) -> bool:
        """Whether switch and engine agree with the ledger: nothing is taken away before."""
        return self._met_engine.is_set()

    async def meet_neutron(self, look: Callable[[], Awaitable[None]]) -> None:
        """Has ready ports compared with Neutron, once the switch agrees and Neutron answers."""
        self._neutron_until = self._context.clock.monotonic() + _NEUTRONS_TIME
        await self._met_switch.wait()
        await _answered(look)
        self._met_neutron.set()

    async def ready_ports_seen(self) -> None:
        """Returns when ready ports were compared with Neutron, or when a start cannot wait for it:
        only in the first seconds of a life.
        """
        left = self._neutron_until - self._context.clock.monotonic()
        if left > 0 and not self._met_neutron.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._met_neutron.wait(), patience(left))

    async def run(self) -> None:
        """Looks until both have answered; the engine may be long in coming."""
        for look, met in (
            (self._meet_switch, self._met_switch),
            (self._meet_engine, self._met_engine),
        ):
            reason = await _answered(look)
            if reason:
                self._unfit(reason)
                return
            met.set()

    async def after_switch(self, work: Callable[[], Awaitable[None]]) -> None:
        """Background work that begins when the switch agrees: it takes nothing away by itself."""
        await self._met_switch.wait()
        await work()

    async def after_engine(self, work: Callable[[], Awaitable[None]]) -> None:
        """Background work that begins when both agree."""
        await self._met_engine.wait()
        await work()

    async def require_switch(self) -> None:
        """Returns once the switch agrees: nothing is plugged before. SWITCH_AWAY."""
        if not await _is_set_soon(self._met_switch):
            raise KurierError(
                Code.SWITCH_AWAY,
                "Open vSwitch has not answered since Kurier was started: see that it runs "
                "(systemctl status ovs-vswitchd).",
            )

    async def require_engine(self) -> None:
        """Returns once both agree: no network is made before, which a ledger that is set aside then
        would forget. SWITCH_AWAY, INTERNAL.
        """
        await self.require_switch()
        if not await _is_set_soon(self._met_engine):
            raise KurierError(
                Code.INTERNAL,
                "Docker's API has not answered since Kurier was started: check engine.docker_host "
                "in Kurier's configuration.",
            )

    async def _meet_switch(self) -> str:
        """Why the ledger is not this host's, or older than the switch, or nothing."""
        host, machine = await self._context.host(), self._context.settings.machine
        known = self._ledger.meta(_HOST)
        if known not in (None, host):
            return f"it is host {known}'s, and this is {host}"
        written = json.loads(self._ledger.meta(_MACHINE) or '["", ""]')
        if any(a and b and a != b for a, b in zip(written, machine, strict=True)):
            return f"it was written on another machine, although both are called {host}"
        plugged = await self._context.datapath.plugged()
        for port in in_anothers_hand(self._ledger.ports(), plugged):
            return f"a container has port {port.port_id}, which waits in it for one"
        with self._ledger.transaction():
            self._ledger.set_meta(_HOST, host)
            known_now = [b or a for a, b in zip(written, machine, strict=True)]
            self._ledger.set_meta(_MACHINE, json.dumps(known_now))
        return ""

    async def _meet_engine(self) -> str:
        """Why the ledger is older than what the engine runs, or nothing. Two looks have to agree:
        a container may be on its way in or out.
        """
        doubts = await self._doubts()
        if doubts:
            await asyncio.sleep(_MOMENT)
            doubts &= await self._doubts()
        return min(doubts, default="")

    async def _doubts(self) -> set[str]:
        living = await self._context.engine.living()
        listed = await self._context.engine.networks()
        ports = {
            f"a container has port {port.port_id}, and it knows another, or none"
            for port in in_two_hands(self._ledger.ports(), living)
        }
        networks = {
            f"Docker has network {record.name or record.id}, and it says that it is being made"
            for record in self._ledger.networks()
            if record.state is NetworkState.CREATING and record.id in listed
        }
        return ports | networks


async def _is_set_soon(event: asyncio.Event) -> bool:
    if not event.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), patience(_PATIENCE))
    return event.is_set()


async def _answered(look: Callable[[], Awaitable[_Answer]]) -> _Answer:
    told = "the ledger waits to be compared"
    return await until_answered(told, look, _FIRST_PAUSE, _LONGEST_PAUSE)
