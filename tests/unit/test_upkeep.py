# SPDX-License-Identifier: Apache-2.0
"""What a reconcile pass may decide: over random snapshots, never against the living."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kurier.model.ids import (
    DockerNetworkId,
    EndpointId,
    NetworkId,
    PortId,
    PortKey,
    SecurityGroupId,
)
from kurier.model.likeness import as_made
from kurier.model.neutron import Port
from kurier.model.port import IN_USE, PortBefore, PortRecord, Stage
from kurier.model.tags import KURYR_PORT_EXISTING, LEASED, READY
from kurier.model.upkeep import Plan, Snapshot, Suspect, plan
from kurier.model.wiring import Attached, Plugged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GRACE = timedelta(minutes=5)
LONG_AGO = NOW - 2 * GRACE
BEFORE = PortBefore("", "", "", "", "", "", (), None, True, "", ())
SOMEWHERE = Attached(DockerNetworkId("network"), "a MAC address that no port has")
NUMBERS = st.integers(0, 7)  # few, so that leases, plugs, ports and endpoints often meet


def record_of(number: int, stage: Stage, port: int | None, adopted: bool) -> PortRecord:
    attached = stage in (Stage.LEASED, Stage.RELEASING)
    return PortRecord(
        PortKey(f"lease-{number}"),
        stage,
        DockerNetworkId("network"),
        NetworkId("neutron"),
        LONG_AGO,
        port_id=None if port is None else PortId(f"port-{port}"),
        before=BEFORE if adopted else None,
        endpoint=EndpointId(f"endpoint-{number}") if attached else None,
        device=f"tap{number}" if attached else "",
    )


def port_of(number: int, device_id: str) -> Port:
    return Port(PortId(f"port-{number}"), NetworkId("neutron"), "", device_id=device_id)


def plug_of(number: int, port: int, link: bool, peer: bool) -> Plugged:
    lease, on = PortKey(f"lease-{number}"), PortId(f"port-{port}")
    return Plugged(lease, on, f"tap{number}", link, peer and link, wired=True)


records = st.builds(record_of, NUMBERS, st.sampled_from(Stage), st.none() | NUMBERS, st.booleans())
plugs = st.builds(plug_of, NUMBERS, NUMBERS, st.booleans(), st.booleans())
ports = st.builds(port_of, NUMBERS, st.sampled_from(["", "other"]) | NUMBERS.map("lease-{}".format))
living = st.dictionaries(
    NUMBERS.map(lambda number: EndpointId(f"endpoint-{number}")), st.just(SOMEWHERE)
)
snapshots = st.builds(
    Snapshot,
    now=st.just(NOW),
    known=st.lists(records, max_size=6, unique_by=lambda one: one.id).map(tuple),
    plugged=st.none() | st.lists(plugs, max_size=6, unique_by=lambda one: one.device).map(tuple),
    living=st.none() | living,
    ports=st.none() | st.lists(ports, max_size=6, unique_by=lambda one: one.id).map(tuple),
)


def harshest(snapshot: Snapshot) -> Plan:
    """The plan when all that looks unused has looked so for long."""
    first = plan(snapshot, {}, GRACE)
    return plan(snapshot, dict.fromkeys(first.suspects, LONG_AGO), GRACE)


def in_a_sandbox(snapshot: Snapshot) -> set[str]:
    return {
        one.device for one in snapshot.plugged or () if one.link_present and not one.peer_present
    }


def of_all(snapshot: Snapshot, chosen: tuple[PortKey, ...]) -> list[PortRecord]:
    return [lease for lease in snapshot.known if lease.id in chosen]


@given(snapshots)
def test_one_look_convicts_nobody(snapshot: Snapshot) -> None:
    first = plan(snapshot, {}, timedelta(0))
    assert (first.release, first.unplug, first.delete) == ((), (), ())


@given(snapshots)
def test_no_lease_goes_that_the_engine_knows(snapshot: Snapshot) -> None:
    for lease in of_all(snapshot, harshest(snapshot).release):
        assert lease.endpoint is None or lease.endpoint not in (snapshot.living or ())


@given(snapshots)
def test_no_lease_goes_whose_device_is_in_a_sandbox(snapshot: Snapshot) -> None:
    held = in_a_sandbox(snapshot)
    assert not {lease.device for lease in of_all(snapshot, harshest(snapshot).release)} & held


@given(snapshots)
def test_no_device_in_a_sandbox_is_unplugged_and_none_of_a_lease(snapshot: Snapshot) -> None:
    unplugged = set(harshest(snapshot).unplug)
    assert not unplugged & in_a_sandbox(snapshot)
    assert not unplugged & {lease.device for lease in snapshot.known}


@given(snapshots)
def test_no_port_goes_that_a_lease_or_a_device_has(snapshot: Snapshot) -> None:
    deleted = set(harshest(snapshot).delete)
    assert not deleted & {lease.port_id for lease in snapshot.known}
    assert not deleted & {one.port_id for one in snapshot.plugged or () if one.link_present}
    asked_for = {lease.id for lease in snapshot.known}
    assert not deleted & {one.id for one in snapshot.ports or () if one.device_id in asked_for}


@given(snapshots)
def test_no_answer_from_switch_or_engine_convicts_no_endpoint(snapshot: Snapshot) -> None:
    for silent in (replace(snapshot, plugged=None), replace(snapshot, living=None)):
        released = of_all(silent, harshest(silent).release)
        assert [lease.endpoint for lease in released if lease.endpoint] == []


@given(snapshots)
def test_no_answer_from_the_switch_unplugs_and_deletes_nothing(snapshot: Snapshot) -> None:
    blind = harshest(replace(snapshot, plugged=None))
    assert (blind.unplug, blind.delete) == ((), ())


@given(snapshots)
def test_no_answer_from_neutron_deletes_and_reports_nothing(snapshot: Snapshot) -> None:
    blind = harshest(replace(snapshot, ports=None))
    assert (blind.delete, blind.settle, blind.miss) == ((), (), ())


@given(snapshots)
def test_only_what_is_in_use_is_released(snapshot: Snapshot) -> None:
    assert {port.stage for port in of_all(snapshot, harshest(snapshot).release)} <= IN_USE


@given(snapshots, st.timedeltas(timedelta(0), GRACE - timedelta(seconds=1)))
def test_nothing_goes_before_its_grace(snapshot: Snapshot, age: timedelta) -> None:
    first = plan(snapshot, {}, GRACE)
    young = plan(snapshot, dict.fromkeys(first.suspects, NOW - age), GRACE)
    assert (young.release, young.unplug, young.delete) == ((), (), ())


@given(snapshots)
def test_what_goes_was_suspect_with_a_reason(snapshot: Snapshot) -> None:
    decided = harshest(snapshot)
    told = {(one.kind, one.key) for one in decided.suspects if one.reason}
    gone = {("lease", one) for one in decided.release} | {("plug", one) for one in decided.unplug}
    assert gone | {("port", one) for one in decided.delete} <= told


@dataclass(frozen=True)
class Case:
    """A host with one lease, and what is seen of it."""

    known: bool = False
    link: bool = True
    at_home: bool = True
    port: bool = True

    def snapshot(self, state: Stage = Stage.LEASED) -> Snapshot:
        lease = record_of(1, state, 1, adopted=False)
        return Snapshot(
            NOW,
            (lease,),
            (plug_of(1, 1, self.link, self.at_home),),
            {EndpointId("endpoint-1"): SOMEWHERE} if self.known else {},
            (port_of(1, lease.id),) if self.port else (),
        )


def test_a_lease_whose_endpoint_and_sandbox_are_gone_is_released() -> None:
    for seen in (Case(), Case(link=False)):
        assert harshest(seen.snapshot()).release == ("lease-1",)


def test_a_lease_that_nobody_came_for_is_released_whoever_answers() -> None:
    silent = Snapshot(NOW, (record_of(1, Stage.ALLOCATED, 1, False),), None, None, None)
    assert harshest(silent).release == ("lease-1",)


def test_a_device_and_a_port_without_lease_go() -> None:
    stray = replace(Case().snapshot(), known=())
    assert harshest(stray).unplug == ("tap1",)
    assert harshest(stray).delete == ()  # its device stands; the port follows in a later pass
    assert harshest(replace(stray, plugged=())).delete == ("port-1",)


def test_a_suspect_that_was_cleared_in_between_begins_anew() -> None:
    snapshot = Case().snapshot()
    suspect = plan(snapshot, {}, GRACE).suspects[0]
    for since in (NOW, NOW - GRACE + timedelta(seconds=1)):
        assert plan(snapshot, {suspect: since}, GRACE).release == ()
    other = Suspect(suspect.kind, suspect.key, "another reason")
    assert plan(snapshot, {other: LONG_AGO}, GRACE).release == ()


def test_a_live_containers_port_that_a_list_lacks_is_asked_for_and_kept() -> None:
    snapshot = Case(known=True, at_home=False, port=False).snapshot()
    assert plan(snapshot, {}, GRACE).miss == ()
    decided = harshest(snapshot)
    assert (decided.release, decided.miss) == ((), ("lease-1",))


def test_a_containers_port_that_the_switch_does_not_serve_is_put_back_at_once() -> None:
    snapshot = Case(known=True, at_home=False).snapshot()
    (plug,) = snapshot.plugged or ()
    others = (
        (),
        (replace(plug, port_id=PortId("")),),
        (replace(plug, mac="fa:16:3e:ff:ff:ff"),),
        (replace(plug, link_up=False),),
    )
    assert plan(snapshot, {}, GRACE).restore == ()
    for found in others:
        assert plan(replace(snapshot, plugged=found), {}, GRACE).restore == ("lease-1",)
    assert plan(replace(snapshot, plugged=None), {}, GRACE).restore == ()


def test_a_containers_port_that_was_changed_in_neutron_is_told_by_what_changed() -> None:
    snapshot = Case(known=True, at_home=False).snapshot()
    (port,) = snapshot.ports or ()
    changes = {
        "MAC address fa:16:3e:ff:ff:ff": replace(port, mac="fa:16:3e:ff:ff:ff"),
        "disabled": replace(port, others=(("admin_state_up", "false"),)),
    }
    assert harshest(snapshot).troubles == ()
    for told, found in changes.items():
        (trouble,) = harshest(replace(snapshot, ports=(found,))).troubles
        assert trouble.says.startswith("Port port-1 of endpoint endpoint-1 ")
        assert told in trouble.says


def test_a_lease_whose_port_is_in_the_making_is_not_judged() -> None:
    """However long Neutron takes: the port would be deleted under the container that gets it."""
    waiting = replace(record_of(1, Stage.REQUESTED, 1, adopted=False), endpoint=None)
    snapshot = Snapshot(NOW, (waiting,), None, None, None)
    assert harshest(snapshot).release == ("lease-1",)
    assert harshest(replace(snapshot, under_way=frozenset({waiting.id}))).suspects == ()


def forgotten(*tags: str) -> Snapshot:
    """A container's port of which the ledger knows nothing."""
    port = replace(port_of(1, "c0ffee"), tags=frozenset(tags))
    return replace(Case(known=True, at_home=False).snapshot(), known=(), ports=(port,))


def test_a_lease_that_the_ledger_lost_is_rebuilt_at_the_second_look() -> None:
    snapshot = forgotten(LEASED, "endpoint-1")
    first = plan(snapshot, {}, GRACE)
    assert first.rebuild == ()
    assert plan(snapshot, dict.fromkeys(first.suspects, NOW), GRACE).rebuild == ("port-1",)
    assert (harshest(snapshot).unplug, harshest(snapshot).delete) == ((), ())


def test_only_what_a_container_has_is_rebuilt() -> None:
    snapshot = forgotten(LEASED, "endpoint-1")
    waiting = (plug_of(1, 1, link=True, peer=True),)
    others = (
        forgotten("endpoint-1"),  # no role, and a MAC address that the endpoint has not
        forgotten(LEASED, "endpoint-2"),
        forgotten(LEASED, "endpoint-1", KURYR_PORT_EXISTING),
        replace(snapshot, plugged=waiting),
        replace(snapshot, living=None),
        replace(snapshot, known=(record_of(1, Stage.LEASED, 1, adopted=False),)),
        replace(snapshot, known=(record_of(1, Stage.LEASED, 2, adopted=False),)),
    )
    assert [harshest(one).rebuild for one in others] == [()] * len(others)


def test_a_group_that_no_port_wears_goes_after_its_grace() -> None:
    snapshot = Snapshot(NOW, (), (), {}, (), unworn=frozenset({SecurityGroupId("idle")}))
    suspect = plan(snapshot, {}, GRACE).suspects[0]
    assert plan(snapshot, {suspect: NOW}, GRACE).drop_groups == ()
    assert plan(snapshot, {suspect: NOW - GRACE}, GRACE).drop_groups == ("idle",)
    assert harshest(replace(snapshot, unworn=None)).drop_groups == ()


THERE = Port(
    PortId("port-1"),
    NetworkId("neutron"),
    "fa:16:3e:00:00:01",
    name="kuryr-lease-1",
    description="Kurier: ready for Docker network network",
    device_id="lease-1",
    tags=frozenset({READY}),
)


def ready(number: int, since: datetime = LONG_AGO) -> PortRecord:
    return PortRecord(
        PortKey(f"lease-{number}"),
        Stage.READY,
        DockerNetworkId("network"),
        NetworkId("neutron"),
        since,
        PortId(f"port-{number}"),
        "fa:16:3e:00:00:01",
        device=f"tap{number}",
        peer=f"kur{number}",
        made=as_made(THERE),
    )


def with_pool(
    *pooled: PortRecord, plugged: tuple[Plugged, ...], ports: tuple[Port, ...]
) -> Snapshot:
    return Snapshot(NOW, pooled, plugged, {}, ports, begun=NOW - timedelta(seconds=1))


SERVED = replace(plug_of(1, 1, link=True, peer=True), mac=THERE.mac)


def test_a_ready_port_that_all_agree_on_is_left_alone() -> None:
    snapshot = with_pool(ready(1), plugged=(SERVED,), ports=(THERE,))
    assert harshest(snapshot) == Plan()


def test_a_ready_port_that_the_switch_does_not_serve_is_taken_back_at_once() -> None:
    others = (
        replace(SERVED, wired=False),
        replace(SERVED, peer_present=False),
        replace(SERVED, link_up=False),
        replace(SERVED, port_id=PortId("port-2")),
    )
    for plug in ((), *((one,) for one in others)):
        snapshot = with_pool(ready(1), plugged=plug, ports=(THERE,))
        assert plan(snapshot, {}, GRACE).replug == ("lease-1",)


def test_a_ready_port_gone_or_changed_in_neutron_is_replaced_at_the_second_look() -> None:
    for found in ((), (replace(THERE, mac="fa:16:3e:ff:ff:ff"),)):
        snapshot = with_pool(ready(1), plugged=(SERVED,), ports=found)
        first = plan(snapshot, {}, GRACE)
        assert first.replace == ()
        assert plan(snapshot, dict.fromkeys(first.suspects, NOW), GRACE).replace == ("lease-1",)


def test_a_ready_port_of_an_earlier_release_is_replaced() -> None:
    snapshot = with_pool(replace(ready(1), made=None), plugged=(SERVED,), ports=(THERE,))
    assert harshest(snapshot).replace == ("lease-1",)


def test_a_port_that_its_container_is_being_taken_off_is_judged_by_its_addresses_alone() -> None:
    dressed = replace(THERE, name="web", security_groups=(SecurityGroupId("ops"),))
    for port in (replace(ready(1), stage=Stage.COOLING), replace(ready(1), used=True)):
        assert harshest(with_pool(port, plugged=(SERVED,), ports=(dressed,))).replace == ()
        moved = replace(dressed, mac="fa:16:3e:ff:ff:ff")
        assert harshest(with_pool(port, plugged=(SERVED,), ports=(moved,))).replace == ("lease-1",)


def test_what_became_ready_while_the_pass_looked_is_not_judged() -> None:
    snapshot = with_pool(ready(1, since=NOW), plugged=(), ports=())
    assert harshest(snapshot) == Plan()


def test_an_answer_that_did_not_come_convicts_no_ready_port() -> None:
    snapshot = replace(
        with_pool(ready(1), plugged=(), ports=()), plugged=None, ports=None, living=None
    )
    assert harshest(snapshot) == Plan()
