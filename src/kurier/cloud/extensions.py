# SPDX-License-Identifier: Apache-2.0
"""What this cloud's Neutron offers, by the aliases of its API extensions."""

from __future__ import annotations

from kurier.cloud.calls import Call
from kurier.cloud.reading import one
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireExtension
from kurier.model.neutron import Capabilities

_FORWARDINGS = {"expose-port-forwarding-in-fip", "empty-string-filtering"}
"""What it takes to be told of port forwardings by a list of floating IPs without a port."""


class Extensions:
    """Reads the extensions once and remembers them. Safe in threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: Capabilities | None = None

    def capabilities(self) -> Capabilities:
        """The remembered capabilities, read first where there are none yet."""
        known = self._known
        if known is None:
            # Two threads may read at once, which costs one call more; a lock would make the second
            # wait for a cloud that does not answer twice as long as it should.
            known = self._known = self._read()
        return known

    def comparable(self, revision: int | None) -> int | None:
        """The revision to insist on, where the cloud compares revisions (revision-if-match)."""
        if revision is None or not self.capabilities().revision_if_match:
            return None
        return revision

    def _read(self) -> Capabilities:
        call = Call("GET", "/extensions", "list its extensions", params=(("fields", "alias"),))
        found = one(call, self._transport.send(call), "extensions", list[WireExtension])
        aliases = {extension.alias for extension in found}
        return Capabilities(
            dns="dns-integration" in aliases,
            qos="qos" in aliases,
            port_security="port-security" in aliases,
            revision_if_match="revision-if-match" in aliases,
            standard_attr_tag="standard-attr-tag" in aliases,
            floating_ips="router" in aliases,
            port_forwardings=aliases.issuperset(_FORWARDINGS),
        )
