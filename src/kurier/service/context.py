# SPDX-License-Identifier: Apache-2.0
"""What every use case is given: the world behind protocols, and the settings in force."""

from __future__ import annotations

from dataclasses import dataclass, field

from kurier.model.options import Policy
from kurier.model.tags import environment_tag, host_tag
from kurier.service.environment import Environment
from kurier.service.protocols import Clock, Cloud, Datapath, Engine, Ledger, Names, SwarmEngine

DEVICE_OWNER = "compute:kuryr"
"""The owner that kuryr-libnetwork's operators filter by.

`compute:` makes Neutron treat the port as an instance's (distributed routing serves it, it is no
infrastructure port that tenants may not touch). Nova is not told: Neutron notifies it only of
ports whose `device_id` is a UUID, and ours never is one.
"""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How ready ports are kept; times in seconds, numbers for each network of this host."""

    enabled: bool = True
    minimum: int = 4
    maximum: int = 64
    batch: int = 8
    host_maximum: int = 512
    recycle: bool = True
    cooling: float = 15.0
    half_life: float = 30.0
    networks: int = 0
    """How many networks wait for a creation without range."""
    lag: float = 30.0
    """The longest that settlement and refill stand back while containers start."""
    gather: float = 0.005
    """How long a create waits for others to go with it; 0: it goes alone."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """The settings that the use cases need; times in seconds."""

    host: str = ""
    policy: Policy = field(default_factory=Policy)
    default_pool_v4: str = ""
    default_pool_v6: str = ""
    network_prefix: str = "kuryr-net-"
    enable_dhcp: bool = True
    interface_prefix: str = "eth"
    wire_timeout: float = 8.0
    wire_fatal: bool = True
    reconcile_interval: float = 60.0
    reconcile_grace: float = 300.0
    backoff_max: float = 30.0
    unanswered: float = 300.0
    """For how long what Neutron did not answer is looked for."""
    swarm_interval: float = 10.0
    swarm_driver: str = "kuryr:swarm"
    """The managed plugin's name, with its tag."""
    boot_id: str = ""
    machine: tuple[str, str] = ("", "")
    """What tells this machine from a copy of it: /etc/machine-id and the firmware's product UUID;
    empty where they cannot be read.
    """
    pool: PoolSettings = field(default_factory=PoolSettings)


@dataclass(frozen=True, slots=True)
class Context:
    """One daemon's world."""

    cloud: Cloud
    datapath: Datapath
    ledger: Ledger
    engine: Engine
    swarm: SwarmEngine
    clock: Clock
    names: Names
    environment: Environment
    settings: ServiceSettings

    async def host(self) -> str:
        """What `binding:host_id` says: configured, or as the switch names its host."""
        return self.settings.host or (await self.datapath.facts()).hostname

    async def port_tags(self, host: str = "") -> tuple[str, ...]:
        """Environment and host, on every port that Kurier makes or adopts.

        A caller that has asked for the host already gives it; the switch is asked else.
        """
        environment = await self.environment.require()
        return (environment_tag(environment), host_tag(host or await self.host()))
