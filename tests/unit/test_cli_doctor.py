# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds, with sockets that answer, are stale, or are not there."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kurier.cli.findings import Finding, examine
from kurier.cli.main import main
from kurier.config import Settings
from tests.unit.admin_server import answering

STATUS = {
    "host": "h1",
    "cloud": {"state": "ok", "url": "http://n", "since": "2026-01-01T00:00:00Z", "error": ""},
    "switch": {"state": "ok", "hostname": "h1", "bridge": "br-int", "error": ""},
}
PLUGIN = {"Implements": ["NetworkDriver", "IpamDriver"]}


def settings_below(folder: Path, bridge: str = "lo") -> Settings:
    """Settings whose sockets are below `folder`; the loopback device stands for a bridge."""
    default = Settings()
    return replace(
        default,
        daemon=replace(
            default.daemon, plugin_dir=str(folder), admin_socket=str(folder / "kurier.sock")
        ),
        engine=replace(default.engine, docker_host=f"unix://{folder}/docker.sock"),
        datapath=replace(
            default.datapath, ovsdb=f"unix:{folder}/db.sock", integration_bridge=bridge
        ),
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """A folder where daemon, plugin, engine and switch all answer."""
    with ExitStack() as stack:
        answers: dict[str, dict[str, tuple[int, Any]]] = {
            "kurier.sock": {"GET /v1/status": (200, STATUS)},
            "kuryr.sock": {"POST /Plugin.Activate": (200, PLUGIN)},
            "docker.sock": {"GET /_ping": (200, b"OK")},
            "db.sock": {},
        }
        for name, told in answers.items():
            stack.enter_context(answering(tmp_path / name, told))
        yield tmp_path


def by_name(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(settings)}


def test_a_host_where_all_is_well(host: Path) -> None:
    found = by_name(settings_below(host))
    assert {finding.ok for finding in found.values()} == {True}
    assert found["cloud"].says == "It answers, http://n."
    assert found["engine"].says.endswith("API version 1.41.")
    assert found["plugin socket"].says.endswith("serves NetworkDriver and IpamDriver.")
    assert "host name" in found


def test_a_host_where_nothing_runs(tmp_path: Path) -> None:
    found = by_name(settings_below(tmp_path, bridge="br-none"))
    bad = {name for name, finding in found.items() if finding.ok is False}
    assert bad == {"OVSDB", "bridge", "engine", "daemon", "plugin socket"}
    assert (found["cloud"].ok, found["switch"].ok) == (None, None)
    assert all(found[name].advice for name in bad)
    assert "host name" not in found


@pytest.mark.parametrize(
    ("status", "what", "word"),
    [
        (
            {**STATUS, "cloud": {"state": "away", "since": "12:00", "error": "Keystone is away."}},
            "cloud",
            "Keystone is away.",
        ),
        ({**STATUS, "host": "h2"}, "host name", "binding_failed"),
        ([], "daemon", "not with a status"),
    ],
)
def test_the_daemons_word_is_taken(tmp_path: Path, status: Any, what: str, word: str) -> None:
    with answering(tmp_path / "kurier.sock", {"GET /v1/status": (200, status)}):
        finding = by_name(settings_below(tmp_path))[what]
    assert finding.ok is False
    assert word in finding.says


def test_what_the_daemon_does_not_know_yet_is_not_bad(tmp_path: Path) -> None:
    status = {**STATUS, "cloud": {"state": "unknown", "error": ""}}
    with answering(tmp_path / "kurier.sock", {"GET /v1/status": (200, status)}):
        assert by_name(settings_below(tmp_path))["cloud"].ok is None


def test_stale_and_strange_sockets_are_told_apart(tmp_path: Path) -> None:
    with answering(tmp_path / "db.sock", {}):
        pass
    (tmp_path / "docker.sock").touch()
    with answering(tmp_path / "kuryr.sock", {"POST /Plugin.Activate": (200, b"hello")}):
        found = by_name(settings_below(tmp_path))
    assert found["OVSDB"].says == f"Nobody listens on {tmp_path}/db.sock."
    assert found["engine"].says == f"{tmp_path}/docker.sock is not a socket."
    assert "is no plugin's" in found["plugin socket"].says


def test_remote_parts_are_left_to_the_daemon(tmp_path: Path) -> None:
    local = settings_below(tmp_path)
    remote = replace(
        local,
        engine=replace(local.engine, docker_host="tcp://h:2375"),
        datapath=replace(local.datapath, ovsdb="tcp:h:6640"),
    )
    found = by_name(remote)
    assert (found["engine"].ok, found["OVSDB"].ok) == (None, None)


def test_the_command_says_what_to_do_and_fails(tmp_path: Path) -> None:
    env = {"KURIER_CONFIG": "/none.toml", "KURIER_DAEMON_ADMIN_SOCKET": f"{tmp_path}/k.sock"}
    done = CliRunner().invoke(main, ["doctor"], env=env)
    assert done.exit_code == 1
    assert "BAD  configuration: /none.toml: The file cannot be read" in done.output
    assert "     -> See `journalctl -u kurier`.\n" in done.output
