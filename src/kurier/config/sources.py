# SPDX-License-Identifier: Apache-2.0
"""Where values come from: the file with its lines, the environment, the flags."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from kurier.config.option import Setting, Value
from kurier.config.problems import Problem
from kurier.config.values import WrongValue, from_text, from_toml

_Raw = TypeVar("_Raw")
Rows = Mapping[str, Setting]
"""The table of settings by their dotted names."""

DEFAULT_PATH = Path("/etc/kurier/kurier.toml")
PATH_VARIABLE = "KURIER_CONFIG"
_FOREIGN = frozenset({"KURIER_CLOUD_STATE"})
"""Variables of other commands of this project that look like a setting's."""
_SECTION_LINE = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]")
_KEY_LINE = re.compile(r"\s*([A-Za-z0-9_-]+)\s*(?:\.\s*([A-Za-z0-9_-]+)\s*)?=")


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a source gives, and where: `FILE:LINE`, `environment NAME` or `flag NAME`."""

    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class Source:
    """What one source gives, by the settings' dotted names, and what is wrong with it."""

    values: dict[str, Given] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def take(
        self, row: Setting, origin: str, parse: Callable[[Setting, _Raw], Value], raw: _Raw
    ) -> None:
        """Notes the value that `parse` makes of `raw`, or the problem with it."""
        try:
            self.values[row.name] = Given(parse(row, raw), origin)
        except WrongValue as wrong:
            self.complain(f"{row.name} ({origin})", f"The value {wrong}.")

    def complain(self, where: str, sentence: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(where, sentence))


def from_file(path: Path, rows: Rows) -> Source:
    """The TOML file; unreadable or damaged, it gives nothing but the problem."""
    source = Source()
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        source.complain(str(path), f"The file is not valid TOML: {error}.")
    except UnicodeDecodeError:
        source.complain(str(path), "The file is not UTF-8 text.")
    except OSError as error:
        source.complain(str(path), f"The file cannot be read: {error.strerror or error}.")
    else:
        _from_document(source, document, _Places(path, text), rows)
    return source


def from_environment(environ: Mapping[str, str], rows: Rows) -> Source:
    """Every `KURIER_SECTION_KEY`; a variable of a section without such a key is a problem."""
    by_variable = {row.variable: row for row in rows.values()}
    prefixes = tuple(f"KURIER_{section.upper()}_" for section in _sections(rows))
    source = Source()
    for variable, text in sorted(environ.items()):
        origin = f"environment {variable}"
        if row := by_variable.get(variable):
            source.take(row, origin, from_text, text)
        elif variable.startswith(prefixes) and variable not in _FOREIGN:
            source.complain(origin, f"There is no such setting{nearest(variable, by_variable)}.")
    return source


def from_flags(flags: Mapping[str, str], rows: Rows) -> Source:
    """Flags by the settings' dotted names, as the command line was given them."""
    source = Source()
    for name, text in flags.items():
        source.take(rows[name], f"flag {rows[name].flag}", from_text, text)
    return source


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that suggests the known word nearest to an unknown one."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {match[0]}?)" if match else ""


class _Places:
    """In which line of the file each section and key stands; tomllib does not tell."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines: dict[str, int] = {}
        section = ""
        for number, line in enumerate(text.splitlines(), 1):
            if found := _SECTION_LINE.match(line):
                section = found[1]
                self._lines.setdefault(section, number)
            elif found := _KEY_LINE.match(line):
                words = [word for word in (section, found[1], found[2]) if word]
                self._lines.setdefault(".".join(words), number)

    def of(self, name: str) -> str:
        """`FILE:LINE` of a dotted name, of its section, or the file alone."""
        line = self._lines.get(name) or self._lines.get(name.partition(".")[0])
        return f"{self._path}:{line}" if line else str(self._path)


def _from_document(
    source: Source, document: Mapping[str, object], places: _Places, rows: Rows
) -> None:
    sections = _sections(rows)
    for section, content in document.items():
        where = places.of(section)
        if section not in sections:
            hint = nearest(section, sections)
            source.complain(where, f"There is no section [{section}]{hint}.")
        elif not isinstance(content, dict):
            source.complain(where, f"{section} is a section: write [{section}], then its settings.")
        else:
            _from_section(source, section, content, places, rows)


def _from_section(
    source: Source, section: str, content: Mapping[str, object], places: _Places, rows: Rows
) -> None:
    keys = [row.key for row in rows.values() if row.section == section]
    for key, value in content.items():
        name = f"{section}.{key}"
        if row := rows.get(name):
            source.take(row, places.of(name), from_toml, value)
        else:
            source.complain(
                places.of(name), f"There is no setting {key} in [{section}]{nearest(key, keys)}."
            )


def _sections(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row.section for row in rows.values()))
