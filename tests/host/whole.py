# SPDX-License-Identifier: Apache-2.0
"""What must be true of a world at rest, whatever struck it.

Each check yields a sentence for what is wrong; a world that is whole yields none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from kurier.model import tags
from kurier.model.ids import PoolId, QosPolicyId
from kurier.model.naming import port_name
from kurier.model.neutron import Port
from kurier.model.port import POOLED, PortRecord, Stage
from kurier.model.records import NetworkRecord, NetworkState
from kurier.service.context import DEVICE_OWNER
from tests.host.engine import Living
from tests.host.neutron.ports import NEW
from tests.host.world import Host, World


def faults(world: World) -> list[str]:
    """Everything that is wrong in a world at rest."""
    return [
        *world.unheard,
        *_addresses(world),
        *(one for host in world.hosts.values() for one in _host(host)),
    ]


def leftovers(world: World, before: frozenset[str]) -> list[str]:
    """How a world differs from what it was `before`, once every engine has removed everything."""
    after = seen(world)
    left = [f"left: {one}" for one in sorted(after - before)]
    return left + [f"taken: {one}" for one in sorted(before - after)]


def seen(world: World) -> frozenset[str]:
    """Everything that Kurier may make or change, as one line each."""
    lines = set(seen_in_neutron(world))
    for host in world.hosts.values():
        lines |= {f"{host.name}: row {row.device}" for row in host.switch.rows.values()}
        lines |= {f"{host.name}: link {device}" for device in host.switch.pairs}
        lines |= {f"{host.name}: flow {flow}" for flow in host.switch.flows}
        ledger = host.running.ledger
        lines |= {f"{host.name}: port {one.id} {one.stage}" for one in ledger.ports()}
        lines |= {f"{host.name}: network {one.id} {one.state}" for one in ledger.networks()}
        lines |= {f"{host.name}: range {one.id} {one.cidr}" for one in ledger.pools()}
        lines |= {f"{host.name}: job {one.kind} {one.key}" for one in ledger.jobs()}
    return frozenset(lines)


def seen_in_neutron(world: World) -> frozenset[str]:
    """Everything there."""
    neutron = world.neutron
    lines = {f"network {one.id} {one.name} {sorted(one.tags)}" for one in neutron.networks.values()}
    lines |= {f"subnet {one.id} {one.cidr} {sorted(one.tags)}" for one in neutron.subnets.values()}
    lines |= {_port_line(one) for one in neutron.ports.values()}
    lines |= {f"group {one.id} {one.name} {sorted(one.tags)}" for one in neutron.groups.values()}
    return frozenset(lines)


def _port_line(port: Port) -> str:
    """Everything of a port but what is Neutron's own business."""
    addresses = sorted(str(one.address) for one in port.fixed_ips)
    return (
        f"port {port.id} {port.name!r} {port.description!r} {port.device_id} {port.device_owner} "
        f"{port.host_id} {port.mac} {addresses} {sorted(port.security_groups)} "
        f"{port.qos_policy_id} {port.port_security} {port.dns_name!r} {sorted(port.tags)}"
    )


def _addresses(world: World) -> Iterator[str]:
    """Nobody has what another has; but for those whose port somebody deleted, which are told."""
    living = [
        one
        for host in world.hosts.values()
        for one in host.engine.living()
        if not _is_told(host, one)
    ]
    network_of = {
        record.id: record.neutron_id
        for host in world.hosts.values()
        for record in host.running.ledger.networks()
    }
    held = Counter(
        (network_of.get(one.network), address) for one in living for address in one.addresses
    )
    for (_, address), number in held.items():
        if number > 1:
            yield f"{number} containers have {address}"


def _host(host: Host) -> Iterator[str]:
    yield from (f"{host.name}: {one!r} ended the daemon's work" for one in host.running.failures)
    yield from _containers(host)
    yield from _ready(host)
    yield from _ledger(host)
    yield from _switch(host)
    yield from _neutron(host)


def _containers(host: Host) -> Iterator[str]:
    """Every container that runs is whole: engine, ledger, switch and Neutron say the same."""
    for one in host.engine.living():
        lease = host.running.ledger.port_of_endpoint(one.endpoint)
        gone = lease is None or lease.port_id not in host.world.neutron.ports
        if gone and (_is_told(host, one) or _is_lost(host, one)):
            continue  # somebody deleted its port
        for fault in _container(host, one):
            yield f"{host.name}: container {one.container}: {fault}"


def _container(host: Host, one: Living) -> Iterator[str]:
    lease = host.running.ledger.port_of_endpoint(one.endpoint)
    if lease is None or lease.stage is not Stage.LEASED:
        yield f"no lease ({lease and lease.stage})"
        return
    port = host.world.neutron.ports.get(lease.port_id) if lease.port_id else None
    row = host.switch.rows.get(lease.device)
    if port is None:
        yield f"no port in Neutron (lease {lease.id}), and nobody is told"
        return
    if row is None or row.port_id != port.id or not row.wired:
        yield f"cut off: {row}"
    pair = host.switch.pairs.get(lease.device)
    if pair is None or pair.where != one.sandbox or not pair.up:
        yield f"the end of {lease.device} is not in its sandbox: {pair}"
    if port.host_id != host.name:
        yield f"its port is bound to {port.host_id!r}"
    if port.mac != one.mac:
        yield f"it has {one.mac}, its port {port.mac}"
    if set(one.addresses) - {ip.address for ip in port.fixed_ips}:
        yield f"it has {one.addresses}, its port {port.fixed_ips}"
    if port.device_id != one.container_id:
        yield f"its port's device is {port.device_id}"
    wanted = {*tags.endpoint_tags(one.endpoint), tags.LEASED}
    if not wanted <= port.tags or tags.READY in port.tags:
        yield f"its port's tags are {sorted(port.tags)}"
    if port.id in host.world.touched:
        return
    if one.exposed and not lease.exposed and host.had_old_ledger:
        return  # the newer ledger knew it, and Neutron was not told yet
    yield from _opened(host, one, port)
    if lease.before is None:
        yield from _guarded(host, one, port)


def _is_lost(host: Host, one: Living) -> bool:
    """Whether neither the ledger nor the switch knows a container any more: somebody put an old
    ledger back and took the port out of the switch as well.
    """
    devices = {pair.device for pair in host.switch.pairs.values() if pair.where == one.sandbox}
    return host.had_old_ledger and not devices & host.switch.rows.keys()


def _is_told(host: Host, one: Living) -> bool:
    """Whether operators are told that something is wrong with a container."""
    troubles = host.running.driver.reconciler.troubles()
    return any(trouble.whom == f"container {one.container}" for trouble in troubles)


def _guarded(host: Host, one: Living, port: Port) -> Iterator[str]:
    """A port of ours is guarded as its own user asked, else as its network is."""
    record = host.running.ledger.network(one.network)
    if record is None:
        return
    named = one.options.get("kurier.security_groups")
    groups = host.world.neutron.groups
    if named is not None:
        wished = {group.id for group in groups.values() if group.name in named.split(",")}
        record = replace(record, security_groups=tuple(wished))
    if "kurier.port_security" in one.options:
        record = replace(record, port_security=one.options["kurier.port_security"] == "true")
    policies = {name: policy for policy, name in host.world.neutron.policies.items()}
    if (policy := one.options.get("kurier.qos_policy")) is not None:
        record = replace(record, qos_policy_id=policies.get(policy, QosPolicyId(policy)))
    yield from _unlike(host, record, port)


def _unlike(host: Host, record: NetworkRecord, port: Port) -> Iterator[str]:
    """What of a port is not as its network's ports are made."""
    groups = host.world.neutron.groups
    worn = {one for one in port.security_groups if not any(map(tags.is_exposing, groups[one].tags))}
    secure = record.port_security is not False
    wanted = {host.world.neutron.default_group}
    if record.security_groups is not None:
        wanted = set(record.security_groups)
    if port.port_security != secure:
        yield f"port security is {port.port_security}"
    if secure and worn != wanted:
        yield f"groups are {worn}, not {wanted}"
    if port.qos_policy_id != record.qos_policy_id:
        yield f"the QoS policy is {port.qos_policy_id}"


def _opened(host: Host, one: Living, port: Port) -> Iterator[str]:
    """What it publishes is open, and nothing that another published."""
    groups = [host.world.neutron.groups[group] for group in port.security_groups]
    ours = [group for group in groups if any(map(tags.is_exposing, group.tags))]
    opened = {rule for group in ours for rule in group.rules}
    if port.port_security and opened != set(one.exposed):
        yield f"open is {opened}, published {one.exposed}"


def _ready(host: Host) -> Iterator[str]:
    """A port that may be taken is one that a container can be given."""
    for port in host.running.ledger.ports():
        if port.stage not in POOLED:
            continue
        where = f"{host.name}: ready port {port.id}"
        neutron = host.world.neutron.ports.get(port.port_id) if port.port_id else None
        if port.stage is not Stage.READY:
            yield f"{where} rests as {port.stage}: {port.reason}"
        elif neutron is None:
            yield f"{where} is gone from Neutron"
        else:
            row = host.switch.rows.get(port.device)
            pair = host.switch.pairs.get(port.device)
            if row is None or row.port_id != neutron.id or not row.wired:
                yield f"{where} is not wired: {row}"
            elif pair is None or not pair.up:
                yield f"{where} has no device that is up: {pair}"
            yield from (f"{where}: {one}" for one in _not_as_new(host, port, neutron))


def _not_as_new(host: Host, port: PortRecord, neutron: Port) -> Iterator[str]:
    """What of a ready port is not as a new one has it."""
    if (neutron.mac, neutron.device_id, neutron.device_owner) != (port.mac, port.id, DEVICE_OWNER):
        yield f"it has {neutron.mac}, {neutron.device_id}, {neutron.device_owner}"
    if {ip.address for ip in neutron.fixed_ips} != {one.address for one in port.addresses}:
        yield f"it has {neutron.fixed_ips}"
    told = [tag.rpartition(":")[0] or tag for tag in neutron.tags]
    if (
        sorted(told) != ["kurier.env", "kurier.host", "kurier.role"]
        or tags.READY not in neutron.tags
    ):
        yield f"its tags are {sorted(neutron.tags)}"
    if any(flow.port_id == neutron.id for flow in host.switch.flows):
        yield "flows of a former container"
    yield from (f"it wears {one}" for one in _worn(host, neutron))
    record = host.running.ledger.network(port.network)
    if record is not None:
        yield from _unlike(host, record, neutron)
    if (neutron.name, neutron.dns_name) != (port_name(port.id), ""):
        yield f"it is called {neutron.name!r}, {neutron.dns_name!r}"
    if neutron.others != NEW:
        yield f"it has {neutron.others}"
    if neutron.id in host.world.neutron.port.floating.values():
        yield "a floating IP leads to it"


def _worn(host: Host, port: Port) -> Iterator[str]:
    for group in port.security_groups:
        if any(map(tags.is_exposing, host.world.neutron.groups[group].tags)):
            yield f"group {group}, which a former container published"


def _ledger(host: Host) -> Iterator[str]:
    """Nothing is owed, and nothing is kept for nobody."""
    ledger = host.running.ledger
    living = {one.endpoint for one in host.engine.living()}
    known = set(host.engine.networks)
    for job in ledger.jobs():
        yield f"{host.name}: job {job.kind} {job.key} is still owed: {job.last_error}"
    for port in ledger.ports():
        if port.stage not in POOLED and port.endpoint not in living:
            yield f"{host.name}: port {port.id} ({port.stage}) of {port.endpoint} is nobody's"
    for record in ledger.networks():
        if record.state is not NetworkState.ACTIVE:
            yield f"{host.name}: network {record.id} is {record.state}"
        if record.id not in known:
            yield f"{host.name}: the engine does not know network {record.id}"
    for pool in ledger.pools():
        if pool.network not in known and not pool.waiting:
            yield f"{host.name}: range {pool.cidr} of {pool.network} is nobody's"
    stored = {pool.id: pool.network for pool in ledger.pools()}
    for network in host.engine.networks.values():
        if ledger.network(network.id) is None:
            continue  # it is found again by Neutron's tags when it is asked for
        for one in network.ranges:
            if stored.get(PoolId(one.pool)) != network.id:
                yield f"{host.name}: range {one.cidr} of {network.id} gives no addresses"


def _switch(host: Host) -> Iterator[str]:
    """Every device is a lease's or a ready port's."""
    ledger = host.running.ledger
    devices = {one.device for one in ledger.ports()}
    living = host.engine.living()
    lost = {one.sandbox for one in living if _is_told(host, one) or _is_lost(host, one)}
    devices |= {pair.device for pair in host.switch.pairs.values() if pair.where in lost}
    for row in host.switch.rows.values():
        if row.device not in devices:
            yield f"{host.name}: row {row.device} is nobody's"
    for device in host.switch.pairs:
        if device not in devices:
            yield f"{host.name}: link {device} is nobody's"


def _neutron(host: Host) -> Iterator[str]:
    """Every port that carries this host's tag is a lease's or a ready port's; so is every group."""
    ledger, neutron = host.running.ledger, host.world.neutron
    kept = {one.port_id for one in ledger.ports()}
    mark = tags.host_tag(host.name)
    for port in neutron.ports.values():
        # One that lost its tags, and whose ledger was lost as well, nobody can tell.
        ours = mark in port.tags or (port.host_id == host.name and not host.had_old_ledger)
        if ours and tags.RESERVED not in port.tags and port.id not in kept:
            yield f"{host.name}: port {port.id} ({port.name}) leaked"
    worn = {group for port in neutron.ports.values() for group in port.security_groups}
    # Its container's port may have been deleted by somebody; it goes with the container.
    ledgers = [one.running.ledger for one in host.world.hosts.values()]
    worn |= {port.exposing_group for one in ledgers for port in one.ports() if port.exposing_group}
    for group in neutron.groups.values():
        if any(map(tags.is_exposing, group.tags)) and group.id not in worn:
            yield f"group {group.name} is worn by nobody"
