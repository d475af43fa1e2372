# SPDX-License-Identifier: Apache-2.0
"""Debian packages that are only unpacked: fetched with an apt configuration of our own.

Nothing of the machine's apt state changes. The mirror is the one the machine's own sources name
for its release; keys and proxies are the machine's as well.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from .commands import run
from .errors import CloudError
from .layout import Layout
from .locks import held

FALLBACK_MIRROR = "http://deb.debian.org/debian"
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$")


def machine_suite() -> str:
    """The code name of the machine's Debian release, "bookworm" where it has none."""
    found = re.search(r"^VERSION_CODENAME=(\S+)", Path("/etc/os-release").read_text(), re.M)
    return found.group(1) if found else "bookworm"


def mirror() -> str:
    """The address the machine gets Debian's main packages from."""
    for address, suites in sources(Path("/etc/apt")):
        if machine_suite() in suites:
            return address.rstrip("/")
    return FALLBACK_MIRROR


def unpack(layout: Layout, packages: tuple[str, ...], suite: str, into: Path) -> Path:
    """Fetch packages of a suite and unpack them all into one folder, once.

    Returns the folder. Raises `CloudError` with apt's own words in the log. Threads and processes
    that ask at once wait for each other: apt refuses a second reader of one suite's lists.
    """
    with _apt_of(layout, suite):
        if not (into / ".complete").exists():
            _unpack(layout, packages, suite, into)
    return into


def _apt_of(layout: Layout, suite: str) -> contextlib.AbstractContextManager[None]:
    return held(layout.downloads / f"apt-{suite}.lock")


def _unpack(layout: Layout, packages: tuple[str, ...], suite: str, into: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    log = layout.log(f"debs-{suite}")
    options = _configuration(layout.downloads / f"apt-{suite}", suite)
    archive = into / "archive"
    archive.mkdir(parents=True)
    run(["apt-get", *options, "update"], what=f"Reading the package list of {suite}", log=log)
    run(
        [
            "sh",
            "-c",
            'cd "$1" && shift && exec "$@"',
            "sh",
            str(archive),
            "apt-get",
            *options,
            "download",
            *packages,
        ],
        what=f"Fetching {' '.join(packages)} of {suite}",
        log=log,
    )
    found = sorted(archive.glob("*.deb"))
    if len(found) < len(packages):
        raise CloudError(f"Not all of {' '.join(packages)} came from {suite}.", log)
    for deb in found:
        run(["dpkg", "-x", str(deb), str(into)])
    shutil.rmtree(archive)
    (into / ".complete").touch()


def resolve(layout: Layout, package: str, suite: str) -> str:
    """The first dependency of a package that depends on versioned ones, such as a kernel's."""
    with _apt_of(layout, suite):
        options = _configuration(layout.downloads / f"apt-{suite}", suite)
        run(["apt-get", *options, "update"], log=layout.log(f"debs-{suite}"))
        shown = run(["apt-cache", *options, "depends", "--important", package])
    found = re.search(r"Depends:\s+(\S+)", shown)
    if found is None:
        raise CloudError(f"{package} of {suite} depends on nothing; its content cannot be found.")
    return found.group(1)


def _configuration(folder: Path, suite: str) -> list[str]:
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb {mirror()} {suite} main\n")
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def sources(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(address, suites) of every entry that has the component main."""
    for path in (folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))):
        for line in path.read_text().splitlines() if path.exists() else ():
            found = _ONE_LINE.match(line.strip())
            if found and "main" in found.group(3).split():
                yield found.group(1), [found.group(2)]
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        for stanza in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"^([\w-]+):\s*(.*)$", stanza, re.M))
            if "main" in fields.get("Components", "").split() and fields.get("URIs"):
                yield fields["URIs"].split()[0], fields.get("Suites", "").split()
