# SPDX-License-Identifier: Apache-2.0
"""What the service needs of the world, as narrow protocols that the other rooms fulfil.

Every method that fails raises :class:`kurier.model.errors.KurierError` and nothing else, with the
code named in its docstring. Deletes of what is gone succeed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kurier.model.ids import (
    DockerNetworkId,
    EndpointId,
    IPAddress,
    IPNetwork,
    NetworkId,
    PoolId,
    PortId,
    PortKey,
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
from kurier.model.port import PortRecord
from kurier.model.records import Job, NetworkRecord, PoolRecord
from kurier.model.wiring import Attached, End, Plug, Plugged, SwitchFacts


class Cloud(Protocol):
    """Neutron. Every call may raise CREDENTIALS, CLOUD_AWAY, CLOUD_ERROR or POLICY besides the
    codes named below; lists are complete (all pages) or an error, never partial.
    """

    async def capabilities(self) -> Capabilities: ...

    async def network(self, network_id: NetworkId) -> Network:
        """One network; NOT_FOUND."""

    async def networks(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
    ) -> list[Network]: ...

    async def create_network(self, spec: NetworkSpec) -> Network:
        """QUOTA."""

    async def rename_network(
        self, network_id: NetworkId, name: str, description: str, revision: int | None = None
    ) -> Network:
        """NOT_FOUND; CHANGED where `revision` no longer holds (If-Match)."""

    async def delete_network(self, network_id: NetworkId, revision: int | None = None) -> None:
        """IN_USE where ports are left; CHANGED where `revision` no longer holds (If-Match)."""

    async def subnet(self, subnet_id: SubnetId) -> Subnet:
        """NOT_FOUND."""

    async def subnets(
        self,
        *,
        network_id: NetworkId | None = None,
        name: str | None = None,
        cidr: IPNetwork | None = None,
        subnet_pool_id: SubnetPoolId | None = None,
        tags: Sequence[str] = (),
    ) -> list[Subnet]: ...

    async def create_subnet(self, spec: SubnetSpec) -> Subnet:
        """QUOTA, CONFLICT (overlap), EXHAUSTED (subnet pool), BAD_REQUEST."""

    async def set_subnet_gateway(self, subnet_id: SubnetId, gateway: IPAddress | None) -> Subnet:
        """Gives a subnet another gateway, or none. NOT_FOUND, CONFLICT."""

    async def delete_subnet(self, subnet_id: SubnetId, revision: int | None = None) -> None:
        """IN_USE; CHANGED where `revision` no longer holds (If-Match)."""

    async def subnet_pool(self, pool_id: SubnetPoolId) -> SubnetPool:
        """NOT_FOUND."""

    async def subnet_pools(
        self,
        *,
        name: str | None = None,
        default: bool | None = None,
        ip_version: int | None = None,
    ) -> list[SubnetPool]: ...

    async def delete_subnet_pool(self, pool_id: SubnetPoolId) -> None:
        """IN_USE."""

    async def port(self, port_id: PortId) -> Port:
        """NOT_FOUND."""

    async def ports(self, which: PortFilter) -> list[Port]: ...

    async def create_port(self, spec: PortSpec) -> Port:
        """One write where the cloud takes tags on create, else a second for the tags.

        ADDRESS_IN_USE, ADDRESS_INVALID, EXHAUSTED (no address left), QUOTA, NOT_FOUND,
        POLICY (names the policy), BINDING_FAILED is judged by the caller from `vif_type`.
        Where the tags fail after the create, the port is deleted again before the error leaves.
        """

    async def create_ports(self, specs: Sequence[PortSpec]) -> list[Port]:
        """Several at once, told apart by `device_id`, in the order asked for; all or none.

        The errors are those of :meth:`create_port`.
        """

    async def replace_tags(self, kind: Kind, resource_id: str, tags: Sequence[str]) -> None:
        """Gives a resource that is ours, and that nobody else tags, just these; NOT_FOUND."""

    async def update_port(
        self, port_id: PortId, change: PortChange, revision: int | None = None
    ) -> Port:
        """NOT_FOUND, ADDRESS_IN_USE, ADDRESS_INVALID; CHANGED where a revision is insisted on and
        it has another.
        """

    async def led_to(self, ports: Sequence[PortId]) -> frozenset[PortId]:
        """Those of these ports that a floating IP, or a port forwarding of one, leads to."""

    async def delete_port(self, port_id: PortId) -> None: ...

    async def add_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        """NOT_FOUND. Adding a tag that is there succeeds."""

    async def remove_tag(self, kind: Kind, resource_id: str, tag: str) -> None:
        """A tag or resource that is gone counts as removed."""

    async def security_groups(
        self, *, name: str | None = None, tags: Sequence[str] = ()
    ) -> list[SecurityGroup]: ...

    async def security_group(self, group_id: SecurityGroupId) -> SecurityGroup:
        """NOT_FOUND."""

    async def create_security_group(
        self, name: str, description: str, rules: Sequence[Rule], tags: Sequence[str]
    ) -> SecurityGroup:
        """A group with exactly these ingress rules and no egress rule of its own; QUOTA.

        Undone as a whole where any step fails.
        """

    async def delete_security_group(self, group_id: SecurityGroupId) -> None:
        """IN_USE where ports wear it."""

    async def agents(self) -> list[Agent]:
        """Neutron's agents on every host; none where these credentials may not see them."""

    async def qos_policies(self, name: str) -> list[QosPolicyId]: ...

    async def qos_policy(self, policy_id: QosPolicyId) -> QosPolicyId:
        """NOT_FOUND."""


class Datapath(Protocol):
    """This host's wiring. Every call may raise SWITCH_AWAY or SWITCH_ERROR."""

    async def facts(self) -> SwitchFacts: ...

    async def plug(self, plug: Plug) -> None:
        """Makes the veth pair and plugs it, or leaves nothing behind. Repeating it is harmless."""

    async def plug_all(self, plugs: Sequence[Plug]) -> None:
        """Makes several pairs and plugs them in one transaction; all or nothing."""

    def end_waits(self, device: str) -> bool:
        """Whether this end of a pair is in the host's namespace. At once: one system call."""

    async def reset(self, plug: Plug) -> End:
        """Makes the sandbox's end as :meth:`plug` makes it, if it is back and not elsewhere."""

    async def forget_flows(self, port_id: PortId, addresses: Sequence[IPAddress]) -> None:
        """Forgets the connections of a port, so that the next user is sent nothing of them."""

    async def announce(self, sandbox: str, mac: str, addresses: Sequence[IPAddress]) -> bool:
        """Tells neighbours who has these addresses now; False where no interface is up."""

    async def replug(self, plug: Plug) -> bool:
        """Puts back a port that stood in the switch: its row, and its end of the pair up, whoever
        has the other end. False where the pair is gone: nothing can serve who had it.
        """

    async def lost(self) -> None:
        """Waits until somebody else removes or changes what stands in the switch for a port."""

    async def unplug(self, device: str) -> None:
        """Takes the port out of the switch and deletes the pair. What is gone is gone."""

    async def wait_wired(self, device: str, timeout: float) -> bool:  # noqa: ASYNC109
        """Waits (seconds) for the switch's own word that the port is wired; False on time-out.

        With the ML2/OVS agent the word is the local VLAN tag on the Port row.
        """

    async def plugged(self) -> list[Plugged]:
        """Every port in the integration bridge that carries Kurier's mark, and every pair that was
        made for one and not plugged, which tells no lease and no port.
        """


class Ledger(Protocol):
    """This host's durable record. Synchronous: a write takes well under a millisecond.

    Outside :meth:`transaction` each write is a transaction of its own; what a method wrote is on
    disk when it, or the outermost transaction, returns.
    """

    def transaction(self) -> AbstractContextManager[None]: ...

    def meta(self, key: str) -> str | None: ...
    def set_meta(self, key: str, value: str) -> None: ...

    def pool(self, pool_id: PoolId) -> PoolRecord | None: ...
    def pools(self) -> list[PoolRecord]: ...
    def put_pool(self, pool: PoolRecord) -> None: ...
    def drop_pool(self, pool_id: PoolId) -> None: ...

    def network(self, network_id: DockerNetworkId) -> NetworkRecord | None: ...
    def networks(self) -> list[NetworkRecord]: ...
    def put_network(self, network: NetworkRecord) -> None: ...
    def drop_network(self, network_id: DockerNetworkId) -> None: ...

    def port(self, key: PortKey) -> PortRecord | None: ...

    def port_of_endpoint(self, endpoint_id: EndpointId) -> PortRecord | None:
        """The port that an endpoint has; one that is being released only if there is no other."""

    def ports(self, network_id: DockerNetworkId | None = None) -> list[PortRecord]: ...
    def put_port(self, port: PortRecord) -> None: ...
    def drop_port(self, key: PortKey) -> None: ...

    def put_job(self, job: Job) -> None:
        """Adds a job, or replaces the one with the same kind and key."""

    def jobs(self) -> list[Job]: ...
    def job(self, kind: str, key: str) -> Job | None: ...
    def drop_job(self, kind: str, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What the engine knows of the container behind an endpoint."""

    id: str
    name: str
    hostname: str


class Engine(Protocol):
    """The container engine's own API. Never called from a handler, only in the background.

    Errors are CLOUD-free: UNSUPPORTED or INTERNAL with a sentence; absence is None or empty.
    """

    async def identity(self) -> str:
        """The engine's id."""

    async def environment(self) -> str:
        """What names the engine's control plane: its Swarm's id where it is in one, else its own;
        an error where the engine is in a Swarm and cannot tell which.
        """

    in_swarm: bool
    """Whether the engine was in a Swarm when :meth:`environment` was answered last."""

    def membership(self) -> object:
        """Something that becomes another when the engine joins or leaves a Swarm; asks nobody."""

    async def container_of(self, endpoint_id: EndpointId) -> ContainerFacts | None: ...

    async def living(self) -> Mapping[EndpointId, Attached]:
        """Every endpoint of every running container; an error where the answer is not whole."""

    async def networks(self) -> Mapping[DockerNetworkId, str]:
        """Every network, of whatever driver, with the name its user gave it."""


@dataclass(frozen=True, slots=True)
class NodeRange:
    """One range of a config-only network."""

    cidr: IPNetwork
    gateway: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """A config-only network to make on this node."""

    definition: DockerNetworkId
    name: str
    driver: str
    """The IPAM driver, a managed plugin's name with its tag."""
    ranges: tuple[NodeRange, ...]
    options: Mapping[str, str]
    internal: bool = False


@dataclass(frozen=True, slots=True)
class SwarmNetwork:
    """A network of Swarm scope to make on this manager."""

    name: str
    config: str
    """The config-only network that every node makes its own from."""
    driver: str
    attachable: bool = False


class SwarmEngine(Protocol):
    """What an engine does for networks of a whole Swarm. Never called from a handler.

    Errors are INTERNAL, UNSUPPORTED where the managed plugin is missing, CONFLICT where a name is
    taken.
    """

    async def nodes(self) -> int | None:
        """How many nodes are ready; None where this node is no manager."""

    async def configured(self) -> Mapping[DockerNetworkId, str]:
        """The config-only networks made here, by definition, with the engine's id of each."""

    async def configure(self, network: NodeNetwork) -> None:
        """CONFLICT."""

    async def create(self, network: SwarmNetwork) -> DockerNetworkId:
        """CONFLICT."""

    async def remove(self, name: str) -> bool:
        """Removes a network by name or id, if it is there; False where it is in use."""


class Clock(Protocol):
    """Time, taken in through constructors so that tests choose it."""

    def now(self) -> datetime:
        """Aware UTC time."""

    def monotonic(self) -> float:
        """Seconds."""


class Names(Protocol):
    """Fresh identifiers."""

    def hex(self, digits: int) -> str:
        """So many random lower-case hexadecimal digits."""
