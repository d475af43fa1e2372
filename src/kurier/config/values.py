# SPDX-License-Identifier: Apache-2.0
"""From what a source gives, text or a TOML value, to a setting's value, and back to text."""

from __future__ import annotations

import json
import math
from typing import Any

from kurier.config.option import Setting, Value

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_LIST = tuple[str, ...]
_MAYBE_BOOL = bool | None
KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    _MAYBE_BOOL: "true or false",
    _LIST: "a list of texts",
}
"""The types that settings have, in words."""


class WrongValue(ValueError):
    """A value that a setting cannot have; its text is the end of a sentence."""


def from_text(setting: Setting, text: str) -> Value:
    """An environment variable's or flag's value; lists are separated by commas.

    Raises `WrongValue`.
    """
    kind, stripped = setting.kind, text.strip()
    if kind is str:
        return checked(setting, stripped)
    if kind == _LIST:
        items = (item.strip() for item in stripped.split(","))
        return checked(setting, tuple(item for item in items if item))
    if kind == _MAYBE_BOOL and not stripped:
        return None
    if kind in (bool, _MAYBE_BOOL):
        return checked(setting, _bool(setting, stripped))
    try:
        return checked(setting, kind(stripped))
    except (ValueError, OverflowError) as error:
        if isinstance(error, WrongValue):
            raise
        raise WrongValue(f"must be {KINDS[kind]}, not {_quoted(setting, text)}") from error


def from_toml(setting: Setting, value: object) -> Value:
    """A value as TOML has it. Raises `WrongValue`."""
    kind = setting.kind
    if kind == _LIST and isinstance(value, list) and all(isinstance(i, str) for i in value):
        return checked(setting, tuple(value))
    if kind in (bool, _MAYBE_BOOL) and isinstance(value, bool):
        return value
    if kind in (int, float, str) and not isinstance(value, bool):
        if kind is float and isinstance(value, int):
            return checked(setting, float(value))
        if isinstance(value, kind):
            return checked(setting, value)
    raise WrongValue(f"must be {KINDS[kind]}, not {_quoted(setting, value)}")


def checked(setting: Setting, value: Any) -> Value:
    """The value, if the setting's own choices and rule allow it. Raises `WrongValue`."""
    meaning = setting.meaning
    if isinstance(value, float) and not math.isfinite(value):
        raise WrongValue("must be a finite number")
    if meaning.choices and value not in meaning.choices:
        words = ", ".join(choice or '""' for choice in meaning.choices)
        raise WrongValue(f"must be one of {words}, not {_quoted(setting, value)}")
    if meaning.rule and (wrong := meaning.rule(value)):
        raise WrongValue(f"{wrong}, not {_quoted(setting, value)}")
    return value  # type: ignore[no-any-return]


def as_toml(value: Value) -> str:
    """A value as it would stand in the file; an unset one as a comment would name it."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bool(setting: Setting, text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    raise WrongValue(f"must be true or false, not {_quoted(setting, text)}")


def _quoted(setting: Setting, value: object) -> str:
    return "the value given" if setting.meaning.secret else repr(value)
