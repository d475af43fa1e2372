# SPDX-License-Identifier: Apache-2.0
"""The switch in memory does what Open vSwitch does: tests/cloud/test_datapath_room.py."""

from __future__ import annotations

from random import Random

import pytest

from kurier.model.errors import Code
from kurier.service.protocols import Datapath
from tests.agreement.switch import Bystander, SwitchAgrees
from tests.host.gate import Gate
from tests.host.switch import HOST, Switch, SwitchFace

SANDBOX = "/var/run/docker/netns/one"


class Reaching:
    """Into the switch in memory."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def rows(self) -> set[str]:
        return set(self._switch.rows)

    def links(self) -> set[str]:
        pairs = self._switch.pairs.values()
        return set(self._switch.pairs) | {one.peer for one in pairs if one.where == HOST}

    def lose_row(self, device: str) -> None:
        self._switch.lose_row(device)

    def lose_link(self, device: str) -> None:
        self._switch.delete_pair(device)

    def enter(self, peer: str) -> None:
        self._switch.move_in(peer, SANDBOX, "")

    def leave(self, peer: str) -> None:
        self._switch.move_out(SANDBOX, peer)

    def end_sandbox(self) -> None:
        self._switch.end_sandbox(SANDBOX)

    def inside(self) -> set[str]:
        return {one.peer for one in self._switch.pairs.values() if one.where == SANDBOX}


class TestSwitchInMemory(SwitchAgrees):
    @pytest.fixture
    def switch(self) -> Switch:
        return Switch("host1", Random(1), lambda port, host, up: None)

    @pytest.fixture
    def datapath(self, switch: Switch) -> Datapath:
        return SwitchFace(switch, Gate.open("switch", Code.SWITCH_AWAY))

    @pytest.fixture
    def others(self, switch: Switch) -> Bystander:
        return Reaching(switch)
