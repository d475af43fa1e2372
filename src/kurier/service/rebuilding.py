# SPDX-License-Identifier: Apache-2.0
"""Writes leases anew that a lost ledger had: what Neutron's tags, the switch and the engine say
together is enough to give a port up again when its container ends.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from kurier.model.errors import KurierError
from kurier.model.ids import PortId
from kurier.model.likeness import as_made
from kurier.model.neutron import Port
from kurier.model.port import PortAddress, PortRecord, Stage
from kurier.model.records import NetworkRecord
from kurier.model.upkeep import Snapshot, endpoint_in
from kurier.model.wiring import Attached, Plugged
from kurier.service.context import DEVICE_OWNER, Context
from kurier.service.recovery import Recovery

LOG = logging.getLogger(__name__)


class Rebuilding:
    """Takes ports that containers have back into the ledger."""

    def __init__(self, context: Context, recovery: Recovery) -> None:
        self._context = context
        self._recovery = recovery

    async def rebuild(self, found: tuple[PortId, ...], snapshot: Snapshot) -> None:
        """Leases for these ports of a snapshot; one that cannot be told yet is tried again by the
        next pass.
        """
        plugged = {plug.port_id: plug for plug in snapshot.plugged or ()}
        for port in snapshot.ports or ():
            if port.id not in found:
                continue
            try:
                await self._lease(port, plugged[port.id], snapshot)
            except KurierError as error:
                LOG.info("port %s is not taken back yet: %s", port.id, error.sentence)

    async def _lease(self, port: Port, plug: Plugged, snapshot: Snapshot) -> None:
        living = snapshot.living or {}
        endpoint = endpoint_in(port, living)
        networks = await self._recovery.on(port.network_id)
        network = _network_of(port, networks, living[endpoint] if endpoint else None)
        ledger = self._context.ledger
        # Looking for the network took its time: the engine may have asked for it meanwhile.
        if endpoint is None or network is None or ledger.port_of_endpoint(endpoint):
            return
        ledger.put_port(
            PortRecord(
                plug.key,
                Stage.LEASED,
                network.id,
                network.neutron_id or port.network_id,
                self._context.clock.now(),
                addresses=_addresses(port, network),
                port_id=port.id,
                mac=port.mac,
                endpoint=endpoint,
                device=plug.device,
                peer=plug.peer,
                container=port.name,
                made=replace(
                    as_made(port),
                    device_owner=DEVICE_OWNER,
                    host_id=await self._context.host() if _shows_hosts(snapshot) else "",
                    tags=await self._context.port_tags(),
                ),
                used=True,
            )
        )
        LOG.info("port %s of container %s is in the ledger again", port.id, port.name)


def _shows_hosts(snapshot: Snapshot) -> bool:
    """Whether these credentials may see to which host a port is bound."""
    return any(port.host_id for port in snapshot.ports or ())


def _network_of(
    port: Port, networks: list[NetworkRecord], attached: Attached | None
) -> NetworkRecord | None:
    """Whose network a port is on: as the engine says, or the only one, or as its description tells
    where several share a Neutron network.
    """
    for one in networks:
        if attached is not None and one.id == attached.network:
            return one
    if len(networks) == 1:
        return networks[0]
    told = [one for one in networks if port.description.endswith(f"Docker network {one.id}")]
    return told[0] if told else None


def _addresses(port: Port, network: NetworkRecord) -> tuple[PortAddress, ...]:
    pools = {subnet.id: subnet.pool_id for subnet in network.subnets}
    return tuple(
        PortAddress(one.subnet_id, one.address, pools.get(one.subnet_id)) for one in port.fixed_ips
    )
