# SPDX-License-Identifier: Apache-2.0
"""Tells tags of hosts that are at work from tags of hosts that died."""

from __future__ import annotations

from collections.abc import Set

from kurier.service.protocols import Clock

_DEAD = 5.0
"""Seconds after which a tag that stands is a dead host's, or one's to whom Neutron answers so
slowly that the others, who have some ten seconds in all, go on without it.
"""


class Standing:
    """For how long tags that tell of something under way have been seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def dead(self, there: Set[str]) -> set[str]:
        """Those of the tags that are there now which stand for too long."""
        now = self._clock.monotonic()
        self._since = {tag: self._since.get(tag, now) for tag in there}
        return {tag for tag, first in self._since.items() if now - first >= _DEAD}
