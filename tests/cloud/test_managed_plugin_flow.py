# SPDX-License-Identifier: Apache-2.0
"""The tests of networks and containers once more, each call through the managed plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud import test_containers, test_networks
from tests.cloud.conftest import Troupe
from tests.cloud.stage import Stage
from tests.cloud.stage.plugin import PLUGIN, install_plugin, remove_plugin

pytestmark = pytest.mark.local_cloud

for module in (test_containers, test_networks):
    globals().update({name: one for name, one in vars(module).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def managed(troupe: Troupe) -> Iterator[Stage]:
    """A stage whose networks are all made with the plugin for a driver."""
    with troupe.own() as stage:
        stage.through = PLUGIN
        install_plugin(stage)
        yield stage
        stage.cleanup()
        remove_plugin(stage.docker)


@pytest.fixture
def stage(managed: Stage) -> Iterator[Stage]:
    yield managed
    managed.cleanup()


@pytest.fixture(scope="module")
def lan(managed: Stage) -> Iterator[str]:
    name = managed.name("lan")
    cidr = str(managed.cidr())
    managed.docker("network", "create", *managed.driver_options, "--subnet", cidr, name)
    yield name
    managed.docker("network", "rm", name)


@pytest.fixture(scope="module")
def lan_range(lan: str, managed: Stage) -> str:
    return str(managed.docker.inspect("network", lan)["IPAM"]["Config"][0]["Subnet"])
