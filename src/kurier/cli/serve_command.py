# SPDX-License-Identifier: Apache-2.0
"""`kurier serve`."""

from __future__ import annotations

import click

from kurier.cli.sources import configured, require
from kurier.config import Loaded
from kurier.model.errors import KurierError


@click.command()
@configured()
def serve(loaded: Loaded) -> None:
    """Serve Docker until told to stop; everything it needs may come up later."""
    settings = require(loaded)
    from kurier.daemon import run  # heavy, and of no use to other commands

    try:
        run(settings)
    except KurierError as error:
        raise click.ClickException(error.sentence) from error
