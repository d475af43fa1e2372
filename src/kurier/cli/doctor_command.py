# SPDX-License-Identifier: Apache-2.0
"""`kurier doctor`: what stands between this host and a container on a Neutron network."""

from __future__ import annotations

import json

import click

from kurier.cli.config_commands import all_problems
from kurier.cli.findings import Finding, examine
from kurier.cli.sources import configured
from kurier.config import Loaded

_WORDS = {True: "OK", False: "BAD", None: "?"}
_COLOURS = {True: "green", False: "red", None: "yellow"}


@click.command()
@configured()
@click.option("--json", "wants_json", is_flag=True, help="As JSON, for programs.")
def doctor(loaded: Loaded, wants_json: bool) -> None:
    """Check configuration, cloud, switch and engine, and say what to do; exit with 1 if bad."""
    problems = all_problems(loaded)
    findings = [Finding("configuration", False, str(problem)) for problem in problems] or [
        Finding("configuration", True, "It is fit for use, and credentials are complete.")
    ]
    findings += examine(loaded.settings)
    if wants_json:
        rows = [{"what": f.what, "ok": f.ok, "says": f.says, "advice": f.advice} for f in findings]
        click.echo(json.dumps(rows, indent=2))
    else:
        for finding in findings:
            _print(finding)
    if any(finding.ok is False for finding in findings):
        raise SystemExit(1)


def _print(finding: Finding) -> None:
    word = click.style(f"{_WORDS[finding.ok]:<3}", fg=_COLOURS[finding.ok])
    click.echo(f"{word}  {finding.what}: {finding.says}")
    if finding.advice and finding.ok is not True:
        click.echo(f"     -> {finding.advice}")
