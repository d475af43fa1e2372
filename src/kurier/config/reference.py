# SPDX-License-Identifier: Apache-2.0
"""The reference of all settings, written from the table itself."""

from __future__ import annotations

import inspect
import typing

from kurier.config.option import Setting, table
from kurier.config.settings import Settings
from kurier.config.values import KINDS, as_toml

_PREFACE = """\
<!-- Written by `kurier config docs`; change src/kurier/config/settings.py instead. -->
# Configuration

Kurier reads one TOML file, `/etc/kurier/kurier.toml` unless `--config` or `KURIER_CONFIG` name
another. An environment variable `KURIER_SECTION_KEY` goes over the file, and a flag
`--section-key` over both. Lists are separated by commas there. Every setting has a default: an
empty file will do where credentials are found.

- `kurier config show` prints what is in force and where each value came from, secrets masked.
- `kurier config check` says in words what is wrong, all of it at once, and exits with 1 then.

A name that does not exist is an error, never ignored.

## Credentials

They are not in this file. Kurier takes them as every OpenStack tool does: from `clouds.yaml` (in
the working folder, `~/.config/openstack` or `/etc/openstack`, or where `OS_CLIENT_CONFIG_FILE`
says), with secrets in `secure.yaml` if you like, or from the `OS_*` variables. The entry is
`cloud.name`, else `OS_CLOUD`. Password, application credential and token work.
"""


def as_markdown() -> str:
    """`docs/configuration.md`, whole."""
    parts = [_PREFACE]
    for section, kind in typing.get_type_hints(Settings).items():
        parts.append(f"## [{section}]\n\n{inspect.getdoc(kind)}\n")
        parts.extend(_entry(row) for row in table(Settings) if row.section == section)
    return "\n".join(parts)


def _entry(row: Setting) -> str:
    facts = [f"{KINDS[row.kind]}{f', in {row.meaning.unit}' if row.meaning.unit else ''}"]
    if row.meaning.choices:
        facts = ["one of " + ", ".join(f"`{as_toml(choice)}`" for choice in row.meaning.choices)]
    default = "unset" if row.default is None else f"`{as_toml(row.default)}`"
    return (
        f"### {row.name}\n\n{row.meaning.doc}\n\n"
        f"- Type: {', '.join(facts)}\n- Default: {default}\n"
        f"- Environment: `{row.variable}`, flag: `{row.flag}`\n"
    )
