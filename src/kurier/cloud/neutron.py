# SPDX-License-Identifier: Apache-2.0
"""`NeutronCloud`: the asynchronous face of Neutron, over threads that may block."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from openstack.config.cloud_region import CloudRegion

from kurier.cloud.agents import Agents
from kurier.cloud.bounds import Bounds, Clock
from kurier.cloud.calls import Health
from kurier.cloud.extensions import Extensions
from kurier.cloud.floating import FloatingIps
from kurier.cloud.groups import QosPolicies, SecurityGroups
from kurier.cloud.networks import Networks, Subnets, filters
from kurier.cloud.ports import Ports
from kurier.cloud.tagging import Tagging
from kurier.cloud.transport import Transport
from kurier.model.ids import (
    IPAddress,
    IPNetwork,
    NetworkId,
    PortId,
    QosPolicyId,
    SecurityGroupId,
    SubnetId,
    SubnetPoolId,
)
from kurier.model.neutron import (
    Agent,
    Capabilities,
    Kind,
    Network,
    NetworkSpec,
    Port,
    PortChange,
    PortFilter,
    PortSpec,
    Rule,
    SecurityGroup,
    Subnet,
    SubnetPool,
    SubnetSpec,
)

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


class NeutronCloud:
    """Fulfils the service's `Cloud` protocol; see there for what each method raises.

    `region` gives the cloud's settings and is first called at the first use, then again after
    credentials were refused. Nothing is contacted before the first use. A caller that is
    cancelled leaves its thread to finish, within the call's own limit.
    """

    def __init__(self, region: Callable[[], CloudRegion], bounds: Bounds, clock: Clock) -> None:
        self._transport = Transport(region, bounds, clock)
        self._threads = ThreadPoolExecutor(bounds.workers, thread_name_prefix="neutron")
        self._extensions = Extensions(self._transport)
        self._tagging = Tagging(self._transport)
        self._networks = Networks(self._transport, self._extensions)
        self._subnets = Subnets(self._transport, self._extensions)
        self._ports = Ports(self._transport, self._extensions, self._tagging)
        self._groups = SecurityGroups(self._transport, self._tagging)
        self._agents = Agents(self._transport)
        self._qos = QosPolicies(self._transport, self._extensions)
        self._floating = FloatingIps(self._transport, self._extensions)

    # ── how it is doing ──────────────────────────────────────────────────────

    @property
    def health(self) -> Health:
        """When Neutron answered last, and since when it does not."""
        return self._transport.record.health

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """HTTP requests to Neutron by (method, resource) since the start."""
        return self._transport.counter.calls

    @property
    def call_seconds(self) -> Mapping[tuple[str, str], float]:
        """Seconds spent in :attr:`calls`."""
        return self._transport.counter.seconds

    @property
    def errors(self) -> Mapping[str, int]:
        """Calls that ended in an error, by code."""
        return self._transport.counter.errors

    async def warm(self) -> None:
        """Authenticates and reads the capabilities, so that the first user need not wait."""
        await self.capabilities()

    def close(self) -> None:
        """Takes no more work. Threads that wait for Neutron end with their own time-outs."""
        self._transport.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ── the protocol ─────────────────────────────────────────────────────────

    async def capabilities(self) -> Capabilities:
        return await self._run(self._extensions.capabilities)

    async def network(self, network_id: NetworkId) -> Network:
        return await self._run(self._networks.get, network_id)

    async def networks(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Network]:
        return await self._run(self._networks.find, name, description, tags)

    async def create_network(self, spec: NetworkSpec) -> Network:
        return await self._run(self._networks.create, spec)

    async def rename_network(
        self, network_id: NetworkId, name: str, description: str, revision: int | None = None
    ) -> Network:
        return await self._run(self._networks.rename, network_id, name, description, revision)

    async def delete_network(self, network_id: NetworkId, revision: int | None = None) -> None:
        await self._run(self._networks.delete, network_id, revision)

    async def subnet(self, subnet_id: SubnetId) -> Subnet:
        return await self._run(self._subnets.get, subnet_id)

    async def subnets(
        self,
        *,
        network_id: NetworkId | None = None,
        name: str | None = None,
        cidr: IPNetwork | None = None,
        subnet_pool_id: SubnetPoolId | None = None,
        tags: Sequence[str] = (),
    ) -> list[Subnet]:
        which = filters(
            network_id=network_id, name=name, cidr=cidr, subnetpool_id=subnet_pool_id, tags=tags
        )
        return await self._run(self._subnets.find, which)

    async def create_subnet(self, spec: SubnetSpec) -> Subnet:
        return await self._run(self._subnets.create, spec)

    async def set_subnet_gateway(self, subnet_id: SubnetId, gateway: IPAddress | None) -> Subnet:
        return await self._run(self._subnets.set_gateway, subnet_id, gateway)

    async def delete_subnet(self, subnet_id: SubnetId, revision: int | None = None) -> None:
        await self._run(self._subnets.delete, subnet_id, revision)

    async def subnet_pool(self, pool_id: SubnetPoolId) -> SubnetPool:
        return await self._run(self._subnets.pool, pool_id)

    async def subnet_pools(
        self,
        *,
        name: str | None = None,
        default: bool | None = None,
        ip_version: int | None = None,
    ) -> list[SubnetPool]:
        return await self._run(self._subnets.pools, name, default, ip_version)

    async def delete_subnet_pool(self, pool_id: SubnetPoolId) -> None:
        await self._run(self._subnets.delete_pool, pool_id)

    async def port(self, port_id: PortId) -> Port:
        return await self._run(self._ports.get, port_id)

    async def ports(self, which: PortFilter) -> list[Port]:
        return await self._run(self._ports.find, which)

    async def create_port(self, spec: PortSpec) -> Port:
        return await self._run(self._ports.create, spec)

    async def create_ports(self, specs: Sequence[PortSpec]) -> list[Port]:
        return await self._run(self._ports.create_all, specs)

    async def update_port(
        self, port_id: PortId, change: PortChange, revision: int | None = None
    ) -> Port:
        return await self._run(self._ports.update, port_id, change, revision)

    async def delete_port(self, port_id: PortId) -> None:
        await self._run(self._ports.delete, port_id)

    async def led_to(self, ports: Sequence[PortId]) -> frozenset[PortId]:
        return await self._run(self._floating.leading_to, ports)

    async def replace_tags(self, kind: Kind, resource_id: str, tags: Sequence[str]) -> None:
        await self._run(self._tagging.replace, kind, resource_id, tags)

    async def add_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        await self._run(self._tagging.add, kind, resource_id, tag)

    async def remove_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        await self._run(self._tagging.remove, kind, resource_id, tag)

    async def security_groups(
        self, *, name: str | None = None, tags: Sequence[str] = ()
    ) -> list[SecurityGroup]:
        return await self._run(self._groups.find, name, tags)

    async def security_group(self, group_id: SecurityGroupId) -> SecurityGroup:
        return await self._run(self._groups.get, group_id)

    async def create_security_group(
        self, name: str, description: str, rules: Sequence[Rule], tags: Sequence[str]
    ) -> SecurityGroup:
        return await self._run(self._groups.create, name, description, rules, tags)

    async def delete_security_group(self, group_id: SecurityGroupId) -> None:
        await self._run(self._groups.delete, group_id)

    async def agents(self) -> list[Agent]:
        return await self._run(self._agents.find)

    async def qos_policies(self, name: str) -> list[QosPolicyId]:
        return await self._run(self._qos.find, name)

    async def qos_policy(self, policy_id: QosPolicyId) -> QosPolicyId:
        return await self._run(self._qos.get, policy_id)

    async def _run(
        self,
        work: Callable[_Params, _Result],
        *args: _Params.args,
        **kwargs: _Params.kwargs,
    ) -> _Result:
        """Runs `work` in a thread, with the caller's context, so that logs name its request."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(work, *args, **kwargs)
        )
