# SPDX-License-Identifier: Apache-2.0
"""The datapath over Open vSwitch: a veth pair per port, one end in the integration bridge."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from kurier.datapath import ends, links, neighbours
from kurier.datapath.commands import AddPorts, AskServer, RemovePort, RestorePort
from kurier.datapath.deadline import Deadline
from kurier.datapath.failures import name_taken, no_bridge, switch_busy, switch_error
from kurier.datapath.losses import Losses
from kurier.datapath.ovsdb import Database
from kurier.datapath.switchd import Switchd, run_dir_of
from kurier.datapath.tables import SwitchPort, Tables, wired_by
from kurier.datapath.waiters import Waiters
from kurier.model.errors import KurierError
from kurier.model.ids import IPAddress, PortId, PortKey
from kurier.model.wiring import End, Plug, Plugged, SwitchFacts, WiredBy

LOG = logging.getLogger(__name__)
_WORKERS = 4
_TURNS = 64
_T = TypeVar("_T")


class OpenVSwitchDatapath:
    """This host's wiring by OVSDB and netlink.

    `remote` is OVSDB's address, `bridge` the integration bridge; `wired_by` None takes OVN's word
    where this host is an OVN chassis, else the ML2/OVS agent's. `run_dir` is where ovs-vswitchd's
    control socket is, empty for the folder of the database's. No call waits longer than
    `timeout` (seconds) for the database. Nothing is contacted before the first call.

    Every call may raise SWITCH_AWAY or SWITCH_ERROR. The blocking work runs in a few threads; a
    call that is cancelled runs to its end there, and a later one on the same device waits for it.
    """

    def __init__(
        self,
        remote: str = "unix:/run/openvswitch/db.sock",
        bridge: str = "br-int",
        *,
        wired_by: WiredBy | None = None,
        run_dir: str = "",
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remote = remote
        self._bridge = bridge
        self._wired_by = wired_by
        self._timeout = timeout
        self._clock = clock
        self._switchd = Switchd(run_dir or run_dir_of(remote))
        self._waiters = Waiters()
        self._losses = Losses()
        self._database = Database(remote, self._noticed, self._losses.tell)
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="kurier-datapath")
        self._turns = tuple(threading.Lock() for _ in range(_TURNS))

    async def facts(self) -> SwitchFacts:
        """What the switch says of this host; SWITCH_ERROR where the bridge is missing."""
        return await self._call(self._facts)

    async def plug(self, plug: Plug) -> None:
        """Makes the veth pair and plugs it, or leaves nothing behind. Repeating it is harmless."""
        await self.plug_all((plug,))

    async def plug_all(self, plugs: Sequence[Plug]) -> None:
        """As `plug`, all or none of them; the switch is told of all by one transaction."""
        await self._call(lambda deadline: self._plug_all(plugs, deadline))

    async def replug(self, plug: Plug) -> bool:
        """Puts back a port that stood in the switch: its row, and its end of the pair up, whoever
        has the other end. False where the pair is gone: nothing can serve who had it.
        """
        return await self._call(lambda deadline: self._replug(plug, deadline))

    async def lost(self) -> None:
        """Waits until somebody else removes or changes what stands in the switch for a port."""
        await self._losses.wait()

    async def unplug(self, device: str) -> None:
        """Takes the port out of the switch and deletes the pair. What is gone is gone."""
        await self._call(lambda deadline: self._unplug(device, deadline))

    async def wait_wired(self, device: str, timeout: float) -> bool:  # noqa: ASYNC109
        """Waits (seconds) for the switch's own word that the port is wired; False on time-out.

        SWITCH_ERROR at once where ovs-vswitchd says that it cannot open the device.
        """
        with self._waiters.waiting(device) as word:
            try:
                async with asyncio.timeout(timeout):
                    await self._call(lambda deadline: self._look(device, deadline))
                    await word
            except TimeoutError:
                return False
        return True

    async def device_present(self, device: str) -> bool:
        """Whether the kernel has this link in the host's namespace."""
        return await self._call(lambda _: links.present(device))

    def end_waits(self, peer: str) -> bool:
        """Whether the sandbox's end is in the host's namespace: one system call, for any thread."""
        try:
            return links.present(peer)
        except OSError as error:
            raise switch_error(
                f"The kernel does not say whether {peer} is there: {error}"
            ) from error

    async def reset(self, plug: Plug) -> End:
        """Makes a sandbox's end that is back as `plug` made it, whatever its name is now.

        It leaves an end that is AWAY, and a pair that is GONE, as they are.
        """
        return await self._call(lambda deadline: self._reset(plug, deadline))

    async def forget_flows(self, port_id: PortId, addresses: Sequence[IPAddress]) -> None:
        """Has ovs-vswitchd forget every connection of a port; SWITCH_ERROR where it does not.

        With OVN these are those of the port's own zone; with the ML2/OVS agent, whose zones are
        networks', those of its addresses.
        """
        await self._call(lambda deadline: self._forget_flows(port_id, addresses, deadline))

    async def announce(self, sandbox: str, mac: str, addresses: Sequence[IPAddress]) -> bool:
        """Tells a sandbox's neighbours its addresses; False where it has no interface up with
        this MAC address.
        """
        return await self._call(lambda _: neighbours.announce(sandbox, mac, addresses))

    async def plugged(self) -> list[Plugged]:
        """Every port of the switch that carries Kurier's mark, as the server has it now, and every
        pair that was made for one and not plugged.
        """
        return await self._call(self._plugged)

    async def ping(self) -> None:
        """Has the database answer; SWITCH_AWAY with the reason where it does not."""
        await self._call(lambda deadline: self._database.commit(AskServer, deadline))

    async def close(self) -> None:
        """Ends the connection and the threads; running calls come to their end."""
        await asyncio.to_thread(self._end)

    # ── from here on in a worker's thread ──

    def _end(self) -> None:
        self._workers.shutdown()
        self._database.close(self._timeout)

    def _facts(self, deadline: Deadline) -> SwitchFacts:
        with self._database.reading(deadline) as tables:
            host_ids = tables.host_ids()
            userspace = self._userspace(tables)
        return SwitchFacts(
            hostname=host_ids.get("hostname") or socket.gethostname(),
            bridge=self._bridge,
            userspace=userspace,
            wired_by=wired_by(self._wired_by, host_ids),
        )

    def _plug_all(self, plugs: Sequence[Plug], deadline: Deadline) -> None:
        with self._turns_of({plug.device for plug in plugs}, deadline):
            with self._database.reading(deadline) as tables:
                userspace = self._userspace(tables)
                standing = [(plug, tables.port(plug.device)) for plug in plugs]
                isolated = wired_by(self._wired_by, tables.host_ids()) is WiredBy.AGENT
            missing = [plug for plug, port in standing if not self._stands(plug, port, deadline)]
            if not missing:
                return
            with ExitStack() as undo:
                for plug in missing:
                    _have_pair(plug, userspace=userspace)
                    undo.callback(_take_back, plug)
                self._database.commit(
                    lambda api: AddPorts(api, self._bridge, missing, isolated), deadline
                )
                undo.pop_all()

    def _replug(self, plug: Plug, deadline: Deadline) -> bool:
        with self._turns_of({plug.device}, deadline):
            if not links.present(plug.device):
                return False
            with self._database.reading(deadline) as tables:
                userspace = self._userspace(tables)
                isolated = wired_by(self._wired_by, tables.host_ids()) is WiredBy.AGENT
            links.complete(plug, userspace=userspace)
            self._database.commit(
                lambda api: RestorePort(api, self._bridge, plug, isolated), deadline
            )
            return True

    def _reset(self, plug: Plug, deadline: Deadline) -> End:
        with self._turns_of({plug.device}, deadline):
            with self._database.reading(deadline) as tables:
                userspace = self._userspace(tables)
            return ends.reset(plug, userspace=userspace)

    def _forget_flows(
        self, port_id: PortId, addresses: Sequence[IPAddress], deadline: Deadline
    ) -> None:
        with self._database.reading(deadline) as tables:
            by = wired_by(self._wired_by, tables.host_ids())
            zone = tables.zone(self._bridge, port_id)
        if by is WiredBy.OVN and zone is None:
            # OVN's controller flushes a zone before it gives it to a port: one that has none now
            # begins anew with its next.
            LOG.info("port %s has no zone of connection tracking; it gets a flushed one", port_id)
            return
        self._switchd.forget(zone, addresses, deadline)

    def _stands(self, plug: Plug, standing: SwitchPort | None, deadline: Deadline) -> bool:
        """Whether the port is plugged already; clears a row whose device is gone.

        To ovs-vswitchd a device remade under the same name is dead until it has let go of the
        port, so the removal is a transaction of its own and waits for it.
        """
        if standing is None:
            return False
        if not standing.serves(plug):
            raise name_taken(plug.device)
        if links.present(plug.device):
            return True
        with self._losses.expected(plug.device):
            self._database.commit(lambda api: RemovePort(api, plug.device), deadline, settled=True)
        return False

    def _unplug(self, device: str, deadline: Deadline) -> None:
        with self._turns_of({device}, deadline), self._losses.expected(device):
            self._database.commit(lambda api: RemovePort(api, device), deadline)
            links.delete(device)

    def _plugged(self, deadline: Deadline) -> list[Plugged]:
        self._database.commit(AskServer, deadline)
        with self._database.reading(deadline) as tables:
            by = wired_by(self._wired_by, tables.host_ids())
            ports = list(tables.marked())
            rows = tables.devices()
        marked = [_as_plugged(port.key, port, by) for port in ports if port.key]
        return marked + [_cut_off(device) for device in links.pairs_without(rows)]

    def _look(self, device: str, deadline: Deadline) -> None:
        with self._database.reading(deadline) as tables:
            self._judge(tables, device)

    def _noticed(self, tables: Tables, device: str) -> None:
        if self._waiters.awaited(device):
            self._judge(tables, device)

    def _judge(self, tables: Tables, device: str) -> None:
        port = tables.port(device)
        if port is None:
            return
        if port.error:
            self._waiters.tell(
                device, switch_error(f"Open vSwitch cannot use the port {device}: {port.error}")
            )
        elif port.wired(wired_by(self._wired_by, tables.host_ids())):
            self._waiters.tell(device)

    def _userspace(self, tables: Tables) -> bool:
        kind = tables.datapath_type(self._bridge)
        if kind is None:
            raise no_bridge(self._bridge, tables.bridges())
        return kind == "netdev"

    @contextmanager
    def _turns_of(self, devices: Set[str], deadline: Deadline) -> Iterator[None]:
        """One at a time per device: a repeated call waits for the first one to end.

        Who takes several takes them in one order, so that no two wait for each other.
        """
        with ExitStack() as taken:
            for place in sorted({hash(device) % _TURNS for device in devices}):
                if not self._turns[place].acquire(timeout=deadline.left()):
                    raise switch_busy(self._remote)
                taken.callback(self._turns[place].release)
            yield

    # ── the way into a worker's thread ──

    async def _call(self, work: Callable[[Deadline], _T]) -> _T:
        deadline = Deadline.after(self._timeout, self._clock)
        return await asyncio.wrap_future(self._workers.submit(self._guarded, work, deadline))

    def _guarded(self, work: Callable[[Deadline], _T], deadline: Deadline) -> _T:
        if deadline.passed:
            raise switch_busy(self._remote)
        try:
            return work(deadline)
        except KurierError:
            raise
        except Exception as error:
            raise switch_error(f"The host's wiring failed: {error!r}") from error


def _have_pair(plug: Plug, *, userspace: bool) -> None:
    if links.present(plug.device):
        links.complete(plug, userspace=userspace)
    else:
        links.create(plug, userspace=userspace)


def _take_back(plug: Plug) -> None:
    # A pair whose other end is in a sandbox serves somebody: it was not made here.
    if links.present(plug.peer):
        links.delete(plug.device)


def _cut_off(device: str) -> Plugged:
    """A pair that was made for a port and never plugged."""
    return Plugged(
        PortKey(""), PortId(""), device, link_present=True, peer_present=True, wired=False
    )


def _as_plugged(key: PortKey, port: SwitchPort, by: WiredBy) -> Plugged:
    return Plugged(
        key=key,
        port_id=port.port_id,
        device=port.device,
        link_present=links.present(port.device),
        peer_present=bool(port.peer) and links.present(port.peer),
        wired=port.wired(by),
        mac=port.ids.get("attached-mac", ""),
        peer=port.peer,
        link_up=links.is_up(port.device),
    )
