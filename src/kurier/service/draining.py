# SPDX-License-Identifier: Apache-2.0
"""What operators do to pools: empty them, and free what their ports hold."""

from __future__ import annotations

from collections import Counter

from kurier.model import tags
from kurier.model.neutron import PortFilter
from kurier.model.records import NetworkRecord
from kurier.service.context import Context
from kurier.service.stock import Stock
from kurier.service.titles import called


class Draining:
    """Empties pools at an operator's word. Leases stay as they are."""

    def __init__(self, context: Context, stock: Stock) -> None:
        self._context = context
        self._ledger = context.ledger
        self._stock = stock

    def drain(self, names: tuple[str, ...]) -> None:
        """Empties the pools of these engine networks, or of all; NOT_FOUND."""
        known = self._ledger.networks()
        which = [called(known, name, "kurier pool list").id for name in names]
        self._stock.drain(which or None)

    async def free(self, resource: str) -> tuple[tuple[str, ...], int]:
        """Drains the pools whose ports hold a security group, QoS policy or subnet, by id or name;
        tells the engine networks and how many ports go.
        """
        wanted = {resource, *await self._ids(resource)}
        holding = [record.id for record in self._ledger.networks() if wanted & _holds(record)]
        self._stock.drain(holding)
        gone = self._stock.discard(
            lambda port: port.network in holding, f"{resource} is to be free"
        )
        return tuple(holding), gone

    async def everywhere(self) -> Counter[tuple[str, str]]:
        """Ready ports by host and Neutron network, in this environment, as Neutron tells them."""
        environment = await self._context.environment.require()
        marks = (tags.environment_tag(environment), tags.READY)
        found = await self._context.cloud.ports(PortFilter(tags=marks))
        return Counter((tags.host_of(port.tags), str(port.network_id)) for port in found)

    async def _ids(self, name: str) -> set[str]:
        cloud = self._context.cloud
        if len(name) == 36 and name.count("-") == 4:
            return set()
        groups = {str(one.id) for one in await cloud.security_groups(name=name)}
        subnets = {str(one.id) for one in await cloud.subnets(name=name)}
        policies: set[str] = set()
        if (await cloud.capabilities()).qos:
            policies = {str(one) for one in await cloud.qos_policies(name)}
        return groups | subnets | policies


def _holds(record: NetworkRecord) -> set[str]:
    held = {str(group) for group in record.security_groups or ()}
    held |= {str(subnet.id) for subnet in record.subnets}
    return held | ({str(record.qos_policy_id)} if record.qos_policy_id else set())
