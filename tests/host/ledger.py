# SPDX-License-Identifier: Apache-2.0
"""The real ledger on a real file, as long as its daemon lives.

Between two writes that are no transaction a process may be killed as well as at an await: each
write, and each transaction's end, is a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import cast

from kurier.ledger import SqliteLedger
from kurier.service.protocols import Ledger
from tests.host.life import Life


class MortalLedger:
    """A `Ledger` that ends with a run of the daemon; what was not committed by then is lost."""

    def __init__(
        self, folder: Path, now: Callable[[], datetime], life: Life, unfit: str = ""
    ) -> None:
        self.kept = SqliteLedger(folder, now, unfit)
        self._life = life
        self._depth = 0
        life.at_end(self.kept.close)
        for name in vars(SqliteLedger):
            if not name.startswith("_") and name not in vars(MortalLedger):
                method = getattr(self.kept, name)
                setattr(self, name, self._write(name, method) if _writes(name) else method)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._moment("before", "transaction")
        self._depth += 1
        try:
            with self.kept.transaction():
                yield
        finally:
            self._depth -= 1
        self._moment("after", "transaction")

    def _write(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def write(*values: object) -> object:
            self._moment("before", name)
            answer = method(*values)
            self._moment("after", name)
            return answer

        return write

    def _moment(self, moment: str, what: str) -> None:
        self._life.require()
        if not self._depth:
            self._life.write(moment, f"ledger.{what}")


def _writes(name: str) -> bool:
    return name.startswith(("put_", "drop_", "set_"))


def as_ledger(ledger: MortalLedger) -> Ledger:
    """The same, as the service's protocol; each of its methods is the real ledger's."""
    return cast(Ledger, ledger)
