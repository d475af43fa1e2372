# SPDX-License-Identifier: Apache-2.0
"""One host's Open vSwitch and its kernel's links in memory, with OVN behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import Context
from dataclasses import dataclass, replace
from random import Random

from kurier.model.errors import Code, KurierError
from kurier.model.ids import IPAddress, PortId, PortKey
from kurier.model.wiring import End, Plug, Plugged, SwitchFacts, WiredBy
from kurier.service.turns import Turns
from tests.host.gate import Gate

HOST = ""
"""The host's own network namespace; a sandbox's is its path."""


@dataclass(frozen=True)
class Row:
    """A port of the integration bridge that carries Kurier's mark."""

    device: str
    key: PortKey
    port_id: PortId
    mac: str
    wired: bool = False
    dead: bool = False
    """Whether the switch serves it no more: its device was made again under the row, or Neutron has
    no such port for this host.
    """


@dataclass(frozen=True)
class Pair:
    """A veth pair; `device` is the switch's end, `peer` the sandbox's."""

    device: str
    peer: str
    mac: str
    mtu: int
    where: str = HOST
    """In which namespace the sandbox's end is."""
    up: bool = True
    """Whether the switch's end is up."""
    used: bool = False
    """Whether a sandbox changed it since it was made or renewed."""


@dataclass(frozen=True)
class Flow:
    """A connection that the switch remembers of a port."""

    port_id: PortId


class Switch:
    """What outlives a daemon."""

    def __init__(
        self, host: str, chance: Random, tell: Callable[[PortId, str, bool], None]
    ) -> None:
        self.host = host
        self.rows: dict[str, Row] = {}
        self.pairs: dict[str, Pair] = {}
        self.flows: set[Flow] = set()
        self.wires = True
        """Whether OVN's controller runs here."""
        self.changed = asyncio.Event()
        self.lost = asyncio.Event()
        """Somebody else than a daemon took something away."""
        self._chance = chance
        self._tell = tell

    # ── what a daemon does ──

    def make_pairs(self, plugs: Sequence[Plug]) -> list[str]:
        """The devices that were made; SWITCH_ERROR and none, where a name is taken."""
        made: list[str] = []
        for plug in plugs:
            if plug.device not in self.pairs:
                if any(pair.peer == plug.peer for pair in self.pairs.values()):
                    self.take_back(made)
                    raise KurierError(Code.SWITCH_ERROR, f"The name {plug.peer} is taken.")
                self.pairs[plug.device] = Pair(plug.device, plug.peer, plug.mac, plug.mtu)
                made.append(plug.device)
        return made

    def stands(self, plug: Plug) -> bool:
        """Whether it is plugged already; a row whose device is gone is cleared."""
        row = self.rows.get(plug.device)
        if row is None:
            return False
        if (row.key, row.port_id) != (plug.key, plug.port_id):
            raise KurierError(Code.SWITCH_ERROR, f"The name {plug.device} is another port's.")
        if plug.device in self.pairs:
            return True
        self.remove_row(plug.device)
        return False

    def add_rows(self, plugs: Sequence[Plug]) -> None:
        for plug in plugs:
            self.rows[plug.device] = Row(plug.device, plug.key, plug.port_id, plug.mac)
            asyncio.get_running_loop().call_later(
                self._chance.uniform(0.05, 0.3), self._wire, plug.device, context=Context()
            )
        self._notify()

    def restore(self, plug: Plug) -> bool:
        """The row as plugged, the switch's end up; False where the pair is gone."""
        pair = self.pairs.get(plug.device)
        if pair is None:
            return False
        self.pairs[plug.device] = replace(pair, up=True)
        row = self.rows.get(plug.device)
        if row is None or (row.key, row.port_id, row.mac) != (plug.key, plug.port_id, plug.mac):
            self.add_rows([plug])
        return True

    def take_back(self, devices: Sequence[str]) -> None:
        """Deletes pairs that were just made; one that serves a sandbox was not."""
        for device in devices:
            if self.pairs[device].where == HOST:
                del self.pairs[device]

    def remove_row(self, device: str) -> None:
        row = self.rows.pop(device, None)
        if row is not None:
            # OVN's controller flushes the zone of a port that goes.
            self.flows.discard(Flow(row.port_id))
            self._tell(row.port_id, self.host, False)
        self._notify()

    def delete_pair(self, device: str) -> None:
        """Reaches into a sandbox as well."""
        self.pairs.pop(device, None)

    def renew(self, plug: Plug) -> End:
        """The sandbox's end as it was made, if it is here."""
        pair = self.pairs.get(plug.device)
        if pair is None:
            return End.GONE
        if pair.where != HOST:
            return End.AWAY
        self.pairs[plug.device] = Pair(plug.device, plug.peer, plug.mac, plug.mtu)
        return End.WAITING

    def present(self, link: str) -> bool:
        """Whether a link of this name is in the host's namespace."""
        waiting = (pair.peer for pair in self.pairs.values() if pair.where == HOST)
        return link in self.pairs or link in waiting

    # ── what an engine does ──

    def move_in(self, peer: str, sandbox: str, mac: str) -> str:
        """Moves a waiting end into a sandbox and gives it its MAC; the device of its other end.

        Raises LookupError where no such end waits here.
        """
        for pair in self.pairs.values():
            if pair.peer == peer and pair.where == HOST:
                moved = replace(pair, where=sandbox, mac=mac or pair.mac, used=True)
                self.pairs[pair.device] = moved
                row = self.rows.get(pair.device)
                if row is not None and row.port_id:
                    self.flows.add(Flow(row.port_id))
                return pair.device
        raise LookupError(peer)

    def move_out(self, sandbox: str, peer: str) -> None:
        """Moves an end back, if it is still there."""
        for pair in list(self.pairs.values()):
            if pair.where == sandbox and pair.peer == peer:
                self.pairs[pair.device] = replace(pair, where=HOST)

    def end_sandbox(self, sandbox: str) -> None:
        """A namespace that ends takes the devices in it along, and with each its other end."""
        for pair in list(self.pairs.values()):
            if pair.where == sandbox:
                del self.pairs[pair.device]

    # ── what else happens ──

    def reboot(self) -> None:
        """No link outlives it; the switch's database does, as on a host that keeps it on disk."""
        self.pairs.clear()
        self.flows.clear()
        for row in list(self.rows.values()):
            self.rows[row.device] = replace(row, wired=False, dead=True)
            self._tell(row.port_id, self.host, False)

    def lose_row(self, device: str) -> None:
        """`ovs-vsctl del-port`."""
        self.remove_row(device)
        self.lost.set()

    def garble_row(self, device: str) -> None:
        """`ovs-vsctl remove interface … external_ids iface-id`."""
        row = self.rows[device]
        self.flows.discard(Flow(row.port_id))
        self._tell(row.port_id, self.host, False)
        self.rows[device] = replace(row, port_id=PortId(""), wired=False)
        self.lost.set()

    def unwire(self, port_id: PortId) -> None:
        """OVN's controller hears that a port is not this host's any more."""
        for row in list(self.rows.values()):
            if row.port_id == port_id:
                self.flows.discard(Flow(port_id))
                self.rows[row.device] = replace(row, wired=False, dead=True)
                self.lost.set()

    def lose_pair(self, device: str) -> None:
        """`ip link delete`; the switch's row stays."""
        self.pairs.pop(device, None)

    def set_down(self, device: str) -> None:
        """`ip link set … down`."""
        self.pairs[device] = replace(self.pairs[device], up=False)

    def _wire(self, device: str) -> None:
        row = self.rows.get(device)
        if row is None or row.dead or not self.wires or device not in self.pairs:
            return
        self.rows[device] = replace(row, wired=True)
        self._tell(row.port_id, self.host, True)
        self._notify()

    def wire_all(self) -> None:
        """OVN's controller is back."""
        self.wires = True
        for device in list(self.rows):
            self._wire(device)

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class SwitchFace:
    """One daemon's way to it: fulfils `kurier.service.protocols.Datapath`."""

    def __init__(self, switch: Switch, gate: Gate) -> None:
        self._switch = switch
        self._call = gate.call
        self._whole = gate.whole
        self._turns = Turns()

    async def facts(self) -> SwitchFacts:
        return await self._call(
            "facts", lambda: SwitchFacts(self._switch.host, "br-int", True, WiredBy.OVN)
        )

    async def plug(self, plug: Plug) -> None:
        await self.plug_all((plug,))

    async def plug_all(self, plugs: Sequence[Plug]) -> None:
        await self._whole(self._plug_all(plugs))

    async def _plug_all(self, plugs: Sequence[Plug]) -> None:
        """The pairs, then the rows in one transaction; one at a time for a device."""
        async with AsyncExitStack() as stack:
            for device in sorted({plug.device for plug in plugs}):
                await stack.enter_async_context(self._turns.turn(device))
            await self._plug_those(plugs)

    async def _plug_those(self, plugs: Sequence[Plug]) -> None:

        def make() -> tuple[list[Plug], list[str]]:
            missing = [plug for plug in plugs if not self._switch.stands(plug)]
            return missing, self._switch.make_pairs(missing)

        missing, made = await self._call("make_pairs", make)
        if not missing:
            return
        try:
            await self._call("add_rows", lambda: self._switch.add_rows(missing))
        except KurierError:
            self._switch.take_back(made)
            raise

    def end_waits(self, device: str) -> bool:
        return self._switch.present(device)

    async def reset(self, plug: Plug) -> End:
        return await self._call("reset", lambda: self._switch.renew(plug))

    async def forget_flows(self, port_id: PortId, addresses: Sequence[IPAddress]) -> None:
        await self._call("forget_flows", lambda: self._switch.flows.discard(Flow(port_id)))

    async def announce(self, sandbox: str, mac: str, addresses: Sequence[IPAddress]) -> bool:
        def is_up() -> bool:
            pairs = self._switch.pairs.values()
            return any(pair.where == sandbox and pair.mac == mac for pair in pairs)

        return await self._call("announce", is_up)

    async def replug(self, plug: Plug) -> bool:
        async with self._turns.turn(plug.device):
            return await self._call("replug", lambda: self._switch.restore(plug))

    async def lost(self) -> None:
        await self._switch.lost.wait()
        self._switch.lost.clear()

    async def unplug(self, device: str) -> None:
        await self._whole(self._unplug(device))

    async def _unplug(self, device: str) -> None:
        """The row, then the pair."""
        async with self._turns.turn(device):
            await self._call("remove_row", lambda: self._switch.remove_row(device))
            await self._call("delete_pair", lambda: self._switch.delete_pair(device))

    async def wait_wired(self, device: str, timeout: float) -> bool:  # noqa: ASYNC109
        try:
            async with asyncio.timeout(timeout):
                while True:
                    changed = self._switch.changed
                    if await self._call("wired", lambda: self._wired(device)):
                        return True
                    await changed.wait()
        except TimeoutError:
            return False

    async def plugged(self) -> list[Plugged]:
        def find() -> list[Plugged]:
            bare = [
                Plugged(PortKey(""), PortId(""), pair.device, True, True, False)
                for pair in self._switch.pairs.values()
                if pair.device not in self._switch.rows and pair.where == HOST
            ]
            return [self._plugged(row) for row in self._switch.rows.values()] + bare

        return await self._call("plugged", find)

    def _wired(self, device: str) -> bool:
        row = self._switch.rows.get(device)
        return row is not None and row.wired

    def _plugged(self, row: Row) -> Plugged:
        pair = self._switch.pairs.get(row.device)
        return Plugged(
            row.key,
            row.port_id,
            row.device,
            link_present=pair is not None,
            peer_present=pair is not None and pair.where == HOST,
            wired=row.wired,
            mac=row.mac,
            peer=pair.peer if pair is not None else "",
            link_up=pair is not None and pair.up,
        )
