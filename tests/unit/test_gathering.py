# SPDX-License-Identifier: Apache-2.0
"""Ports that are wanted at once go out together, and nobody pays for another's bad request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import cast

import pytest

from kurier.model.errors import Code, KurierError
from kurier.model.ids import NetworkId, PortId, SecurityGroupId, SubnetId
from kurier.model.neutron import FixedIp, FixedIpRequest, Port, PortSpec
from kurier.service.gathering import Gathering
from kurier.service.protocols import Cloud

BAD = NetworkId("bad")


class NeutronInMemory:
    """Makes ports, and refuses those on the network `bad`, a whole bulk because of one."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.asked = asyncio.Semaphore(0)
        """Released once for each request."""
        self.open = asyncio.Event()
        """Whether it answers yet."""
        self.open.set()
        self.refusal = Code.EXHAUSTED
        self.forgets_groups = False

    async def create_port(self, spec: PortSpec) -> Port:
        (port,) = await self.create_ports((spec,))
        return port

    async def create_ports(self, specs: Sequence[PortSpec]) -> list[Port]:
        self.requests.append([spec.network_id for spec in specs])
        self.asked.release()
        await self.open.wait()
        if any(spec.network_id == BAD for spec in specs):
            raise KurierError(self.refusal, "no free address")
        return [self._made(spec) for spec in specs]

    def _made(self, spec: PortSpec) -> Port:
        return Port(
            PortId(f"port-of-{spec.device_id}"),
            spec.network_id,
            "fa:16:3e:00:00:01",
            tuple(FixedIp(ip.subnet_id, ip_address("10.1.2.3")) for ip in spec.fixed_ips),
            device_id=spec.device_id,
            security_groups=() if self.forgets_groups else spec.security_groups or (),
        )


def spec(network: str, key: str = "key", *groups: str) -> PortSpec:
    return PortSpec(
        NetworkId(network),
        key,
        key,
        "compute:kuryr",
        "host",
        (FixedIpRequest(SubnetId(f"subnet-of-{network}")),),
        security_groups=tuple(map(SecurityGroupId, groups)) or None,
    )


def gathering(neutron: NeutronInMemory, window: float = 0.001) -> Gathering:
    return Gathering(cast(Cloud, neutron), window)


async def outcomes(gathering: Gathering, *networks: str) -> list[str]:
    """What starts at once on these networks get: the port's key, or the error's code."""
    specs = [spec(network, f"{network}-{number}") for number, network in enumerate(networks)]
    done = await asyncio.gather(*map(gathering.create, specs), return_exceptions=True)
    return [str(one.code) if isinstance(one, KurierError) else _key(one) for one in done]


def _key(port: Port | BaseException) -> str:
    assert isinstance(port, Port), port
    return port.device_id


async def test_what_is_asked_for_at_once_goes_out_together() -> None:
    neutron = NeutronInMemory()
    got = await outcomes(gathering(neutron), "red", "blue", "green")
    assert got == ["red-0", "blue-1", "green-2"]
    assert neutron.requests == [["red", "blue", "green"]]


async def test_a_request_has_a_bound() -> None:
    neutron = NeutronInMemory()
    await outcomes(gathering(neutron), *(f"net-{number}" for number in range(10)))
    assert [len(one) for one in neutron.requests] == [4, 4, 2]


async def test_without_a_window_each_goes_alone() -> None:
    neutron = NeutronInMemory()
    await outcomes(gathering(neutron, 0), "red", "blue")
    assert neutron.requests == [["red"], ["blue"]]


async def test_a_bad_request_does_not_fail_the_others() -> None:
    neutron = NeutronInMemory()
    got = await outcomes(gathering(neutron), "red", BAD, "green")
    assert got == ["red-0", "exhausted", "green-2"]
    assert neutron.requests == [["red", BAD, "green"], ["red"], [BAD], ["green"]]


@pytest.mark.parametrize("code", [Code.CLOUD_AWAY, Code.CLOUD_ERROR, Code.CREDENTIALS])
async def test_what_may_have_been_made_is_not_asked_for_again(code: Code) -> None:
    neutron = NeutronInMemory()
    neutron.refusal = code
    assert await outcomes(gathering(neutron), "red", BAD) == [code, code]
    assert neutron.requests == [["red", BAD]]


async def test_one_request_at_a_time_for_a_network() -> None:
    """What is asked for while one is under way follows together; other networks do not wait."""
    neutron = NeutronInMemory()
    neutron.open.clear()
    ours = gathering(neutron)
    first = asyncio.create_task(ours.create(spec("red", "one")))
    await neutron.asked.acquire()
    later = [asyncio.create_task(ours.create(spec("red", key))) for key in ("two", "three")]
    other = asyncio.create_task(ours.create(spec("blue", "four")))
    await neutron.asked.acquire()
    neutron.open.set()
    keys = [port.device_id for port in await asyncio.gather(first, *later, other)]
    assert keys == ["one", "two", "three", "four"]
    assert neutron.requests == [["red"], ["blue"], ["red", "red"]]


async def test_who_gave_up_before_it_went_out_is_left_out() -> None:
    neutron = NeutronInMemory()
    ours = gathering(neutron)
    hasty = asyncio.create_task(ours.create(spec("red", "hasty")))
    patient = asyncio.create_task(ours.create(spec("blue", "patient")))
    await asyncio.sleep(0)
    hasty.cancel()
    assert (await patient).device_id == "patient"
    assert neutron.requests == [["blue"]]


async def test_who_gave_up_while_a_bulk_was_refused_is_not_tried_alone() -> None:
    neutron = NeutronInMemory()
    neutron.open.clear()
    ours = gathering(neutron)
    hasty = asyncio.create_task(ours.create(spec(BAD, "hasty")))
    patient = asyncio.create_task(ours.create(spec("blue", "patient")))
    await neutron.asked.acquire()
    hasty.cancel()
    neutron.open.set()
    assert (await patient).device_id == "patient"
    assert neutron.requests == [[BAD, "blue"], ["blue"]]


async def test_a_port_that_a_bulk_made_without_its_groups_is_not_handed_out() -> None:
    neutron = NeutronInMemory()
    neutron.forgets_groups = True
    ours = gathering(neutron)
    asked = [ours.create(spec("red", "one", "group")), ours.create(spec("blue", "two"))]
    without, plain = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(without, KurierError)
    assert "other security groups" in without.sentence
    assert isinstance(plain, Port)
