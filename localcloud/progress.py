# SPDX-License-Identifier: Apache-2.0
"""Steps that depend on each other, run side by side, each shown with its seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TextIO

from .errors import CloudError


@dataclass(frozen=True)
class Step:
    """One piece of work. `act` returns a word for what it did: "started", "there already" …"""

    name: str
    act: Callable[[], str]
    after: tuple[str, ...] = ()


class Reporter:
    """Writes a line per finished step; silent when `stream` is None."""

    def __init__(self, stream: TextIO | None = sys.stderr) -> None:
        self._stream = stream
        self._began = time.monotonic()

    def line(self, text: str) -> None:
        if self._stream is not None:
            print(
                f"[{time.monotonic() - self._began:6.1f} s] {text}", file=self._stream, flush=True
            )

    def step(self, name: str, word: str, seconds: float) -> None:
        self.line(f"{name:<34} {word:<16} {seconds:6.1f} s")


def run_steps(steps: Sequence[Step], reporter: Reporter, workers: int = 8) -> None:
    """Run every step once all it comes after are done.

    After a failure nothing new starts; what runs is awaited, then the first error is raised.
    """
    done: set[str] = set()
    waiting = list(steps)
    running: dict[Future[str], tuple[str, float]] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(workers, thread_name_prefix="step") as pool:
        while running or (waiting and failure is None):
            for step in [s for s in waiting if failure is None and done.issuperset(s.after)]:
                waiting.remove(step)
                running[pool.submit(step.act)] = (step.name, time.monotonic())
            if not running:
                names = ", ".join(step.name for step in waiting)
                raise CloudError(f"Steps wait for each other: {names}.")
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                name, began = running.pop(future)
                error = future.exception()
                word = "FAILED" if error else future.result()
                reporter.step(name, word, time.monotonic() - began)
                failure = failure or error
                done.add(name)
    if failure is not None:
        raise failure
