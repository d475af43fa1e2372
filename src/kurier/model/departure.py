# SPDX-License-Identifier: Apache-2.0
"""What a host that leaves a Neutron network does next, decided from the network's tags alone.

Each step is followed by another look, since others come and go meanwhile: two that leave at once
both step back, and the next look shows both that nobody is left. What a network's end depends on is
written with the revision that was looked at (`If-Match`).
"""

from __future__ import annotations

from enum import Enum

from kurier.model import tags


class Step(Enum):
    """One step of leaving."""

    STEP_BACK = "step-back"
    """The network is shared by hosts of this environment: first of all this host's own tag goes,
    so that whoever looks now sees only those who stay."""
    MEND = "mend"
    """Such others came while the shared tags were being taken off: these go on again."""
    DELETE = "delete"
    """Kurier made the network and nobody else's tags are on it."""
    TAKE_OFF = "take-off"
    """The network stays: this mapping's tags go."""
    DONE = "done"


def next_step(
    found: frozenset[str], mine: frozenset[str], mapping: tags.Mapping, *, made: bool
) -> Step:
    """The next step; `found` are the network's tags, `mine` those that this mapping put there."""
    rest = found - mine
    if tags.attendants(found & mine, mapping):
        return Step.STEP_BACK
    if tags.attendants(rest, mapping):
        return Step.DONE if tags.mapping_tag(mapping) in found else Step.MEND
    if (made or tags.MADE in found) and not tags.in_use(rest):
        return Step.DELETE
    return Step.TAKE_OFF if found & mine else Step.DONE
