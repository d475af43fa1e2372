# SPDX-License-Identifier: Apache-2.0
"""Neutron in memory: one for all hosts, and each host's way to it."""

from tests.host.neutron.face import NeutronFace
from tests.host.neutron.state import Neutron

__all__ = ["Neutron", "NeutronFace"]
