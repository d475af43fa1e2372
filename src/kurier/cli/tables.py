# SPDX-License-Identifier: Apache-2.0
"""What the daemon says, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def rows_of(payload: Any, name: str) -> list[Mapping[str, Any]]:
    """The rows of a list, given bare or below its name; anything else is no row."""
    rows = payload.get(name) if isinstance(payload, Mapping) else payload
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def as_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows under headings: the known columns that any row has first, then what else there is."""
    known = [name for name in columns if any(name in row for row in rows)]
    extra = dict.fromkeys(name for row in rows for name in row if name not in columns)
    names = [*known, *extra]
    cells = [[name.replace("_", " ").upper() for name in names]]
    cells += [[cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def as_outline(value: Mapping[str, Any]) -> str:
    """A mapping as `name: value` lines, what is inside it indented."""
    return "\n".join(_outline(value, ""))


def cell(value: Any) -> str:
    """A value in a table; what is not there is a dash."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={cell(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(cell(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _outline(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, inner in value.items():
        label = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(inner, Mapping) and inner:
            yield label
            yield from _outline(inner, indent + "  ")
        elif isinstance(inner, list) and inner and all(isinstance(i, Mapping) for i in inner):
            yield label
            yield from (f"{indent}  - {cell(item)}" for item in inner)
        else:
            yield f"{label} {cell(inner)}"
