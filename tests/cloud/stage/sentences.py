# SPDX-License-Identifier: Apache-2.0
"""What a user of Docker's client is shown."""

from __future__ import annotations

import re


def is_one_sentence(said: str) -> bool:
    """Whether the client shows one line, its own hint at its help apart."""
    told = re.sub(r"\s+(See|Run) 'docker run --help'.*", "", said)
    return "\n" not in told and told.endswith((".", "?"))
