# SPDX-License-Identifier: Apache-2.0
"""What is shown and documented, and that the shipped files are right."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kurier.config import Settings, load
from kurier.config.option import Meaning, Setting, table
from kurier.config.reference import as_markdown
from kurier.config.show import MASK, as_json, as_text, masked, shown
from kurier.config.values import WrongValue, from_text, from_toml

ROOT = Path(__file__).parents[2]


def test_what_is_shown_is_the_file_that_would_say_the_same(tmp_path: Path) -> None:
    flags = {"network.security_groups": 'web,"odd"', "daemon.host": "a\\b", "cloud.retries": "5"}
    first = load(Path("/dev/null"), flags=flags)
    copy = tmp_path / "kurier.toml"
    copy.write_text(as_text(shown(first)))
    second = load(copy)
    assert second.problems == ()
    assert second.settings == first.settings


def test_each_value_is_shown_with_its_origin() -> None:
    loaded = load(Path("/dev/null"), {"KURIER_CLOUD_NAME": "prod"})
    assert "# environment KURIER_CLOUD_NAME\n" in as_text(shown(loaded))
    assert as_json(shown(loaded))["cloud"]["name"] == {
        "value": "prod",
        "origin": "environment KURIER_CLOUD_NAME",
    }


@pytest.mark.parametrize(
    ("value", "secret", "seen"),
    [
        ("hunter2", True, MASK),
        ("", True, ""),
        ("tcp://me:hunter2@host:1", False, f"tcp://me:{MASK}@host:1"),
        (("http://u:hunter2@h",), False, (f"http://u:{MASK}@h",)),
        ("plain", False, "plain"),
        (5, False, 5),
    ],
)
def test_secrets_are_masked_and_their_length_with_them(value: str, secret: bool, seen: str) -> None:
    assert masked(value, secret=secret) == seen


def test_a_secret_that_is_wrong_is_not_repeated() -> None:
    row = Setting("s", "k", str, "", Meaning("", secret=True, rule=lambda _: "must be longer"))
    with pytest.raises(WrongValue) as from_variable:
        from_text(row, "hunter2")
    with pytest.raises(WrongValue) as from_document:
        from_toml(row, 12345)
    assert "hunter2" not in str(from_variable.value)
    assert "12345" not in str(from_document.value)


def test_the_reference_in_the_docs_is_current() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == as_markdown(), (
        "run: .venv/bin/kurier config docs > docs/configuration.md"
    )


def test_every_setting_is_documented_and_its_names_differ() -> None:
    rows = table(Settings)
    assert all(row.meaning.doc.endswith(".") for row in rows)
    assert len({row.variable for row in rows}) == len({row.flag for row in rows}) == len(rows)


def test_the_example_is_right_and_says_what_holds_anyway() -> None:
    loaded = load(ROOT / "packaging/kurier.toml")
    assert loaded.problems == ()
    assert loaded.settings == Settings()


def test_the_examples_commented_settings_exist(tmp_path: Path) -> None:
    lines = (ROOT / "packaging/kurier.toml").read_text().splitlines()
    settings = [line.removeprefix("# ") for line in lines if " = " in line or line[:1] == "["]
    full = tmp_path / "kurier.toml"
    full.write_text("\n".join(settings))
    tomllib.loads(full.read_text())
    assert load(full).problems == ()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs Debian's systemd")
def test_systemd_finds_the_unit_right(tmp_path: Path) -> None:
    unit = (ROOT / "packaging/systemd/kurier.service").read_text()
    assert "\nExecStart=/opt/kurier/bin/kurier serve\n" in unit
    installed = tmp_path / "kurier.service"
    installed.write_text(unit.replace("/opt/kurier/bin/kurier", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(installed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
