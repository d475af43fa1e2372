# SPDX-License-Identifier: Apache-2.0
"""The documentation says all there is, and what it names is there."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from kurier.cli.main import main as kurier
from kurier.config import reference
from kurier.config.option import table
from kurier.config.settings import Settings
from kurier.model.errors import Code
from kurier.model.options import NETWORK_KEYS, POLICY_KEYS, parse_network_options
from kurier.model.tags import ATTRIBUTES
from localcloud import cli as kurier_cloud

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"`((?:daemon|cloud|engine|network|datapath|reconcile|settle)\.[a-z_0-9]+)`")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """Each command line of a page's shell blocks, as words; continued lines as one."""
    for kind, block in FENCE.findall(page.read_text()):
        if kind != "sh":
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|(?!\|)", line):
                words = shlex.split(part, comments=True)
                if words:
                    yield words


ALL_COMMANDS = [(page.name, words) for page in PAGES for words in commands(page)]


def those_of(program: str) -> list[tuple[str, list[str]]]:
    return [(name, words) for name, words in ALL_COMMANDS if Path(words[0]).name == program]


@pytest.mark.parametrize("key", NETWORK_KEYS)
def test_every_option_is_explained(key: str) -> None:
    assert f"| `{key}` |" in text("docs/options.md")


@pytest.mark.parametrize("key", POLICY_KEYS)
def test_every_endpoint_option_is_explained(key: str) -> None:
    endpoints = text("docs/options.md").partition("## Endpoints")[2]
    assert f"| `{key}` |" in endpoints


@pytest.mark.parametrize("code", list(Code))
def test_every_error_is_explained(code: Code) -> None:
    assert f"\n## `{code.value}`\n" in text("docs/troubleshooting.md")


def test_no_error_is_explained_that_is_none() -> None:
    explained = set(re.findall(r"^## `([a-z-]+)`$", text("docs/troubleshooting.md"), re.MULTILINE))
    assert explained == {code.value for code in Code}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"\b(?:packaging|examples|docs|demo)/[\w./-]+\w", page.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {row.name for row in table(Settings)}
    assert set(SETTING.findall(page.read_text())) - {"daemon.py"} <= known


@pytest.mark.parametrize(("page", "words"), those_of("kurier"))
def test_every_kurier_command_exists(page: str, words: list[str]) -> None:
    command: click.Command = kurier
    for word in words[1:]:
        if word.startswith("-"):
            assert any(word in parameter.opts for parameter in command.params), (page, words)
        elif isinstance(command, click.Group):
            command = command.commands[word]
    assert not isinstance(command, click.Group)


@pytest.mark.parametrize(
    "verb", re.findall(r"`kurier-cloud (\w+)", "".join(map(text, ["README.md"])))
)
def test_every_command_of_the_local_cloud_exists(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        kurier_cloud.main([verb, "--help"])
    assert left.value.code == 0
    assert f"kurier-cloud {verb}" in capsys.readouterr().out


def test_the_two_commands_are_on_the_first_screen() -> None:
    first = "\n".join(text("README.md").splitlines()[:24])
    usage = subprocess.run(
        [ROOT / "run", "help"], capture_output=True, text=True, check=True
    ).stdout
    for command in ("./run demo", "./run tests"):
        assert command in first
        assert command in usage


def docker_options() -> Iterator[tuple[str, dict[str, str]]]:
    for page, words in those_of("docker"):
        if words[1:3] == ["network", "create"]:
            pairs = itertools.pairwise(words)
            given = [value for flag, value in pairs if flag in ("-o", "--ipam-opt")]
            yield page, dict(value.split("=", 1) for value in given)


@pytest.mark.parametrize(("page", "options"), list(docker_options()))
def test_every_network_of_the_examples_has_options_that_kurier_takes(
    page: str, options: dict[str, str]
) -> None:
    parse_network_options(options)


def test_networks_of_the_examples_name_both_drivers() -> None:
    lines = [words for _, words in those_of("docker") if words[1:3] == ["network", "create"]]
    assert len(lines) > 8
    for words in lines:
        if "--config-only" in words:
            assert words[4:6] == ["--ipam-driver", Settings().engine.swarm_plugin], words
        elif "--config-from" in words:
            assert words[3:5] == ["-d", Settings().engine.swarm_plugin], words
        else:
            assert words[3:7] == ["-d", "kuryr", "--ipam-driver", "kuryr"], words


def test_the_compose_file_has_options_that_kurier_takes() -> None:
    networks = yaml.safe_load(text("examples/compose.yaml"))["networks"]
    assert [name for name, one in networks.items() if one.get("external")] == ["prod"]
    own = networks["back"]
    assert (own["driver"], own["ipam"]["driver"]) == ("kuryr", "kuryr")
    parse_network_options(own["driver_opts"])


def test_the_reference_of_settings_is_the_tables_own() -> None:
    assert text("docs/configuration.md") == reference.as_markdown()


def test_metrics_that_are_named_exist() -> None:
    named = set(re.findall(r"`(kurier_[a-z_]+)`", text("docs/operators.md")))
    source = "".join(path.read_text() for path in (ROOT / "src/kurier").rglob("*.py"))
    assert len(named) > 8
    assert [one for one in named if f'"{one.removesuffix("_total")}"' not in source] == []


def test_tags_that_are_named_exist() -> None:
    row = re.compile(r"^\| [\w, ]+ \| (`kur[^|]+) \|", re.MULTILINE)
    cells = row.findall(text("docs/operators.md"))
    named = {one for cell in cells for one in re.findall(r"`(kur[a-z.]+:?)", cell)}
    source = text("src/kurier/model/tags.py") + text("src/kurier/model/swarm.py")
    valued = {f"kurier.{key}:" for key in ATTRIBUTES}
    assert len(named) > 8
    assert [one for one in named - valued if one.rstrip(":") not in source] == []
