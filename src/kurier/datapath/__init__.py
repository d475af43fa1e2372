# SPDX-License-Identifier: Apache-2.0
"""This host's wiring: veth pairs by netlink, Open vSwitch by OVSDB. Knows `model` alone.

Nothing here speaks to Neutron or starts a program; pyroute2 and ovsdbapp live in this room only.
"""

from kurier.datapath.openvswitch import OpenVSwitchDatapath

__all__ = ["OpenVSwitchDatapath"]
