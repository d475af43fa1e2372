# SPDX-License-Identifier: Apache-2.0
"""What the service relies on at the switch, asserted of Open vSwitch and of the one in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol

import pytest

from kurier.model.errors import Code, KurierError
from kurier.model.ids import PortId, PortKey
from kurier.model.wiring import End, Plug, Plugged
from kurier.service.protocols import Datapath


def plug_number(number: int) -> Plug:
    """A port and a pair, named as Kurier names them."""
    return Plug(
        key=PortKey(f"{number:032x}"),
        port_id=PortId(f"6b5d7a3c-0000-4000-8000-{number:012x}"),
        mac=f"fa:16:3e:00:00:{number:02x}",
        mtu=1442,
        device=f"tap{number:011x}",
        peer=f"kur{number:011x}",
        vm_id=f"endpoint-{number}",
    )


ONE, TWO, THREE = plug_number(1), plug_number(2), plug_number(3)


class Bystander(Protocol):
    """What others do to a host's switch and links, and what is there."""

    def rows(self) -> set[str]:
        """The devices that the bridge has."""
        ...

    def links(self) -> set[str]:
        """The ends of pairs in the host's own namespace."""
        ...

    def lose_row(self, device: str) -> None: ...

    def lose_link(self, device: str) -> None: ...

    def enter(self, peer: str) -> None:
        """A sandbox takes a waiting end."""
        ...

    def leave(self, peer: str) -> None:
        """The end is moved back."""
        ...

    def end_sandbox(self) -> None: ...

    def inside(self) -> set[str]:
        """The ends in the sandbox."""
        ...


async def refused(code: Code, datapath: Datapath, *plugs: Plug) -> None:
    """Plugging these is refused."""
    with pytest.raises(KurierError) as caught:
        await datapath.plug_all(plugs)
    assert caught.value.code is code, caught.value.sentence


class SwitchAgrees:
    """Fixtures `datapath` and `others` are a subclass's."""

    async def test_what_is_plugged_is_there(self, datapath: Datapath, others: Bystander) -> None:
        await datapath.plug(ONE)
        assert others.rows() == {ONE.device}
        assert others.links() == {ONE.device, ONE.peer}
        assert [replace(one, wired=False) for one in await datapath.plugged()] == [
            Plugged(ONE.key, ONE.port_id, ONE.device, True, True, False, ONE.mac, ONE.peer)
        ]

    async def test_repeating_changes_nothing(self, datapath: Datapath, others: Bystander) -> None:
        await datapath.plug(ONE)
        await asyncio.gather(*(datapath.plug_all((ONE, TWO)) for _ in range(4)))
        assert others.rows() == {ONE.device, TWO.device}

    async def test_a_lost_row_is_put_back(self, datapath: Datapath, others: Bystander) -> None:
        await datapath.plug(ONE)
        others.enter(ONE.peer)
        others.lose_row(ONE.device)
        await datapath.plug(ONE)
        assert others.rows() == {ONE.device}
        assert others.inside() == {ONE.peer}

    async def test_a_lost_pair_is_made_anew(self, datapath: Datapath, others: Bystander) -> None:
        await datapath.plug(ONE)
        others.lose_link(ONE.device)
        assert others.links() == set()
        await datapath.plug(ONE)
        assert others.links() == {ONE.device, ONE.peer}
        assert others.rows() == {ONE.device}

    async def test_another_lease_keeps_its_device(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        await datapath.plug(replace(TWO, device=ONE.device))
        await refused(Code.SWITCH_ERROR, datapath, ONE)
        assert others.links() == {ONE.device, TWO.peer}

    async def test_all_or_nothing(self, datapath: Datapath, others: Bystander) -> None:
        await datapath.plug(replace(THREE, peer=TWO.peer))
        await refused(Code.SWITCH_ERROR, datapath, ONE, TWO)
        assert others.rows() == {THREE.device}
        assert others.links() == {THREE.device, TWO.peer}

    async def test_what_is_unplugged_is_gone(self, datapath: Datapath, others: Bystander) -> None:
        await datapath.plug(ONE)
        for _ in range(2):
            await datapath.unplug(ONE.device)
            assert others.rows() == others.links() == set()
        assert await datapath.plugged() == []

    @pytest.mark.parametrize("gone", ["row", "link"])
    async def test_half_of_it_is_unplugged_as_well(
        self, datapath: Datapath, others: Bystander, gone: str
    ) -> None:
        await datapath.plug(ONE)
        lose = others.lose_row if gone == "row" else others.lose_link
        lose(ONE.device)
        await datapath.unplug(ONE.device)
        assert others.rows() == others.links() == set()

    async def test_unplugging_reaches_into_a_sandbox(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        await datapath.plug(ONE)
        others.enter(ONE.peer)
        await datapath.unplug(ONE.device)
        assert others.inside() == set()

    async def test_an_end_waits_until_it_moves_away(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        assert not datapath.end_waits(ONE.peer)
        await datapath.plug(ONE)
        assert datapath.end_waits(ONE.peer)
        others.enter(ONE.peer)
        assert not datapath.end_waits(ONE.peer)

    async def test_an_end_is_renewed_where_it_is_back(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        assert await datapath.reset(ONE) is End.GONE
        await datapath.plug(ONE)
        others.enter(ONE.peer)
        assert await datapath.reset(ONE) is End.AWAY
        others.leave(ONE.peer)
        assert await datapath.reset(ONE) is End.WAITING

    async def test_a_sandbox_that_ends_takes_the_pair_along(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        await datapath.plug(ONE)
        others.enter(ONE.peer)
        others.end_sandbox()
        (left,) = await datapath.plugged()
        assert (left.link_present, left.peer_present, others.links()) == (False, False, set())
        assert await datapath.reset(ONE) is End.GONE

    async def test_what_is_left_of_each_is_told(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        await datapath.plug_all((ONE, TWO, THREE))
        others.enter(TWO.peer)
        others.lose_link(THREE.device)
        found = {one.device: one for one in await datapath.plugged()}
        there = {name: (one.link_present, one.peer_present) for name, one in found.items()}
        assert there == {
            ONE.device: (True, True),
            TWO.device: (True, False),
            THREE.device: (False, False),
        }

    async def test_a_pair_that_no_row_knows_is_told(
        self, datapath: Datapath, others: Bystander
    ) -> None:
        await datapath.plug_all((ONE, TWO))
        others.enter(TWO.peer)
        for one in (ONE, TWO):  # the second is a running container's: its row is put back
            others.lose_row(one.device)
        assert await datapath.plugged() == [
            Plugged(PortKey(""), PortId(""), ONE.device, True, True, False)
        ]
        await datapath.unplug(ONE.device)
        assert others.links() == {TWO.device}
