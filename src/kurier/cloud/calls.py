# SPDX-License-Identifier: Apache-2.0
"""What was asked, how often, and how the cloud has been of late."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Neutron.

    `path` begins behind `/v2.0`. `doing` completes "Neutron refused to …". `facts` are values
    that an error's sentence may name (`network`, `subnet`, `address`, `mac`, `id`, …) where
    Neutron's own message does not.
    """

    method: str
    path: str
    doing: str
    facts: Mapping[str, str] = field(default_factory=dict)
    params: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, object] | None = None
    if_revision: int | None = None
    patience: float = 1.0
    """How many times the usual limit it may take, where much is asked for at once."""

    @property
    def resource(self) -> str:
        """The collection, without ids: ``ports`` or ``ports/tags``; a metric's label."""
        parts = self.path.strip("/").split("/")
        if len(parts) > 2 and parts[2] == "tags":
            return f"{parts[0]}/tags"
        return "/".join(part for part in parts if not _UUID.fullmatch(part))

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method in {"GET", "DELETE"}


class CallCounter:
    """Calls and their seconds by method and resource. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: dict[tuple[str, str], int] = {}
        self._seconds: dict[tuple[str, str], float] = {}
        self._errors: dict[str, int] = {}

    def count(self, call: Call, seconds: float) -> None:
        """Adds one HTTP request, answered or not."""
        key = (call.method, call.resource)
        with self._lock:
            self._calls[key] = self._calls.get(key, 0) + 1
            self._seconds[key] = self._seconds.get(key, 0.0) + seconds

    def count_error(self, code: str) -> None:
        """Adds one call that ended in an error."""
        with self._lock:
            self._errors[code] = self._errors.get(code, 0) + 1

    @property
    def calls(self) -> Mapping[tuple[str, str], int]:
        """HTTP requests by (method, resource), as of now."""
        with self._lock:
            return dict(self._calls)

    @property
    def seconds(self) -> Mapping[tuple[str, str], float]:
        """Seconds spent in them."""
        with self._lock:
            return dict(self._seconds)

    @property
    def errors(self) -> Mapping[str, int]:
        """Failed calls by error code."""
        with self._lock:
            return dict(self._errors)


@dataclass(frozen=True, slots=True)
class Health:
    """How the cloud has been. Times are aware UTC; None means never, or not away."""

    url: str = ""
    last_ok: datetime | None = None
    last_error: str = ""
    last_error_at: datetime | None = None
    away_since: datetime | None = None


_FRESH = timedelta(seconds=15)


class HealthRecord:
    """Keeps :class:`Health`. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Health()
        self._back: datetime | None = None

    @property
    def health(self) -> Health:
        return self._now

    def at(self, url: str) -> None:
        """Notes where Neutron is."""
        with self._lock:
            self._now = replace(self._now, url=url)

    def answered(self, now: datetime) -> None:
        """Neutron gave an answer, if only a refusal."""
        with self._lock:
            if self._now.away_since is not None or self._now.last_ok is None:
                self._back = now
            self._now = replace(self._now, last_ok=now, away_since=None)

    def just_back(self, now: datetime) -> bool:
        """Whether the first answer, of all or after an absence, is only seconds old."""
        return self._back is not None and now - self._back < _FRESH

    def away(self, now: datetime) -> datetime:
        """No answer; returns since when there is none."""
        with self._lock:
            since = self._now.away_since or now
            self._now = replace(self._now, away_since=since)
            return since

    def failed(self, sentence: str, now: datetime) -> None:
        """A call ended in an error."""
        with self._lock:
            self._now = replace(self._now, last_error=sentence, last_error_at=now)
