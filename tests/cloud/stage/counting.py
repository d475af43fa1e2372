# SPDX-License-Identifier: Apache-2.0
"""Counts what Neutron is asked, from the local cloud's own request log."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LINE = re.compile(
    r"\] (?P<source>[0-9a-f.:]+) \(\) .*? (?P<method>GET|POST|PUT|DELETE) (?P<path>/\S+) "
    r"=> generated \d+ bytes in (?P<ms>\d+) msecs \(HTTP/1\.[01] (?P<status>\d+)\)"
)


@dataclass(frozen=True)
class Request:
    """One line of the log; `source` is the address of the host that asked."""

    source: str
    method: str
    path: str
    status: int
    milliseconds: int

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


@dataclass
class Requests:
    """What was asked while it was counted; complete when the block has ended."""

    all: list[Request] = field(default_factory=list)

    @property
    def writes(self) -> list[Request]:
        return [one for one in self.all if one.is_write]

    @property
    def reads(self) -> list[Request]:
        return [one for one in self.all if not one.is_write]

    def told(self) -> str:
        """The requests by method and path, ids left out, for people."""
        counted = Counter(f"{one.method} {_plain(one.path)}" for one in self.all)
        return "\n".join(f"{number:4d} {what}" for what, number in sorted(counted.items()))


class NeutronLog:
    """The request log of the local cloud's Neutron."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def end(self) -> int:
        """Where the log ends now."""
        return self._path.stat().st_size

    def since(self, start: int, source: str | None = None) -> list[Request]:
        """Requests that were answered after `start`, of one host if `source` is its address."""
        with self._path.open("rb") as log:
            log.seek(start)
            found = map(_LINE.search, log.read().decode(errors="replace").splitlines())
        requests = [
            Request(
                line["source"], line["method"], line["path"], int(line["status"]), int(line["ms"])
            )
            for line in found
            if line
        ]
        return [one for one in requests if source in (None, one.source)]

    @contextmanager
    def counted(self, source: str | None = None) -> Iterator[Requests]:
        """Counts within the block; ask Neutron nothing else meanwhile from the same host."""
        requests, start = Requests(), self.end
        yield requests
        requests.all += self.since(start, source)


class SwitchLog:
    """The file of a host's Open vSwitch database, which has each transaction that wrote to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def end(self) -> int:
        """Where the file ends now."""
        return self._path.stat().st_size

    def ports_written(self, start: int) -> list[dict[str, Any]]:
        """Transactions after `start` that touched a port, a bridge, or an interface's name or
        external_ids: what plugging does, and ovs-vswitchd's own notes on links do not.
        """
        with self._path.open("rb") as file:
            file.seek(start)
            lines = file.read().splitlines()
        bodies = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [body for body in bodies if _plugs(body)]


def _plugs(transaction: dict[str, Any]) -> bool:
    rows = [row for row in transaction.get("Interface", {}).values() if row]
    named = any({"name", "external_ids"} & row.keys() for row in rows)
    return named or "Port" in transaction or "Bridge" in transaction


def _plain(path: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", path.partition("?")[0])
