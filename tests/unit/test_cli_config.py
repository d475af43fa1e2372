# SPDX-License-Identifier: Apache-2.0
"""`kurier config …`, `kurier serve` with a wrong configuration, `kurier --version`."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kurier import __version__
from kurier.cli.main import main
from kurier.config.reference import as_markdown

CLOUDS = """
clouds:
  one:
    auth: {auth_url: http://k/v3, username: u, password: hunter2, project_name: x}
"""


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OS_", "KURIER_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a `clouds.yaml` and a `kurier.toml` that are right."""
    (tmp_path / "clouds.yaml").write_text(CLOUDS)
    (tmp_path / "kurier.toml").write_text(
        f'[daemon]\nplugin_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n'
        f'admin_socket = "{tmp_path}/kurier.sock"\n'
    )
    return tmp_path


def kurier(folder: Path, *arguments: str, **environ: str) -> Result:
    env = {
        "OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml"),
        "KURIER_CONFIG": str(folder / "kurier.toml"),
        **environ,
    }
    return CliRunner().invoke(main, arguments, env=env)


def test_a_right_configuration(folder: Path) -> None:
    done = kurier(folder, "config", "check")
    assert (done.exit_code, done.output) == (
        0,
        f"{folder}/kurier.toml is fit for use, and so are the cloud's credentials.\n",
    )


def test_everything_wrong_is_told_in_a_line_each(folder: Path) -> None:
    (folder / "kurier.toml").write_text('[deamon]\n[cloud]\nname = "two"\nworkers = 0\n')
    done = kurier(folder, "config", "check", "--cloud-ca-file", "/none.pem")
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        f"{folder}/kurier.toml:1: There is no section [deamon] (did you mean daemon?).",
        f"cloud.workers ({folder}/kurier.toml:4): The value must be between 1 and 64, not 0.",
        "cloud.ca_file (flag --cloud-ca-file): There is no file /none.pem.",
        f"cloud: There is no cloud two in {folder}/clouds.yaml; it has: one.",
    ]


def test_what_is_in_force_is_shown_without_the_password(folder: Path) -> None:
    done = kurier(folder, "config", "show", "--daemon-host", "h1", KURIER_CLOUD_RETRIES="1")
    assert done.exit_code == 0
    lines = {line.split(" = ")[0]: line for line in done.output.splitlines()}
    assert lines["host"].endswith("# flag --daemon-host")
    assert lines["retries"].endswith("# environment KURIER_CLOUD_RETRIES")
    assert lines["plugin_dir"].endswith(f"# {folder}/kurier.toml:2")
    assert lines["username"].endswith(f"# {folder}/clouds.yaml, cloud one")
    assert '"********"' in lines["password"]
    assert "hunter2" not in done.output


def test_the_same_for_programs(folder: Path) -> None:
    done = kurier(folder, "config", "show", "--json")
    told = json.loads(done.output)
    assert told["daemon"]["driver_name"] == {"value": "kuryr", "origin": "default"}
    assert told["credentials"]["password"]["value"] == "********"


def test_show_works_where_the_configuration_does_not(folder: Path) -> None:
    (folder / "kurier.toml").write_text("[daemon]\nhots = 1\n")
    (folder / "clouds.yaml").unlink()
    done = kurier(folder, "config", "show")
    assert done.exit_code == 0
    assert "did you mean host?" in done.stderr
    assert "there is no such file" in done.stdout


def test_the_reference_is_printed_as_it_is_kept() -> None:
    assert CliRunner().invoke(main, ["config", "docs"]).output == as_markdown()


def test_serve_refuses_a_wrong_configuration_with_all_its_problems(folder: Path) -> None:
    done = kurier(folder, "serve", "--daemon-listen", "nowhere", "--cloud-workers", "x")
    assert done.exit_code == 1
    assert [line.split(" (")[0] for line in done.stderr.splitlines()] == [
        "kurier: daemon.listen",
        "kurier: cloud.workers",
    ]


def test_the_flag_for_the_file_goes_over_the_variable(folder: Path) -> None:
    done = kurier(folder, "config", "show", "--config", "/none.toml")
    assert "/none.toml: The file cannot be read" in done.stderr


def test_its_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"kurier {__version__}\n"
