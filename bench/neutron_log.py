# SPDX-License-Identifier: Apache-2.0
"""Counts the calls that the real Neutron served, from its own request log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_REQUEST = re.compile(
    r"\] ([0-9a-f.:]+) \(\) .* (GET|POST|PUT|DELETE) /v2\.0/\S* => .* \(HTTP/1\.\d \d{3}\)"
)


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one stretch of time."""

    reads: int
    writes: int

    def __sub__(self, part: Calls) -> Calls:
        """Those that are not in a part of the stretch."""
        return Calls(self.reads - part.reads, self.writes - part.writes)


class NeutronLog:
    """The request log of a Neutron served by uWSGI.

    With `source`, a host's address, what other hosts asked is left out.
    """

    def __init__(self, path: Path, source: str = "") -> None:
        self._path = path
        self._source = source

    def mark(self) -> int:
        """A place in the log, in bytes, to count from."""
        return self._path.stat().st_size

    def since(self, mark: int) -> Calls:
        """The calls served since a mark."""
        with self._path.open("rb") as log:
            log.seek(mark)
            text = log.read().decode(errors="replace")
        methods = [
            found[2]
            for found in _REQUEST.finditer(text)
            if not self._source or found[1] == self._source
        ]
        reads = methods.count("GET")
        return Calls(reads, len(methods) - reads)
