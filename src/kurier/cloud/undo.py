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
        try:
            step_back()
        except KurierError as error:
            _LOG.warning("a half-done create could not be undone: %s", error.sentence)
        raise
