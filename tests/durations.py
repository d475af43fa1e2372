# SPDX-License-Identifier: Apache-2.0
"""What the tests of a run took: `python -m tests.durations FOLDER` of its JUnit files.

Writes `durations.txt` beside them, each test by its cost, and prints the dearest files.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

DEAREST = 10


def taken(folder: Path) -> dict[tuple[str, str], float]:
    """Seconds of each test, set-up and clean-up included, by its file and name."""
    found: dict[tuple[str, str], float] = {}
    for report in sorted(folder.glob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):
            file, inside = _place(case.get("classname", ""))
            name = "::".join((*inside, case.get("name", "")))
            found[file, name] = float(case.get("time", "0"))
    return found


def _place(told: str) -> tuple[str, list[str]]:
    """A test's file, and the classes in it that the test is in."""
    words = told.split(".")
    last = next((n for n, word in enumerate(words) if word.startswith("test_")), len(words) - 1)
    return "/".join(words[: last + 1]) + ".py", words[last + 1 :]


def by_file(tests: dict[tuple[str, str], float]) -> list[tuple[str, float, int]]:
    """Each file with its seconds and its number of tests, the dearest first."""
    seconds: dict[str, float] = defaultdict(float)
    number: dict[str, int] = defaultdict(int)
    for (file, _), spent in tests.items():
        seconds[file] += spent
        number[file] += 1
    rows = [(file, spent, number[file]) for file, spent in seconds.items()]
    return sorted(rows, key=lambda row: -row[1])


def main(folder: Path) -> None:
    tests = taken(folder)
    rows = sorted(tests.items(), key=lambda row: -row[1])
    lines = [f"{spent:8.2f} s  {file}::{name}" for (file, name), spent in rows]
    (folder / "durations.txt").write_text("\n".join(lines) + "\n")
    print(f"\nThe dearest files ({folder}/durations.txt has each test):")
    for file, spent, number in by_file(tests)[:DEAREST]:
        print(f"{spent:7.1f} s  {number:4} tests  {file}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
