# SPDX-License-Identifier: Apache-2.0
"""Machines beside the containers: a virtual one on a Neutron port, a bare-metal one without."""

from __future__ import annotations

from .addressing import GuestPort
from .metal import BareMetal
from .vm import Vm

__all__ = ["BareMetal", "GuestPort", "Vm"]
