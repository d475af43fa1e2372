# SPDX-License-Identifier: Apache-2.0
"""Turns what Neutron and Keystone refuse into Kurier's errors: one table, one sentence each.

Neutron names the reason of a refusal in the body's ``type``, the class of its own exception
(neutron-lib, `neutron_lib/exceptions/__init__.py`; neutron, `neutron/ipam/exceptions.py`); the
HTTP status alone tells little, a subnet pool run dry being a 500 and a full cloud a 503. The
type picks the row; texts are only searched for values, but where one type has several meanings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from kurier.cloud.calls import Call
from kurier.model.errors import Code, KurierError


class NeutronRefusal(Exception):
    """An answer of Neutron that is not a success; the cause behind a `KurierError`, for the log."""

    def __init__(self, status: int, kind: str, message: str, request_id: str) -> None:
        super().__init__(f"HTTP {status} {kind or 'without a type'}: {message} [{request_id}]")
        self.status = status
        self.kind = kind
        self.message = message
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Site:
    """Where the cloud is and as whom it is used; nothing secret."""

    neutron: str
    auth_url: str
    user: str


_IN_USE = (
    Code.ADDRESS_IN_USE,
    "Address {address} is already in use on Neutron network {network}: choose another one, or free "
    "the port that `openstack port list --fixed-ip ip-address={address}` shows.",
)
_NOT_ON_NETWORK = (
    Code.ADDRESS_INVALID,
    "Address {address} is not valid in any subnet of Neutron network {network}: choose one from "
    "`openstack subnet list --network {network}`.",
)
_NOT_IN_SUBNET = (
    Code.ADDRESS_INVALID,
    "Address {address} is not a valid host address of Neutron subnet {subnet}: choose one that "
    "`openstack subnet show {subnet}` allows.",
)
_FULL = (
    Code.EXHAUSTED,
    "Neutron {where} has no free address left: remove ports that nobody uses, or give it another "
    "allocation pool or subnet.",
)
_POOL_EMPTY = (
    Code.EXHAUSTED,
    "The Neutron subnet pool {pool} cannot give a subnet ({message}): delete unused subnets, add a "
    "prefix to the pool, or name another subnet or pool.",
)
_NO_SEGMENT = (
    Code.EXHAUSTED,
    "Neutron has no tenant network left to give out ({message}): the cloud's operator must widen "
    "its ranges of VLANs or tunnel ids.",
)
_BAD_POOL = (
    Code.BAD_REQUEST,
    "Neutron refused to {doing}: {message}; check --ip-range, --gateway and --aux-address.",
)
_PLAIN = (Code.BAD_REQUEST, "Neutron refused to {doing}: {message}.")

# By the type that Neutron names, whatever the status.
_BY_TYPE: Mapping[str, tuple[Code, str]] = {
    "IpAddressInUse": _IN_USE,
    "IpAddressAlreadyAllocated": _IN_USE,
    "MacAddressInUse": (
        Code.ADDRESS_IN_USE,
        "MAC address {mac} is already in use on Neutron network {network}: choose another one, or "
        "delete the port that `openstack port list --mac-address {mac}` shows.",
    ),
    "InvalidIpForNetwork": _NOT_ON_NETWORK,
    "InvalidIpForSubnet": _NOT_IN_SUBNET,
    "AllocationOnAutoAddressSubnet": (
        Code.ADDRESS_INVALID,
        "Address {address} cannot be chosen: Neutron derives the addresses of subnet {subnet} from "
        "MAC addresses; leave --ip6 out.",
    ),
    "IpAddressGenerationFailure": _FULL,
    "IpAddressGenerationFailureAllSubnets": _FULL,
    "IpAddressGenerationFailureNoMatchingSubnet": (
        Code.EXHAUSTED,
        "Neutron network {network} has no subnet that serves container ports ({message}): see the "
        "service types in `openstack subnet list --long --network {network}`.",
    ),
    "ExternalIpAddressExhausted": _FULL,
    "SubnetPoolQuotaExceeded": _POOL_EMPTY,
    "SubnetAllocationError": _POOL_EMPTY,
    "NoNetworkAvailable": _NO_SEGMENT,
    "NoNetworkFoundInMaximumAllowedAttempts": _NO_SEGMENT,
    "OverQuota": (
        Code.QUOTA,
        "The project's Neutron quota for {resources} is used up: delete what nobody uses, or ask "
        "for more; `openstack quota show` lists the limits.",
    ),
    "NetworkInUse": (
        Code.IN_USE,
        "Neutron network {network} is still in use: `openstack port list --network {network}` "
        "shows by whom.",
    ),
    "SubnetInUse": (
        Code.IN_USE,
        "Neutron subnet {subnet} is still in use: `openstack port list --fixed-ip subnet={subnet}` "
        "shows by whom.",
    ),
    "SubnetPoolInUse": (Code.IN_USE, "Neutron subnet pool {pool} is still in use: {message}."),
    "SubnetPoolDeleteError": (
        Code.IN_USE,
        "Neutron subnet pool {pool} still has subnets: `openstack subnet list --subnet-pool "
        "{pool}` shows them.",
    ),
    "SecurityGroupInUse": (
        Code.IN_USE,
        "Security group {id} is still in use: `openstack port list --security-group {id}` shows "
        "by which ports.",
    ),
    "ServicePortInUse": (
        Code.IN_USE,
        "Neutron port {port} belongs to another service and was left alone: {message}.",
    ),
    "PortInUse": (Code.IN_USE, "Neutron port {port} is already attached elsewhere: {message}."),
    "PortBound": (
        Code.IN_USE,
        "Neutron port {port} is bound to a host, so its MAC address cannot be changed: detach it "
        "first.",
    ),
    "RevisionNumberConstraintFailed": (
        Code.CHANGED,
        "Neutron did not {doing}, since somebody else changed it at the same moment: look at it "
        "and try again.",
    ),
    "GatewayConflictWithAllocationPools": (
        Code.CONFLICT,
        "The gateway lies inside the range of addresses to give out ({message}): keep --gateway "
        "outside --ip-range.",
    ),
    "OutOfBoundsAllocationPool": _BAD_POOL,
    "OverlappingAllocationPools": _BAD_POOL,
    "InvalidAllocationPool": _BAD_POOL,
    "SecurityGroupRuleExists": (
        Code.CONFLICT,
        "Neutron refused to {doing}, since a rule like it exists already: {message}.",
    ),
    "NotImplementedError": (
        Code.UNSUPPORTED,
        "This cloud's Neutron cannot {doing}: {message}.",
    ),
}

# Where one type has several meanings, a piece of its text tells them apart.
_BY_TEXT: tuple[tuple[str, str, tuple[Code, str]], ...] = (
    (
        "InvalidInput",
        "overlaps with another subnet",
        (
            Code.CONFLICT,
            "Subnet {cidr} overlaps with a subnet that Neutron network {network} already has: "
            "choose another range, or use the one that `openstack subnet list --network "
            "{network}` shows.",
        ),
    ),
    (
        "InvalidInput",
        "included invalid subnet",
        (
            Code.BAD_REQUEST,
            "Neutron subnet {subnet} does not belong to network {network}: choose one from "
            "`openstack subnet list --network {network}`.",
        ),
    ),
    (
        "InvalidInput",
        "requires subnets",
        (
            Code.BAD_REQUEST,
            "Neutron network {network} has no subnet to take an address from: create one with "
            "`openstack subnet create`.",
        ),
    ),
    (
        "HTTPBadRequest",
        "Unrecognized attribute",
        (
            Code.UNSUPPORTED,
            "This cloud's Neutron lacks the extension needed to {doing} ({message}): leave that "
            "option out.",
        ),
    ),
)

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_VALUES: Mapping[str, re.Pattern[str]] = {
    "address": re.compile(r"(?:IP|IPv6) address ([0-9A-Fa-f][0-9A-Fa-f:.]*[0-9A-Fa-f:])"),
    "mac": re.compile(r"[Mm][Aa][Cc] address ([0-9A-Fa-f:]{17})"),
    "network": re.compile(rf"[Nn]etwork:? ({_UUID})"),
    "subnet": re.compile(rf"[Ss]ubnet ({_UUID})"),
    "port": re.compile(rf"[Pp]ort ({_UUID})"),
    "pool": re.compile(rf"[Ss]ubnet ?pool ({_UUID})"),
    "resources": re.compile(r"resources: \[?([^\].]+)"),
    "cidr": re.compile(r"cidr:? ([0-9A-Fa-f.:]+/\d+)"),
    "id": re.compile(rf"({_UUID})"),
}
_POLICY_RULE = re.compile(r"rule:([a-z_]+(?::[a-z_]+)*)")
_NOT_FOUND_KIND = re.compile(r"^([A-Z][A-Za-z]*?)NotFound")
_KINDS = {"QosPolicy": "QoS policy"}
_UNREACHABLE = {429, 502, 503, 504}


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"(unknown {key})"


def refused(call: Call, refusal: NeutronRefusal, site: Site) -> KurierError:
    """The error for an answer of Neutron that is not a success."""
    row = _row(refusal)
    facts = _facts(call, refusal)
    if row is not None:
        error = KurierError(row[0], row[1].format_map(facts))
    else:
        error = _by_status(call, refusal, site, facts)
    error.__cause__ = refusal
    return error


def _row(refusal: NeutronRefusal) -> tuple[Code, str] | None:
    for kind, text, row in _BY_TEXT:
        if refusal.kind == kind and text in refusal.message:
            return row
    if refusal.status == 412:
        return _BY_TYPE["RevisionNumberConstraintFailed"]
    return _BY_TYPE.get(refusal.kind)


def _facts(call: Call, refusal: NeutronRefusal) -> _Facts:
    facts = _Facts(call.facts)
    facts["doing"] = call.doing
    facts["message"] = refusal.message.rstrip(". ")
    for name, pattern in _VALUES.items():
        found = pattern.search(refusal.message)
        if found:
            facts[name] = found[1].replace("'", "").strip()
    subnet = facts.get("subnet")
    facts["where"] = f"subnet {subnet}" if subnet else f"network {facts['network']}"
    return facts


def _by_status(call: Call, refusal: NeutronRefusal, site: Site, facts: _Facts) -> KurierError:
    status, message = refusal.status, facts["message"]
    if status == 401:
        return _not_accepted(site)
    if status == 403:
        return _forbidden(call, message, site)
    if status == 404 and refusal.kind:
        return _absent(refusal, facts)
    if status in _UNREACHABLE:
        return KurierError(
            Code.CLOUD_AWAY,
            f"Neutron at {site.neutron} cannot {call.doing} for now (HTTP {status}"
            f"{': ' + message if refusal.kind else ''}): try again, and look at its service if it "
            "stays so.",
        )
    if status == 409:
        return KurierError(Code.CONFLICT, f"Neutron refused to {call.doing}: {message}.")
    if status == 501:
        return KurierError(Code.UNSUPPORTED, f"This cloud's Neutron cannot {call.doing}.")
    if 400 <= status < 500 and refusal.kind:
        return KurierError(_PLAIN[0], _PLAIN[1].format_map(facts))
    return _failed(call, refusal, site)


def _failed(call: Call, refusal: NeutronRefusal, site: Site) -> KurierError:
    if refusal.kind:
        text = f"Neutron failed to {call.doing} (HTTP {refusal.status}, {refusal.message})"
        return KurierError(Code.CLOUD_ERROR, f"{text}: its own log says why.")
    return KurierError(
        Code.CLOUD_ERROR,
        f"What answers at {site.neutron} is not Neutron (HTTP {refusal.status}): check the "
        "network endpoint in Keystone's catalogue and the proxy before it.",
    )


def _absent(refusal: NeutronRefusal, facts: _Facts) -> KurierError:
    named = _NOT_FOUND_KIND.match(refusal.kind)
    kind = facts.get("noun", "resource")
    if named and named[1] not in {"HTTP", "Object", "TagResource", "Tag"}:
        kind = _KINDS.get(named[1]) or re.sub(r"(?<!^)([A-Z])", r" \1", named[1]).lower()
    return KurierError(
        Code.NOT_FOUND,
        f"Neutron has no {kind} {facts['id']} that this project may see: check its id, its "
        "project and whether it is shared.",
    )


def _forbidden(call: Call, message: str, site: Site) -> KurierError:
    rules = list(dict.fromkeys(_POLICY_RULE.findall(message)))
    narrow = [rule for rule in rules if ":" in rule] or rules
    if not narrow:
        return KurierError(
            Code.POLICY,
            f"Neutron's policy does not let {site.user} {call.doing} ({message}): ask the cloud's "
            "operator for the right.",
        )
    # Neutron names every rule it checked, not the one that failed. To choose the host is what its
    # default policy keeps from tenants; the others are theirs on networks of their own.
    binding = [rule for rule in narrow if rule.endswith(":binding:host_id")]
    rule, *others = binding or narrow
    which = f"policy rule {rule}" if not others else f"one of the policy rules {', '.join(narrow)}"
    return KurierError(
        Code.POLICY,
        f"Neutron's {which} does not let {site.user} {call.doing}: the cloud's operator can allow "
        f'it with the line "{rule}": "role:member" in Neutron\'s policy.yaml, or by giving the '
        "user a role that has the right.",
    )


def _not_accepted(site: Site) -> KurierError:
    return KurierError(
        Code.CREDENTIALS,
        f"Keystone at {site.auth_url} does not accept the credentials of {site.user}: check user, "
        "project, domains and secret in clouds.yaml or the OS_* variables.",
    )


def unauthorized(site: Site, cause: BaseException) -> KurierError:
    """Keystone refused the credentials."""
    error = _not_accepted(site)
    error.__cause__ = cause
    return error


def unusable(sentence: str, cause: BaseException) -> KurierError:
    """The cloud's settings lead nowhere, whoever asks."""
    error = KurierError(Code.CREDENTIALS, sentence)
    error.__cause__ = cause
    return error


def away(url: str, site: Site, since: datetime, cause: BaseException) -> KurierError:
    """Nothing answers at `url`."""
    neutron = not site.auth_url or (site.neutron and url.startswith(site.neutron))
    who = f"Neutron at {site.neutron or url}" if neutron else f"Keystone at {site.auth_url}"
    error = KurierError(
        Code.CLOUD_AWAY,
        f"{who} does not answer since {since:%Y-%m-%d %H:%M:%S} UTC: check that it runs and that "
        "this host reaches it.",
    )
    error.__cause__ = cause
    return error


class _Named(msgspec.Struct):
    type: str = ""
    message: object = ""


class _Refusal(msgspec.Struct):
    NeutronError: _Named | str | None = None
    NotImplementedError: _Named | None = None
    type: str = ""
    message: object = ""


def read_refusal(status: int, body: bytes, request_id: str) -> NeutronRefusal:
    """Reads an error's body; a body that Neutron did not write leaves the type empty."""
    try:
        said = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return NeutronRefusal(status, "", _first_line(body), request_id)
    if said.NotImplementedError:
        kind, message = "NotImplementedError", said.NotImplementedError.message
        return NeutronRefusal(status, kind, str(message), request_id)
    if isinstance(said.NeutronError, str):
        return NeutronRefusal(status, "NeutronError", said.NeutronError, request_id)
    named = said.NeutronError
    if named is not None:
        return NeutronRefusal(status, named.type, str(named.message), request_id)
    return NeutronRefusal(status, said.type, str(said.message), request_id)


def _first_line(body: bytes) -> str:
    text = re.sub(r"<[^>]*>", " ", body[:2000].decode("utf-8", "replace"))
    return " ".join(text.split())[:200]
