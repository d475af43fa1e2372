# SPDX-License-Identifier: Apache-2.0
"""Which source wins, where a value came from, and what is said of a wrong one."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kurier.config import Loaded, Settings, load
from kurier.config.option import table
from kurier.config.sources import from_file
from kurier.config.values import as_toml

ROWS = {row.name: row for row in table(Settings)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kurier.toml"


def problem_of(loaded: Loaded) -> str:
    (problem,) = loaded.problems
    return str(problem)


def test_every_setting_has_a_default_that_is_right() -> None:
    loaded = load(Path("/dev/null"))
    assert loaded.settings == Settings()
    assert loaded.problems == ()
    assert set(loaded.origins.values()) == {"default"}


def test_each_source_goes_over_the_one_before(file: Path) -> None:
    file.write_text('[daemon]\nlog_level = "debug"\nhost = "a"\n\n[cloud]\nregion = "file"\n')
    environ = {"KURIER_DAEMON_HOST": "b", "KURIER_CLOUD_REGION": "env"}
    loaded = load(file, environ, {"cloud.region": "flag"})
    daemon = loaded.settings.daemon
    assert (daemon.log_level, daemon.host) == ("debug", "b")
    assert loaded.settings.cloud.region == "flag"
    assert loaded.origins["daemon.log_level"] == f"{file}:2"
    assert loaded.origins["daemon.host"] == "environment KURIER_DAEMON_HOST"
    assert loaded.origins["cloud.region"] == "flag --cloud-region"
    assert loaded.origins["cloud.name"] == "default"


def test_the_variable_names_the_file_and_the_argument_goes_over_it(file: Path) -> None:
    file.write_text('[daemon]\nhost = "a"\n')
    other = file.with_name("other.toml")
    other.write_text('[daemon]\nhost = "b"\n')
    environ = {"KURIER_CONFIG": str(file)}
    assert load(None, environ).settings.daemon.host == "a"
    assert load(other, environ).settings.daemon.host == "b"


def test_a_file_that_was_named_must_exist(file: Path) -> None:
    assert problem_of(load(file)) == f"{file}: The file cannot be read: No such file or directory."


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (
            "[daemon]\nplugin_dri = '/x'",
            2,
            "There is no setting plugin_dri in [daemon] (did you mean plugin_dir?).",
        ),
        ("\n[deamon]\n", 2, "There is no section [deamon] (did you mean daemon?)."),
        ("[zzz]", 1, "There is no section [zzz]."),
        ("cloud = 'x'", 1, "cloud is a section: write [cloud], then its settings."),
        ("[reconcile]\ninterval = '1'", 2, "The value must be a number, not '1'."),
        ("[cloud]\nworkers = 1.5", 2, "The value must be a whole number, not 1.5."),
        ("[cloud]\nworkers = true", 2, "The value must be a whole number, not True."),
        ("[cloud]\nworkers = 0", 2, "The value must be between 1 and 64, not 0."),
        ("[daemon]\nhost = 7", 2, "The value must be text, not 7."),
        ("[network]\nsecurity_groups = 'web'", 2, "The value must be a list of texts, not 'web'."),
        ("[network]\nport_security = 'on'", 2, "The value must be true or false, not 'on'."),
        ("[reconcile]\ninterval = nan", 2, "The value must be a finite number."),
        (
            "daemon.log_level = 'loud'",
            1,
            "The value must be one of debug, info, warning, error, not 'loud'.",
        ),
        ("[daemon]\nrequest_timeout = 10.0", 2, "The value must be between 1 and 9.9, not 10.0."),
    ],
)
def test_a_wrong_line_is_named_and_the_default_stays(
    file: Path, text: str, line: int, sentence: str
) -> None:
    file.write_text(text)
    loaded = load(file)
    told = problem_of(loaded)
    assert f"{file}:{line}" in told
    assert told.endswith(sentence)
    assert loaded.settings == Settings()


def test_all_problems_are_told_at_once(file: Path) -> None:
    file.write_text("[daemon]\nhots = 'x'\nrequest_timeout = 99\n")
    loaded = load(file, {"KURIER_DAEMON_HSOT": "y"}, {"cloud.retries": "many"})
    assert [problem.where.split()[0] for problem in loaded.problems] == [
        f"{file}:2",
        "daemon.request_timeout",
        "environment",
        "cloud.retries",
    ]


@pytest.mark.parametrize("content", [b"[daemon\n", b"\xff\xfe"])
def test_a_damaged_file_gives_one_problem(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert problem_of(load(file)).startswith(f"{file}: The file is not ")


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("KURIER_NETWORK_SECURITY_GROUPS", "web, db,", ("web", "db")),
        ("KURIER_NETWORK_SECURITY_GROUPS", "", ()),
        ("KURIER_NETWORK_PORT_SECURITY", "off", False),
        ("KURIER_NETWORK_PORT_SECURITY", "", None),
        ("KURIER_DATAPATH_WIRE_FATAL", "No", False),
        ("KURIER_CLOUD_WORKERS", "3", 3),
        ("KURIER_CLOUD_READ_TIMEOUT", "7.5", 7.5),
    ],
)
def test_variables_are_text_that_becomes_the_settings_type(
    variable: str, text: str, value: Any
) -> None:
    loaded = load(Path("/dev/null"), {variable: text})
    row = next(row for row in ROWS.values() if row.variable == variable)
    assert loaded.problems == ()
    assert getattr(getattr(loaded.settings, row.section), row.key) == value


def test_an_unknown_variable_of_a_section_is_a_problem_and_others_are_not() -> None:
    environ = {"KURIER_DAEMON_HOSTT": "x", "KURIER_CLOUD_STATE": "/s", "KURIER_ELSEWHERE": "y"}
    assert problem_of(load(Path("/dev/null"), environ)) == (
        "environment KURIER_DAEMON_HOSTT: There is no such setting "
        "(did you mean KURIER_DAEMON_HOST?)."
    )


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_shown_can_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("shown") / "kurier.toml"
    path.write_text(f"[daemon]\nhost = {as_toml(text)}\n", encoding="utf-8", newline="")
    source = from_file(path, ROWS)
    assert source.problems == []
    assert source.values["daemon.host"].value == text
