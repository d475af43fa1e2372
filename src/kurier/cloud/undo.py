# SPDX-License-Identifier: Apache-2.0
"""A step back where a later step failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kurier.model.errors import KurierError

_LOG = logging.getLogger(__name__)


@contextmanager
def undone(step_back: Callable[[], None]) -> Iterator[None]:
    """Steps back where the block fails. The block's error is what leaves, also if that fails too:
    what is left then carries our marks, by which the reconciler finds it.
    """
    try:
        yield
    except BaseException:
        with suppressed("a half-done create"):
            step_back()
        raise


@contextmanager
def suppressed(what: str) -> Iterator[None]:
    """Has the block fail with no more than a line in the log that says `what` stays."""
    try:
        yield
    except KurierError as error:
        _LOG.warning("%s could not be undone: %s", what, error.sentence)
