# SPDX-License-Identifier: Apache-2.0
"""Neutron's agents: which hosts it hears of."""

from __future__ import annotations

from kurier.cloud.calls import Call
from kurier.cloud.reading import whole_list
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireAgent
from kurier.model.errors import Code, KurierError
from kurier.model.neutron import Agent


class Agents:
    """Neutron's agents. Blocking."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def find(self) -> list[Agent]:
        """All of them; none where policy hides them.

        Neutron's default policy leaves agents out of a tenant's list rather than refuse it; other
        policies refuse, and some clouds have no agents at all.
        """
        call = Call("GET", "/agents", "list its agents", facts={"noun": "list", "id": "of agents"})
        try:
            return whole_list(self._transport, call, "agents", WireAgent)
        except KurierError as error:
            if error.code not in (Code.POLICY, Code.NOT_FOUND):
                raise
            return []
