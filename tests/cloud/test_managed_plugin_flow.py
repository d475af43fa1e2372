# SPDX-License-Identifier: Apache-2.0
"""Tests of networks and containers once more, each call through the managed plugin: some of them in
every run, all with `--long`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud import test_containers, test_networks
from tests.cloud.conftest import Troupe
from tests.cloud.stage import Stage
from tests.cloud.stage.plugin import PLUGIN, install_plugin, remove_plugin
from tests.speed import LONG

pytestmark = pytest.mark.local_cloud

IN_EVERY_RUN = {
    "test_two_containers_talk",
    "test_start_and_removal_leave_nothing",
    "test_address_asked_for_is_given",
    "test_network_is_connected_to_and_disconnected_from_a_running_container",
    "test_network_and_subnet_are_made_tagged_and_taken_away",
    "test_internal_network_has_no_gateway",
}

for module in (test_containers, test_networks):
    tests = {name: one for name, one in vars(module).items() if name.startswith("test_")}
    globals().update({name: tests[name] for name in tests if LONG or name in IN_EVERY_RUN})


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
