# SPDX-License-Identifier: Apache-2.0
"""Each refusal of Neutron becomes one code and one sentence with the value in it.

The bodies are Neutron's own, as its API writes them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kurier.cloud.calls import Call
from kurier.cloud.errors import NeutronRefusal, Site, away, read_refusal, refused
from kurier.model.errors import Code, KurierError

NET = "1aa03d6a-fc62-43e3-b688-7186fa0d339d"
SUB = "6befd78c-7d83-40d8-aaf8-b5c116e0a1d1"
PORT = "f8ab32d2-5571-48cb-8814-b9662d751940"
GROUP = "eaa5eb4f-bc28-489d-83ac-a2fb726a89e8"
POOL = "0b7adf2b-9c3c-4b8e-9d5d-1f7f2d7e6a11"
SITE = Site("http://10.9.9.9:9696/v2.0", "http://10.9.9.9:5000/v3", "user alice")
CREATE = Call(
    "POST", "/ports", "create port p", facts={"network": NET, "subnet": SUB, "pool": POOL}
)

REFUSALS = [
    (409, "IpAddressAlreadyAllocated", f"IP address 10.77.0.5 already allocated in subnet {SUB}",
     Code.ADDRESS_IN_USE, ["10.77.0.5", NET]),
    (409, "IpAddressInUse",
     f"Unable to complete operation for network {NET}. The IP address fd00::5 is in use.",
     Code.ADDRESS_IN_USE, ["Address fd00::5 ", NET]),
    (409, "MacAddressInUse",
     f"Unable to complete operation for network {NET}. "
     "The mac address fa:16:3e:91:4e:f3 is in use.",
     Code.ADDRESS_IN_USE, ["fa:16:3e:91:4e:f3"]),
    (400, "InvalidIpForNetwork",
     "IP address 10.1.2.3 is not a valid IP for any of the subnets on the specified network.",
     Code.ADDRESS_INVALID, ["10.1.2.3", NET]),
    (400, "InvalidIpForSubnet",
     "IP address 10.1.2.3 is not a valid IP for the specified subnet.",
     Code.ADDRESS_INVALID, ["10.1.2.3", SUB]),
    (400, "AllocationOnAutoAddressSubnet",
     f"IPv6 address fd00::9 cannot be directly assigned to a port on subnet {SUB} as the subnet is "
     "configured for automatic addresses", Code.ADDRESS_INVALID, ["fd00::9", SUB]),
    (409, "IpAddressGenerationFailure",
     f"No more IP addresses available on network {NET}.", Code.EXHAUSTED, [f"subnet {SUB}"]),
    (409, "IpAddressGenerationFailureAllSubnets", "No more IP addresses available.",
     Code.EXHAUSTED, [f"subnet {SUB}", "no free address"]),
    (409, "OverQuota", "Quota exceeded for resources: ['port'].",
     Code.QUOTA, ["quota for port is", "openstack quota show"]),
    (409, "SubnetPoolQuotaExceeded", "Per-project subnet pool prefix quota exceeded.",
     Code.EXHAUSTED, ["Per-project subnet pool prefix quota exceeded"]),
    (500, "SubnetAllocationError",
     "Failed to allocate subnet: Insufficient prefix space to allocate subnet size /24.",
     Code.EXHAUSTED, ["Insufficient prefix space"]),
    (503, "NoNetworkAvailable",
     "Unable to create the network. No project network is available for allocation.",
     Code.EXHAUSTED, ["tunnel ids"]),
    (409, "NetworkInUse",
     f"Unable to complete operation on network {NET}. There are one or more ports still in use on "
     f"the network, id for these ports is: {PORT}.", Code.IN_USE, [NET, "openstack port list"]),
    (409, "SubnetInUse",
     f"Unable to complete operation on subnet {SUB}: One or more ports have an IP allocation from "
     "this subnet.", Code.IN_USE, [SUB]),
    (409, "SecurityGroupInUse", f"Security Group {GROUP} in use.", Code.IN_USE, [GROUP]),
    (400, "SubnetPoolDeleteError",
     "Unable to delete subnet pool: Subnet pool has existing allocations.", Code.IN_USE, ["pool"]),
    (412, "RevisionNumberConstraintFailed", "Constrained to 1, but current revision is 2",
     Code.CHANGED, ["try again"]),
    (412, "HTTPPreconditionFailed", "anything", Code.CHANGED, ["try again"]),
    (400, "InvalidInput",
     f"Invalid input for operation: Requested subnet with cidr: 10.77.0.0/29 for network: {NET} "
     "overlaps with another subnet.", Code.CONFLICT, ["10.77.0.0/29", NET]),
    (400, "InvalidInput",
     f"Invalid input for operation: Failed to create port on network {NET}, because fixed_ips "
     f"included invalid subnet {SUB}.", Code.BAD_REQUEST, [SUB, NET, "does not belong"]),
    (400, "InvalidInput", "Invalid input for operation: IP allocation requires subnets for network",
     Code.BAD_REQUEST, [NET, "no subnet"]),
    (400, "HTTPBadRequest", "Unrecognized attribute(s) 'qos_policy_id'",
     Code.UNSUPPORTED, ["qos_policy_id"]),
    (400, "HTTPBadRequest", "Invalid input for cidr. Reason: '10.0.0.1/24' isn't a recognized IP.",
     Code.BAD_REQUEST, ["create port p", "10.0.0.1/24"]),
    (409, "GatewayConflictWithAllocationPools",
     "Gateway ip 10.0.0.1 conflicts with allocation pool 10.0.0.1-10.0.0.9.",
     Code.CONFLICT, ["10.0.0.1-10.0.0.9", "--gateway"]),
    (404, "NetworkNotFound", f"Network {NET} could not be found.",
     Code.NOT_FOUND, [f"no network {NET}"]),
    (404, "SecurityGroupNotFound", f"Security group {GROUP} does not exist",
     Code.NOT_FOUND, [f"no security group {GROUP}"]),
    (404, "QosPolicyNotFound", f"QoS policy {GROUP} could not be found.",
     Code.NOT_FOUND, [f"no QoS policy {GROUP}"]),
    (409, "SomethingNew", "It cannot be.", Code.CONFLICT, ["It cannot be."]),
    (500, "HTTPInternalServerError", "Request Failed: internal server error while processing.",
     Code.CLOUD_ERROR, ["create port p", "HTTP 500"]),
    (503, "ServiceUnavailable", "The service is unavailable.", Code.CLOUD_AWAY, [SITE.neutron]),
    (401, "", "", Code.CREDENTIALS, ["user alice", SITE.auth_url]),
]  # fmt: skip


def error_for(status: int, kind: str, message: str, call: Call = CREATE) -> KurierError:
    body = {"NeutronError": {"type": kind, "message": message, "detail": ""}}
    return refused(call, read_refusal(status, json.dumps(body).encode(), "req-1"), SITE)


@pytest.mark.parametrize(("status", "kind", "message", "code", "told"), REFUSALS)
def test_a_refusal_is_told_in_one_sentence(
    status: int, kind: str, message: str, code: Code, told: list[str]
) -> None:
    error = error_for(status, kind, message)
    assert error.code is code
    assert [piece for piece in told if piece not in error.sentence] == []
    assert error.sentence.endswith(".")
    assert "unknown" not in error.sentence
    assert "req-1" not in error.sentence


def test_the_request_id_is_in_the_cause() -> None:
    cause = error_for(409, "SomethingNew", "no").__cause__
    assert isinstance(cause, NeutronRefusal)
    assert (cause.request_id, cause.status, cause.kind) == ("req-1", 409, "SomethingNew")
    assert "req-1" in str(cause)


def test_the_binding_policy_is_named_alone() -> None:
    error = error_for(
        403,
        "PolicyNotAuthorized",
        "((((rule:create_port and (rule:create_port:fixed_ips and "
        "(rule:create_port:fixed_ips:subnet_id))) and rule:create_port:device_id) and "
        "rule:create_port:device_owner) and rule:create_port:binding:host_id) is disallowed by "
        "policy",
    )
    assert error.code is Code.POLICY
    assert '"create_port:binding:host_id": "role:member"' in error.sentence
    assert "fixed_ips" not in error.sentence
    assert "user alice" in error.sentence


def test_without_a_binding_every_rule_that_was_checked_is_named() -> None:
    error = error_for(
        403,
        "PolicyNotAuthorized",
        "((rule:create_port and rule:create_port:mac_address) and "
        "rule:create_port:port_security_enabled) is disallowed by policy",
    )
    assert "create_port:mac_address, create_port:port_security_enabled" in error.sentence


def test_a_policy_of_a_whole_action_is_named() -> None:
    error = error_for(403, "PolicyNotAuthorized", "rule:delete_port is disallowed by policy")
    assert "policy rule delete_port does not let" in error.sentence


def test_a_404_that_neutron_did_not_write_is_not_an_absence() -> None:
    refusal = read_refusal(404, b"<html><h1>404</h1>nginx</html>", "")
    assert refused(CREATE, refusal, SITE).code is Code.CLOUD_ERROR


def test_a_404_of_the_policy_hook_is_an_absence() -> None:
    body = b'{"type": "HTTPNotFound", "message": "The resource could not be found.", "detail": ""}'
    call = Call("GET", f"/ports/{PORT}", "show", facts={"noun": "port", "id": PORT})
    error = refused(call, read_refusal(404, body, "req-1"), SITE)
    assert error.code is Code.NOT_FOUND
    assert f"no port {PORT}" in error.sentence


def test_what_a_cloud_cannot_do_is_unsupported() -> None:
    body = (
        b'{"NotImplementedError": {"type": "NotImplementedError", "message": "no", "detail": ""}}'
    )
    assert refused(CREATE, read_refusal(501, body, ""), SITE).code is Code.UNSUPPORTED


@pytest.mark.parametrize(
    ("url", "who"),
    [
        (SITE.neutron + "/ports", f"Neutron at {SITE.neutron}"),
        ("http://10.9.9.9:5000/v3/auth/tokens", f"Keystone at {SITE.auth_url}"),
    ],
)
def test_who_does_not_answer_and_since_when(url: str, who: str) -> None:
    since = datetime(2026, 5, 1, 12, 0, 3, tzinfo=UTC)
    error = away(url, SITE, since, OSError("refused"))
    assert error.code is Code.CLOUD_AWAY
    assert error.sentence.startswith(f"{who} does not answer since 2026-05-01 12:00:03 UTC")
