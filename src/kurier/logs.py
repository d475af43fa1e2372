# SPDX-License-Identifier: Apache-2.0
"""The daemon's log on standard error: lines for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_CHATTY = (
    *("aiohttp", "asyncio", "keystoneauth", "openstack", "ovsdbapp", "ovs", "pyroute2"),
    *("requests", "stevedore", "urllib3"),
)
"""Libraries that at lower levels tell of each request's content; nothing of ours is lost."""


class JsonLines(logging.Formatter):
    """Each record as one object; what was given as `extra` stands in it by its own name."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if record.exc_info and record.exc_info[1]:
            facts["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(facts, enc_hook=str).decode()


def set_up(level: str, form: str) -> None:
    """Sends the whole process's log to standard error; `form` is `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
