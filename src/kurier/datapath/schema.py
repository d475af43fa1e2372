# SPDX-License-Identifier: Apache-2.0
"""The part of Open vSwitch's database schema that Kurier reads and writes.

Written down rather than asked for: python-ovs fetches a schema without any time limit, and a
replica of all columns would be woken by every interface's counters every few seconds. The columns
are as ovs-vswitchd.conf.db(5) has had them since Open vSwitch 2.0.
"""

from __future__ import annotations

from typing import Any

DATABASE = "Open_vSwitch"

_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_MAP = {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}


def _optional(base: str) -> dict[str, Any]:
    return {"type": {"key": base, "min": 0, "max": 1}}


def _references(table: str, minimum: int) -> dict[str, Any]:
    key = {"type": "uuid", "refTable": table}
    return {"type": {"key": key, "min": minimum, "max": "unlimited"}}


def kurier_schema() -> dict[str, Any]:
    """A fresh copy, as python-ovs consumes what it is given."""
    return {
        "name": DATABASE,
        "version": "8.0.0",
        "tables": {
            "Open_vSwitch": {
                "columns": {
                    "bridges": _references("Bridge", 0),
                    "external_ids": _MAP,
                    "next_cfg": _INTEGER,
                    "cur_cfg": _INTEGER,
                },
                "isRoot": True,
                "maxRows": 1,
            },
            "Bridge": {
                "columns": {
                    "name": _STRING,
                    "ports": _references("Port", 0),
                    "datapath_type": _STRING,
                    "external_ids": _MAP,
                    "other_config": _MAP,
                },
                "indexes": [["name"]],
            },
            "Port": {
                "columns": {
                    "name": _STRING,
                    "interfaces": _references("Interface", 1),
                    "tag": _optional("integer"),
                },
                "indexes": [["name"]],
            },
            "Interface": {
                "columns": {
                    "name": _STRING,
                    "external_ids": _MAP,
                    "error": _optional("string"),
                },
                "indexes": [["name"]],
            },
        },
    }
