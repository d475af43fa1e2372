# SPDX-License-Identifier: Apache-2.0
"""Ports that are wanted at once are made by one request to Neutron.

A create waits a few milliseconds for others; what came meanwhile goes out together. A port that was
made so is looked at by itself, since bulk creates of some releases left attributes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kurier.model.errors import NOTHING_WAS_MADE, Code, KurierError
from kurier.model.ids import NetworkId, SecurityGroupId, SubnetId
from kurier.model.neutron import Port, PortSpec
from kurier.service.protocols import Cloud

_TOGETHER = 4
"""Ports of one request at most: Neutron takes some 0.6 s for each, and all wait for the last."""
_WORTH_A_TRY_ALONE = NOTHING_WAS_MADE - {Code.CREDENTIALS}


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A port that a call waits for."""

    spec: PortSpec
    answer: asyncio.Future[Port]


class Gathering:
    """Creates ports, those that are asked for within `window` seconds together; 0: each alone.

    Of one Neutron network one request is under way at a time, since its creates would contend for
    the same subnet's addresses; what is asked for meanwhile follows together.
    """

    def __init__(self, cloud: Cloud, window: float) -> None:
        self._cloud = cloud
        self._window = window
        self._waiting: list[_Asked] = []
        self._busy: set[NetworkId] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(self, spec: PortSpec) -> Port:
        """The port; raises what :meth:`Cloud.create_port` raises for it, whatever the others got.

        A caller that is cancelled leaves its port to be found by its `device_id`.
        """
        if self._window <= 0:
            return await self._cloud.create_port(spec)
        loop = asyncio.get_running_loop()
        asked = _Asked(spec, loop.create_future())
        self._waiting.append(asked)
        if self._timer is None:
            self._timer = loop.call_later(self._window, self._gathered)
        return await asked.answer

    def _gathered(self) -> None:
        self._timer = None
        self._send_what_waits()

    def _send_what_waits(self) -> None:
        while together := self._next():
            task = asyncio.create_task(self._send(together))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next(self) -> list[_Asked]:
        """What may go out now, by one request; whoever gave up waiting is left out."""
        self._waiting = [one for one in self._waiting if not one.answer.done()]
        free = [one for one in self._waiting if one.spec.network_id not in self._busy]
        together = free[:_TOGETHER]
        self._waiting = [one for one in self._waiting if one not in together]
        self._busy |= {one.spec.network_id for one in together}
        return together

    async def _send(self, together: Sequence[_Asked]) -> None:
        try:
            if len(together) == 1:
                await self._alone(together[0])
            else:
                await self._at_once(together)
        finally:
            self._busy -= {one.spec.network_id for one in together}
            if self._timer is None:  # else others are being gathered yet, to go with these
                self._send_what_waits()

    async def _at_once(self, together: Sequence[_Asked]) -> None:
        """One request for all; where Neutron refuses it, one for each, so that a bad one does not
        take the others with it.
        """
        try:
            ports = await self._cloud.create_ports([one.spec for one in together])
        except KurierError as error:
            if error.code in _WORTH_A_TRY_ALONE:
                waiting = [one for one in together if not one.answer.done()]
                await asyncio.gather(*map(self._alone, waiting))
                return
            for one in together:
                _fail(one, error)
        else:
            for one, port in zip(together, ports, strict=True):
                _check_and_answer(one, port)

    async def _alone(self, one: _Asked) -> None:
        try:
            port = await self._cloud.create_port(one.spec)
        except KurierError as error:
            _fail(one, error)
        else:
            _answer(one, port)


def fault_of(
    port: Port, subnets: Collection[SubnetId], groups: Collection[SecurityGroupId] | None
) -> str:
    """What is wrong with a port that Neutron made among others, or nothing."""
    if not set(subnets) <= {ip.subnet_id for ip in port.fixed_ips}:
        return "Neutron made it without an address of each subnet"
    if not port.mac:
        return "Neutron made it without a MAC address"
    if groups is not None and set(groups) != set(port.security_groups):
        return "Neutron made it with other security groups"
    return ""


def _check_and_answer(one: _Asked, port: Port) -> None:
    fault = fault_of(port, {ip.subnet_id for ip in one.spec.fixed_ips}, one.spec.security_groups)
    if fault:
        sentence = f"Port {port.id} is of no use, {fault}: try again, or set pool.gather to 0."
        _fail(one, KurierError(Code.CLOUD_ERROR, sentence))
    else:
        _answer(one, port)


def _answer(one: _Asked, port: Port) -> None:
    if not one.answer.done():
        one.answer.set_result(port)


def _fail(one: _Asked, error: KurierError) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)
