# SPDX-License-Identifier: Apache-2.0
"""`kurier config show | check | docs`."""

from __future__ import annotations

import json
import os

import click

from kurier.cli.sources import configured
from kurier.config import Loaded, Problem
from kurier.config.machine import machine_problems
from kurier.config.reference import as_markdown
from kurier.config.show import Shown, as_json, as_text, masked, shown
from kurier.model.errors import KurierError


@click.group("config")
def config_group() -> None:
    """What is configured, whether it is right, and what could be."""


@config_group.command()
@configured()
@click.option("--json", "wants_json", is_flag=True, help="As JSON, for programs.")
def show(loaded: Loaded, wants_json: bool) -> None:
    """Print what is in force and where each value came from, secrets masked."""
    lines = shown(loaded)
    lines += _credential_lines(loaded)
    if wants_json:
        click.echo(json.dumps(as_json(lines), indent=2))
    else:
        click.echo(as_text(lines))
    for problem in loaded.problems:
        click.echo(f"kurier: {problem}", err=True)


@config_group.command()
@configured()
def check(loaded: Loaded) -> None:
    """Say in words what is wrong, all of it; exit with 1 if anything is."""
    problems = all_problems(loaded)
    for problem in problems:
        click.echo(str(problem))
    if problems:
        raise SystemExit(1)
    source = f"{loaded.path} is" if loaded.path.exists() else "The defaults are"
    click.echo(f"{source} fit for use, and so are the cloud's credentials.")


@config_group.command()
def docs() -> None:
    """Print the reference of all settings, as Markdown."""
    click.echo(as_markdown(), nl=False)


def all_problems(loaded: Loaded) -> list[Problem]:
    """What is wrong with the sources, with this machine's files, and with the credentials."""
    problems = [*loaded.problems, *machine_problems(loaded.settings, loaded.origins)]
    if wrong := credential_problem(loaded):
        problems.append(Problem("cloud", wrong))
    return problems


def credential_problem(loaded: Loaded) -> str | None:
    """Why no credentials are to be had, as a sentence; None if they are complete."""
    from kurier.cloud.credentials import find_credentials  # heavy: the SDK

    try:
        find_credentials(loaded.settings.cloud, os.environ)
    except KurierError as error:
        return error.sentence
    return None


def _credential_lines(loaded: Loaded) -> list[Shown]:
    from kurier.cloud.credentials import SECRETS, find_credentials

    try:
        found = find_credentials(loaded.settings.cloud, os.environ)
    except KurierError as error:
        return [Shown("credentials", "missing", error.sentence, "nowhere")]
    config = found.region.config
    values = {"auth_type": config.get("auth_type"), **(config.get("auth") or {})}
    values |= {key: config.get(key) for key in ("region_name", "interface", "cacert")}
    return [
        Shown("credentials", key, masked(str(value), secret=key in SECRETS), found.origin)
        for key, value in sorted(values.items())
        if value
    ]
