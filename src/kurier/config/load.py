# SPDX-License-Identifier: Apache-2.0
"""From the sources to the settings in force, with each value's origin and all problems."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kurier.config.agreement import disagreements
from kurier.config.option import Setting, table
from kurier.config.problems import ConfigError, Problem
from kurier.config.settings import Settings
from kurier.config.sources import (
    DEFAULT_PATH,
    PATH_VARIABLE,
    Given,
    Source,
    from_environment,
    from_file,
    from_flags,
)

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the sources make together."""

    settings: Settings
    """In force; where a value is wrong, the next source's, at last the default, stands here."""
    origins: Mapping[str, str]
    """By dotted name: `default`, `FILE:LINE`, `environment NAME` or `flag NAME`."""
    path: Path
    problems: tuple[Problem, ...]

    def require(self) -> Settings:
        """The settings; raises `ConfigError` where there is any problem."""
        if self.problems:
            raise ConfigError(self.problems)
        return self.settings


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> Loaded:
    """Read the file, the environment and the flags (by dotted name), the last one winning.

    Without `path` it is `KURIER_CONFIG`'s, else `/etc/kurier/kurier.toml`, which alone may be
    missing. Never raises for what is wrong in a source: see `Loaded.problems`.
    """
    environ = environ or {}
    rows = {row.name: row for row in table(Settings)}
    named = path or (Path(environ[PATH_VARIABLE]) if environ.get(PATH_VARIABLE) else None)
    file = named or DEFAULT_PATH
    sources = [
        from_file(file, rows) if named or file.exists() else Source(),
        from_environment(environ, rows),
        from_flags(flags or {}, rows),
    ]
    given: dict[str, Given] = {}
    for source in sources:
        given.update(source.values)
    settings = _build(given, rows)
    origins = {name: given[name].origin if name in given else DEFAULT for name in rows}
    problems = [problem for source in sources for problem in source.problems]
    problems += disagreements(settings, origins)
    return Loaded(settings, origins, file, tuple(problems))


def _build(given: Mapping[str, Given], rows: Mapping[str, Setting]) -> Settings:
    sections: dict[str, Any] = {}
    for section, kind in typing.get_type_hints(Settings).items():
        own = (row for row in rows.values() if row.section == section)
        sections[section] = kind(**{r.key: given[r.name].value for r in own if r.name in given})
    return Settings(**sections)
