# SPDX-License-Identifier: Apache-2.0
"""One range of a network that is put together."""

from __future__ import annotations

from dataclasses import dataclass

from kurier.model.ids import IPAddress, IPNetwork
from kurier.model.options import NetworkReference, PoolReference, SubnetReference
from kurier.model.records import PoolRecord


@dataclass(frozen=True, slots=True)
class Part:
    """One range of a network to make, with all that the user said of it."""

    cidr: IPNetwork
    gateway: IPAddress | None
    pool: PoolRecord | None
    subnet: SubnetReference
    subnet_pool: PoolReference
    network: NetworkReference
    auxiliary: tuple[IPAddress, ...] = ()

    @property
    def kept_out(self) -> tuple[IPAddress, ...]:
        """Addresses that no container may get by chance."""
        return (*self.auxiliary, *((self.gateway,) if self.gateway else ()))
