# SPDX-License-Identifier: Apache-2.0
"""The copy of the ledger's ports in memory, found by key, endpoint and network.

A host may keep a thousand ports, and each start asks some times for those of one network or of one
endpoint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from kurier.model.ids import DockerNetworkId, EndpointId, PortKey
from kurier.model.port import PortRecord, Stage


class PortTable:
    """Ports in the order in which they came."""

    def __init__(self, ports: Iterable[PortRecord] = ()) -> None:
        self._all: dict[PortKey, PortRecord] = {}
        self._on: dict[DockerNetworkId, dict[PortKey, PortRecord]] = defaultdict(dict)
        self._of: dict[EndpointId, dict[PortKey, PortRecord]] = defaultdict(dict)
        for port in ports:
            self.put(port)

    def get(self, key: PortKey) -> PortRecord | None:
        """The port of a key."""
        return self._all.get(key)

    def on(self, network: DockerNetworkId | None) -> list[PortRecord]:
        """Those of an engine network; all for None."""
        found = self._all if network is None else self._on.get(network, {})
        return list(found.values())

    def of(self, endpoint: EndpointId) -> PortRecord | None:
        """The port that an endpoint has; one that is being released only if there is no other."""
        found = self._of.get(endpoint, {}).values()
        return min(found, key=lambda port: port.stage is Stage.RELEASING, default=None)

    def put(self, port: PortRecord) -> None:
        """Adds a port, or puts it in the place of the one with its key."""
        before = self._all.get(port.id)
        if before is not None and (before.network, before.endpoint) != (
            port.network,
            port.endpoint,
        ):
            self._unlist(before)
        self._all[port.id] = port
        self._on[port.network][port.id] = port
        if port.endpoint is not None:
            self._of[port.endpoint][port.id] = port

    def drop(self, key: PortKey) -> None:
        """Forgets a port."""
        port = self._all.pop(key, None)
        if port is not None:
            self._unlist(port)

    def _unlist(self, port: PortRecord) -> None:
        self._on[port.network].pop(port.id, None)
        if not self._on[port.network]:
            del self._on[port.network]
        if port.endpoint is not None:
            self._of[port.endpoint].pop(port.id, None)
            if not self._of[port.endpoint]:
                del self._of[port.endpoint]
