# SPDX-License-Identifier: Apache-2.0
"""The one error of this package: a sentence for the user, and where to read on."""

from __future__ import annotations

from pathlib import Path

LOG_LINES_SHOWN = 12


class CloudError(Exception):
    """Something of the local cloud failed.

    `sentence` says what in one line; `log` is the file that tells more, if there is one.
    """

    def __init__(self, sentence: str, log: Path | None = None) -> None:
        self.sentence = sentence
        self.log = log
        super().__init__(self.render())

    def render(self) -> str:
        """The sentence, the log's path and its last lines."""
        if self.log is None:
            return self.sentence
        lines = last_lines(self.log, LOG_LINES_SHOWN)
        shown = "".join(f"\n    {line}" for line in lines)
        return f"{self.sentence}\n  log: {self.log}{shown}"


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines of a text file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 16384))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        return []
