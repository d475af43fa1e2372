# SPDX-License-Identifier: Apache-2.0
"""A start that Neutron refuses while the pool's own ports are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from kurier.docker.lanes import Lanes
from kurier.ledger import SqliteLedger
from kurier.model.errors import Code, KurierError
from kurier.model.ids import DockerNetworkId, NetworkId, PoolId, PortId, SubnetId
from kurier.model.neutron import FixedIp, Port, PortFilter, PortSpec
from kurier.model.records import NetworkRecord, NetworkState, PoolRecord, SubnetRecord
from kurier.model.wiring import Plug
from kurier.service.context import Context, ServiceSettings
from kurier.service.driver import Driver
from kurier.service.environment import Environment
from kurier.service.protocols import Cloud, Datapath, Engine, SwarmEngine
from kurier.service.requests import AddressAsk, IPInterface

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CIDR = ip_network("10.9.0.0/24")
NETWORK = DockerNetworkId("blue")
POOL = PoolId("pool")
FULL = "Subnet 10.9.0.0/24 has no free address."


class StandingClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class CountedNames:
    def __init__(self) -> None:
        self._numbers = count(1)

    def hex(self, digits: int) -> str:
        return f"{next(self._numbers):0{digits}x}"


class FullNeutron:
    """Has no address but those that a bulk create of the pool is getting just now."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.refused = asyncio.Event()
        """Whether it has refused a start a port of its own."""
        self._made: list[Port] = []

    async def create_port(self, spec: PortSpec) -> Port:
        self.refused.set()
        raise KurierError(Code.EXHAUSTED, FULL)

    async def create_ports(self, specs: Sequence[PortSpec]) -> list[Port]:
        await self.answers.wait()
        self._made = [_port(spec, number) for number, spec in enumerate(specs, 10)]
        return self._made

    async def ports(self, which: PortFilter) -> list[Port]:
        return self._made


def _port(spec: PortSpec, number: int) -> Port:
    address = FixedIp(spec.fixed_ips[0].subnet_id, ip_address(f"10.9.0.{number}"))
    return Port(
        PortId(f"port-{number}"),
        spec.network_id,
        f"fa:16:3e:00:00:{number}",
        (address,),
        status="ACTIVE",
        device_id=spec.device_id,
    )


class SwitchInMemory:
    """Wires at once what is plugged."""

    async def plug_all(self, plugs: Sequence[Plug]) -> None: ...

    async def wait_wired(self, device: str, timeout: float) -> bool:  # noqa: ASYNC109
        return True

    def end_waits(self, device: str) -> bool:
        return True


class Host:
    """A driver over Neutron and a switch in memory, with one network whose pool wants a port."""

    def __init__(self, folder: Path) -> None:
        self.neutron = FullNeutron()
        self.ledger = SqliteLedger(folder)
        context = Context(
            cast(Cloud, self.neutron),
            cast(Datapath, SwitchInMemory()),
            self.ledger,
            cast(Engine, None),
            cast(SwarmEngine, None),
            StandingClock(),
            CountedNames(),
            Environment(self.ledger, "environment"),
            ServiceSettings(host="host"),
        )
        self.ledger.put_pool(PoolRecord(POOL, CIDR, NOW, network=NETWORK))
        subnet = SubnetRecord(SubnetId("subnet"), CIDR, made=True, pool_id=POOL)
        self.ledger.put_network(
            NetworkRecord(
                NETWORK,
                NetworkState.ACTIVE,
                NOW,
                neutron_id=NetworkId("neutron"),
                subnets=(subnet,),
                pool_minimum=1,
                pool_maximum=8,
            )
        )
        self.driver = Driver(context, pytest.fail)

    async def start(self) -> IPInterface:
        """What a container's start asks first."""
        return await self.driver.request_address(AddressAsk(POOL, None))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.ledger.close()


async def test_a_start_takes_what_the_pool_was_getting_and_counts_once(host: Host) -> None:
    host.driver.keeper.turn()
    start = asyncio.create_task(host.start())
    await host.neutron.refused.wait()
    host.neutron.answers.set()
    assert str(await start) == "10.9.0.10/24"
    assert host.driver.stock.level(NETWORK) == pytest.approx(1.0)
    await host.driver.keeper.stop()


async def test_neutrons_own_sentence_comes_before_the_deadline(host: Host) -> None:
    """The pool's ports do not come within the call's time."""
    host.driver.keeper.turn()
    with pytest.raises(KurierError) as refusal:
        await Lanes(0.8).run("IpamDriver.RequestAddress", None, host.start)
    assert refusal.value.sentence == FULL
    await host.driver.keeper.stop()
