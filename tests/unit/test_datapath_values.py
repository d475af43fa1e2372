# SPDX-License-Identifier: Apache-2.0
"""The datapath's values and decisions that need no switch."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from kurier.datapath.deadline import Deadline
from kurier.datapath.failures import no_bridge, switch_away, switch_error
from kurier.datapath.tables import SwitchPort, external_ids, wired_by
from kurier.datapath.waiters import Waiters
from kurier.model.errors import Code, KurierError
from kurier.model.ids import PortId, PortKey
from kurier.model.wiring import Plug, WiredBy

PLUG = Plug(PortKey("a" * 32), PortId("port-1"), "fa:16:3e:00:00:01", 1500, "tap1", "tip1", "ep-1")


def port(key: str = "", value: str = "", tag: int | None = None) -> SwitchPort:
    ids = external_ids(PLUG) | ({key: value} if key else {})
    return SwitchPort("tap1", ids, "", tag)


@pytest.mark.parametrize(
    ("by", "standing", "wired"),
    [
        (WiredBy.OVN, port(), False),
        (WiredBy.OVN, port("ovn-installed", "false"), False),
        (WiredBy.OVN, port("ovn-installed", "true"), True),
        (WiredBy.OVN, port(tag=3), False),
        (WiredBy.AGENT, port(), False),
        (WiredBy.AGENT, port(tag=4095), False),
        (WiredBy.AGENT, port(tag=0), True),
        (WiredBy.AGENT, port(tag=1), True),
        (WiredBy.AGENT, port("ovn-installed", "true"), False),
    ],
)
def test_each_takes_its_own_word(by: WiredBy, standing: SwitchPort, wired: bool) -> None:
    assert standing.wired(by) is wired


@pytest.mark.parametrize(
    ("setting", "host_ids", "by"),
    [
        (None, {}, WiredBy.AGENT),
        (None, {"ovn-remote": "tcp:h:6642"}, WiredBy.OVN),
        (None, {"system-id": "c1", "ovn-remote-c1": "tcp:h:6642"}, WiredBy.OVN),
        (None, {"system-id": "c1", "ovn-remote-probe-interval": "60000"}, WiredBy.AGENT),
        (WiredBy.AGENT, {"ovn-remote": "tcp:h:6642"}, WiredBy.AGENT),
        (WiredBy.OVN, {}, WiredBy.OVN),
    ],
)
def test_who_wires_is_configured_or_seen(
    setting: WiredBy | None, host_ids: dict[str, str], by: WiredBy
) -> None:
    assert wired_by(setting, host_ids) is by


def test_a_port_serves_its_own_plug_only() -> None:
    assert port().serves(PLUG)
    assert not port("kurier-lease", "b" * 32).serves(PLUG)
    assert not port("iface-id", "port-2").serves(PLUG)
    assert SwitchPort("tap1", {}, "", None).key is None


def test_a_deadline_never_leaves_less_than_nothing() -> None:
    moments = iter((10.0, 11.0, 12.0, 14.0, 14.0))
    deadline = Deadline.after(3, lambda: next(moments))
    assert (deadline.left(), deadline.passed) == (2.0, False)
    assert (deadline.left(), deadline.passed) == (0.0, True)


def test_an_unreachable_switch_is_told_with_what_was_seen(tmp_path: Path) -> None:
    standing = tmp_path / "db.sock"
    standing.touch()
    assert "no such socket" in switch_away(f"unix:{tmp_path}/none.sock").sentence
    assert "nobody answers" in switch_away(f"unix:{standing}").sentence
    assert "tcp:10.99.0.1:6640" in switch_away("tcp:10.99.0.1:6640").sentence
    assert switch_away("tcp:10.99.0.1:6640").code is Code.SWITCH_AWAY


def test_a_missing_bridge_is_told_with_those_there_are() -> None:
    assert "(it has br-a, br-b)" in no_bridge("br-int", ["br-b", "br-a"]).sentence
    assert "(it has none)" in no_bridge("br-int", []).sentence


async def test_a_word_from_another_thread_reaches_all_who_wait() -> None:
    waiters = Waiters()
    with (
        waiters.waiting("tap1") as one,
        waiters.waiting("tap1") as two,
        waiters.waiting("tap2") as other,
    ):
        teller = threading.Thread(target=waiters.tell, args=("tap1",))
        teller.start()
        await asyncio.gather(one, two)
        teller.join()
        assert not other.done()
    assert len(waiters) == 0


async def test_bad_news_is_raised_to_who_waits() -> None:
    waiters = Waiters()
    with waiters.waiting("tap1") as word:
        waiters.tell("tap1", switch_error("no"))
        with pytest.raises(KurierError):
            await word


async def test_a_word_too_late_is_told_to_nobody() -> None:
    waiters = Waiters()
    with waiters.waiting("tap1") as word:
        waiters.tell("tap1", switch_error("no"))
    await asyncio.sleep(0)
    assert word.cancelled()
    assert not waiters.awaited("tap1")


def test_a_loop_that_has_ended_is_forgotten() -> None:
    waiters = Waiters()
    loop = asyncio.new_event_loop()

    async def enter() -> None:
        waiters.waiting("tap1").__enter__()

    loop.run_until_complete(enter())
    loop.close()
    waiters.tell("tap1")
    assert len(waiters) == 0
