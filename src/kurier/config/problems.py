# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a configuration, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, and a sentence that says what and what to do."""

    where: str
    """The setting's dotted name with the value's origin, or the file; for people."""
    sentence: str

    def __str__(self) -> str:
        return f"{self.where}: {self.sentence}" if self.where else self.sentence


class ConfigError(Exception):
    """A configuration that cannot be used; carries all its problems, not the first alone."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
