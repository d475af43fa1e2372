# SPDX-License-Identifier: Apache-2.0
"""Security groups and QoS policies."""

from __future__ import annotations

from collections.abc import Sequence

from kurier.cloud.calls import Call
from kurier.cloud.extensions import Extensions
from kurier.cloud.networks import filters
from kurier.cloud.reading import one, value, whole_list
from kurier.cloud.tagging import Tagging, delete
from kurier.cloud.transport import Transport
from kurier.cloud.undo import undone
from kurier.cloud.wire import WireQosPolicy, WireSecurityGroup
from kurier.model.errors import Code, KurierError
from kurier.model.ids import QosPolicyId, SecurityGroupId
from kurier.model.neutron import Kind, Rule, SecurityGroup


class SecurityGroups:
    """Neutron's security groups. Blocking."""

    def __init__(self, transport: Transport, tagging: Tagging) -> None:
        self._transport = transport
        self._tagging = tagging

    def get(self, group_id: SecurityGroupId) -> SecurityGroup:
        """One group; NOT_FOUND."""
        facts = {"noun": "security group", "id": group_id}
        call = Call("GET", f"/security-groups/{group_id}", f"show security group {group_id}", facts)
        return value(call, self._transport.send(call), "security_group", WireSecurityGroup)

    def find(self, name: str | None, tags: Sequence[str]) -> list[SecurityGroup]:
        """All groups with this name and all of these tags."""
        params = filters(name=name, tags=tags)
        call = Call("GET", "/security-groups", "list security groups", params=params)
        return whole_list(self._transport, call, "security_groups", WireSecurityGroup)

    def create(
        self, name: str, description: str, rules: Sequence[Rule], tags: Sequence[str]
    ) -> SecurityGroup:
        """A group with these ingress rules alone, or none at all.

        Neutron gives each new group rules that let all traffic out; they go, so that the group
        opens nothing that was not asked for.
        """
        call = Call(
            "POST",
            "/security-groups",
            f"create security group {name}",
            body={"security_group": {"name": name, "description": description}},
        )
        made = one(call, self._transport.send(call), "security_group", WireSecurityGroup)
        group_id = SecurityGroupId(made.id)
        with undone(lambda: self.delete(group_id)):
            for rule_id in made.egress():
                self._drop_rule(rule_id, name)
            if rules:
                self._add_rules(group_id, name, rules)
            # Last: whoever finds the group by its tags finds it whole.
            if tags:
                self._tagging.replace(Kind.SECURITY_GROUP, group_id, tags)
        return SecurityGroup(group_id, name, description, frozenset(tags), tuple(rules))

    def delete(self, group_id: SecurityGroupId) -> None:
        """Deletes it; IN_USE."""
        path, facts = f"/security-groups/{group_id}", {"noun": "security group", "id": group_id}
        delete(self._transport, Call("DELETE", path, f"delete security group {group_id}", facts))

    def _drop_rule(self, rule_id: str, group: str) -> None:
        path = f"/security-group-rules/{rule_id}"
        delete(self._transport, Call("DELETE", path, f"drop an egress rule of group {group}"))

    def _add_rules(self, group_id: SecurityGroupId, name: str, rules: Sequence[Rule]) -> None:
        self._transport.send(
            Call(
                "POST",
                "/security-group-rules",
                f"add {len(rules)} rules to security group {name}",
                facts={"id": group_id},
                body={"security_group_rules": [rule_body(group_id, rule) for rule in rules]},
            )
        )


class QosPolicies:
    """Neutron's QoS policies, as far as ports name them. Blocking."""

    def __init__(self, transport: Transport, extensions: Extensions) -> None:
        self._transport = transport
        self._extensions = extensions

    def get(self, policy_id: QosPolicyId) -> QosPolicyId:
        """The id, if it is there; NOT_FOUND, UNSUPPORTED."""
        self._require()
        facts = {"noun": "QoS policy", "id": policy_id}
        call = Call("GET", f"/qos/policies/{policy_id}", f"show QoS policy {policy_id}", facts)
        return value(call, self._transport.send(call), "policy", WireQosPolicy)

    def find(self, name: str) -> list[QosPolicyId]:
        """The ids of all policies of a name; UNSUPPORTED."""
        self._require()
        params = filters(name=name)
        call = Call("GET", "/qos/policies", "list QoS policies", params=params)
        return whole_list(self._transport, call, "policies", WireQosPolicy)

    def _require(self) -> None:
        if not self._extensions.capabilities().qos:
            raise KurierError(
                Code.UNSUPPORTED,
                "This cloud's Neutron has no QoS policies (extension qos): leave the option "
                "kurier.qos_policy out.",
            )


def rule_body(group_id: SecurityGroupId, rule: Rule) -> dict[str, object]:
    """The JSON of an ingress rule to create."""
    body: dict[str, object] = {
        "security_group_id": group_id,
        "direction": "ingress",
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
    }
    if rule.port_min is not None:
        body["port_range_min"] = rule.port_min
    if rule.port_max is not None:
        body["port_range_max"] = rule.port_max
    return body
