# SPDX-License-Identifier: Apache-2.0
"""Runs commands before an audience: each is shown with what it really printed, then judged."""

from __future__ import annotations

import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence


class Mismatch(Exception):
    """Something did not show what the story says it does."""


class Teller:
    """Tells on `out`; commands run with `env`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = dict(env)
        self._colours = sys.stdout.isatty()
        self._chapter = 0
        self._began = time.monotonic()

    def chapter(self, title: str) -> None:
        """Begins a part of the story."""
        self._chapter += 1
        spent = time.monotonic() - self._began
        self._print(self._bold(f"\n── {self._chapter}. {title} ") + f"({spent:.0f} s)")

    def say(self, text: str) -> None:
        """A remark."""
        self._print("\n" + textwrap.fill(" ".join(text.split()), 96))

    def run(self, *argv: str, fails: bool = False, seconds: float = 60.0) -> str:
        """Shows a command and its output; raises Mismatch where it fails, or where `fails` and it
        does not.
        """
        self._command(argv)
        code, output = self._run(argv, seconds)
        self._output(output or (f"(exit code {code})" if code else ""))
        if (code != 0) is not fails:
            expected = "should have failed" if fails else f"failed with exit code {code}"
            raise Mismatch(f"`{shlex.join(argv)}` {expected}.")
        return output

    def run_until(
        self, truth: Callable[[str], bool], what: str, *argv: str, seconds: float = 30.0
    ) -> str:
        """Repeats a command until its output is as `truth` says, and shows the last one."""
        self._command(argv)
        end = time.monotonic() + seconds
        while True:
            code, output = self._run(argv, seconds)
            if (code == 0 and truth(output)) or time.monotonic() > end:
                break
            time.sleep(0.2)
        self._output(output)
        self.check(code == 0 and truth(output), what)
        return output

    def quietly(self, *argv: str, seconds: float = 60.0) -> str:
        """The output of a command that is no part of the story; "" where it failed."""
        code, output = self._run(argv, seconds)
        return output if code == 0 else ""

    def check(self, truth: bool, what: str) -> None:
        """Tells what was just seen; raises Mismatch where it was not."""
        if not truth:
            raise Mismatch(f"This did not show: {what}")
        self._print(self._green(f"  ✔ {what}"))

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def _run(self, argv: Sequence[str], seconds: float) -> tuple[int, str]:
        try:
            done = subprocess.run(
                argv,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Mismatch(f"`{shlex.join(argv)}` took longer than {seconds:.0f} s.") from None
        return done.returncode, done.stdout.rstrip()

    def _command(self, argv: Sequence[str]) -> None:
        self._print("\n" + self._bold(f"$ {shlex.join(argv)}"))

    def _output(self, output: str) -> None:
        if output:
            self._print(textwrap.indent(output, "  "))

    def _print(self, text: str) -> None:
        print(text, flush=True)

    def _bold(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._colours else text

    def _green(self, text: str) -> str:
        return f"\033[32m{text}\033[0m" if self._colours else text
