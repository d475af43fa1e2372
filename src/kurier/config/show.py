# SPDX-License-Identifier: Apache-2.0
"""The settings in force, for people and programs, with secrets masked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from kurier.config.load import Loaded
from kurier.config.option import Setting, Value, table
from kurier.config.settings import Settings
from kurier.config.values import as_toml

MASK = "********"
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]*)(?=@)")


@dataclass(frozen=True, slots=True)
class Shown:
    """One line: a name, its value as it may be shown, and where it came from."""

    section: str
    key: str
    value: Value
    origin: str


def masked(value: Value, *, secret: bool) -> Value:
    """The value, or a mask of fixed length; passwords inside URLs are masked in any case."""
    if secret and value:
        return MASK
    if isinstance(value, str):
        return _URL_PASSWORD.sub(rf"\1:{MASK}", value)
    if isinstance(value, tuple):
        return tuple(str(masked(item, secret=False)) for item in value)
    return value


def shown(loaded: Loaded) -> list[Shown]:
    """All settings in force, in the order of the table."""
    return [_shown(row, loaded) for row in table(Settings)]


def as_text(lines: list[Shown]) -> str:
    """Sections as TOML has them, each value with its origin behind a `#`."""
    width = max(len(f"{line.key} = {as_toml(line.value)}") for line in lines)
    parts: list[str] = []
    section = ""
    for line in lines:
        if line.section != section:
            parts += ["", f"[{line.section}]"] if parts else [f"[{line.section}]"]
            section = line.section
        stated = f"{line.key} = {as_toml(line.value)}"
        if line.value is None:
            stated = f"# {line.key} is unset"
        parts.append(f"{stated:<{min(width, 60)}}  # {line.origin}")
    return "\n".join(parts)


def as_json(lines: list[Shown]) -> dict[str, dict[str, dict[str, Any]]]:
    """`{section: {key: {"value": …, "origin": …}}}`."""
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        entry = {"value": line.value, "origin": line.origin}
        result.setdefault(line.section, {})[line.key] = entry
    return result


def _shown(row: Setting, loaded: Loaded) -> Shown:
    value = getattr(getattr(loaded.settings, row.section), row.key)
    return Shown(
        row.section,
        row.key,
        masked(value, secret=row.meaning.secret),
        loaded.origins[row.name],
    )
