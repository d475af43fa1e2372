# SPDX-License-Identifier: Apache-2.0
"""The local cloud's own commands where a part of it is dead."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import lifecycle, ovn, ovs
from localcloud.api import Cloud
from localcloud.guests.records import GuestRecord, all_records
from localcloud.layout import Layout
from localcloud.place import Place
from localcloud.progress import Reporter
from localcloud.settings import Settings

pytestmark = pytest.mark.local_cloud


@pytest.fixture
def switch(cloud: Cloud) -> Iterator[Place]:
    """The switch database of another, tiny cloud beside the one of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="kc-"))  # a short path, for its socket
    place = Place(Layout(Settings(folder, prefix="kcx")), 1)
    place.openvswitch.mkdir(parents=True)
    ovn.create_file(place.folder / "conf.db", ovs.SCHEMA)
    ovs.start_database(place)
    yield place
    ovs.database(place).stop()
    shutil.rmtree(folder)


def test_down_passes_over_a_switch_that_does_not_answer(switch: Place) -> None:
    """Its process runs and its socket is gone; a guest is still noted there."""
    layout = switch.layout
    GuestRecord("vm", switch.index, "kcx-tap", ovs.INTEGRATION_BRIDGE).write(layout)
    ovs.database_socket(switch).unlink()
    assert ovs.database(switch).running

    lifecycle.down(layout, Reporter(None))

    assert not ovs.database(switch).running
    assert not list(all_records(layout))
