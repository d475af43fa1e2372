# SPDX-License-Identifier: Apache-2.0
"""Runs the shell blocks of a guide as they stand, each on the hosts that its first line names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cloud.stage.stage import Stage

ROOT = Path(__file__).resolve().parents[3]
_BLOCK = re.compile(r"^```sh\n# (on [^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Commands, where they are to be run, and under which heading they stand."""

    where: str
    commands: str
    section: str


def blocks_of(page: str) -> Iterator[Block]:
    """The blocks of a page that say where they are to be run, in its order."""
    for section in re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for where, commands in _BLOCK.findall(section):
            yield Block(where, commands, title)


class Reader:
    """Somebody who follows a guide on these hosts, with `words` replaced by his own."""

    def __init__(self, hosts: Mapping[str, Sequence[Stage]], words: dict[str, str]) -> None:
        self._hosts = hosts
        self.words = words

    def follow(self, block: Block) -> str:
        """Runs a block on each of its hosts; what the last one said."""
        said = ""
        for stage in self._hosts[block.where]:
            said = self._run(stage, block.commands)
        return said

    def _run(self, stage: Stage, commands: str) -> str:
        for theirs, own in self.words.items():
            commands = commands.replace(theirs, own)
        script = f'export PATH="{Path(sys.executable).parent}:$PATH"\ncd {ROOT}\n{commands}'
        process = stage.machine.popen(
            ["bash", "-euxo", "pipefail", "-c", script],
            env={"KURIER_CONFIG": str(stage.daemon.config), "OS_CLOUD": stage.cloud},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, f"{commands}\n{out.decode()}\n{err.decode()}"
        return out.decode()
