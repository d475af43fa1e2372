# SPDX-License-Identifier: Apache-2.0
"""The flags by which a command is told its settings, made from the table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from kurier.config import Loaded, Settings, load
from kurier.config.option import Setting, table
from kurier.config.sources import DEFAULT_PATH, PATH_VARIABLE
from kurier.config.values import KINDS

Command = Callable[..., None]


def configured(*names: str) -> Callable[[Command], Command]:
    """Gives a command `--config` and a flag for each setting, and calls it with `loaded`.

    `names` are the dotted names of the settings that the command has a use for; without any it
    takes them all.
    """
    rows = [row for row in table(Settings) if not names or row.name in names]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def call(config_path: Path | None, **given: Any) -> None:
            flags = {row.name: given.pop(_destination(row)) for row in rows}
            told = {name: text for name, text in flags.items() if text is not None}
            command(loaded=load(config_path, os.environ, told), **given)

        flagged: Command = call
        for row in reversed(rows):
            flagged = _flag(row)(flagged)
        return _config_path(flagged)

    return decorate


def require(loaded: Loaded) -> Settings:
    """The settings; ends the command with all problems, a line each, where there are any."""
    if loaded.problems:
        for problem in loaded.problems:
            click.echo(f"kurier: {problem}", err=True)
        raise SystemExit(1)
    return loaded.settings


def _destination(row: Setting) -> str:
    return f"{row.section}_{row.key}"


def _flag(row: Setting) -> Callable[[Command], Command]:
    help_text = row.meaning.doc.split(". ")[0].removesuffix(".") + "."
    return click.option(
        row.flag,
        _destination(row),
        metavar="|".join(filter(None, row.meaning.choices)) or KINDS[row.kind].split()[-1].upper(),
        help=help_text.replace("`", ""),
    )


_config_path = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help=f"The configuration file; else {PATH_VARIABLE}, else {DEFAULT_PATH}.",
)
