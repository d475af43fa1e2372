# SPDX-License-Identifier: Apache-2.0
"""How a setting is declared, and the table that the declarations make.

A setting is a field of a frozen dataclass: its type says how text becomes a value, its metadata
what it means and which values are allowed. Loading, checking, showing and documenting all read
this one table, so none of them can forget a setting.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, TypeVar

_T = TypeVar("_T")
Value = str | int | float | bool | tuple[str, ...] | None
Rule = Callable[[Any], str | None]
"""Given a value of the setting's type, what is wrong with it as the end of a sentence, or None."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """A setting's metadata."""

    doc: str
    unit: str = ""
    secret: bool = False
    choices: tuple[str, ...] = ()
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    section: str
    key: str
    kind: Any
    """The value's type: str, int, float, bool, `bool | None` or `tuple[str, ...]`."""
    default: Value
    meaning: Meaning

    @property
    def name(self) -> str:
        """The dotted name, as people say it: `daemon.state_dir`."""
        return f"{self.section}.{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable over the file: `KURIER_DAEMON_STATE_DIR`."""
        return f"KURIER_{self.section}_{self.key}".upper()

    @property
    def flag(self) -> str:
        """The command line's flag over both: `--daemon-state-dir`."""
        return f"--{self.section}-{self.key}".replace("_", "-")


def option(
    default: _T,
    doc: str,
    *,
    unit: str = "",
    secret: bool = False,
    choices: tuple[str, ...] = (),
    rule: Rule | None = None,
) -> _T:
    """A dataclass field that is a setting. `unit` is for people; `rule` checks a value alone."""
    meaning = Meaning(doc, unit, secret, choices, rule)
    return field(default=default, metadata={"meaning": meaning})


@cache
def table(settings: type) -> tuple[Setting, ...]:
    """All settings of a dataclass whose fields are sections, in the order of declaration."""
    sections = typing.get_type_hints(settings)
    rows: list[Setting] = []
    for section, kind in sections.items():
        types = typing.get_type_hints(kind)
        for item in fields(kind):
            default: Any = item.default
            meaning: Meaning = item.metadata["meaning"]
            rows.append(Setting(section, item.name, types[item.name], default, meaning))
    return tuple(rows)
