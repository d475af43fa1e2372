# SPDX-License-Identifier: Apache-2.0
"""The Neutron in memory does what the real one does: tests/cloud/test_neutron_room.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

import pytest

from kurier.model.errors import Code
from kurier.model.ids import SubnetPoolId
from kurier.service.protocols import Cloud
from tests.agreement.neutron import NeutronAgrees, Operator
from tests.host.gate import Gate
from tests.host.neutron import Neutron, NeutronFace


@dataclass
class OperatorInMemory:
    """Reaches into the cloud."""

    neutron: Neutron

    def make_subnet_pool(self, name: str, prefix: str, length: int) -> SubnetPoolId:
        return self.neutron.make_subnet_pool(name, prefix, length)

    def living_host(self) -> str:
        self.neutron.chassis.add("host1")
        return "host1"


class TestNeutronInMemory(NeutronAgrees):
    """Its sentences are nobody's to read."""

    words = False

    @pytest.fixture(params=[True, False], ids=["tags with ports", "tags after ports"])
    def neutron(self, request: pytest.FixtureRequest) -> Neutron:
        neutron = Neutron(Random(1), lambda: datetime.now(UTC))
        neutron.tags_on_create = request.param
        return neutron

    @pytest.fixture
    def cloud(self, neutron: Neutron) -> Cloud:
        return NeutronFace(neutron, Gate.open("neutron", Code.CLOUD_AWAY))

    @pytest.fixture
    def operator(self, neutron: Neutron) -> Operator:
        return OperatorInMemory(neutron)
