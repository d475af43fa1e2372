# SPDX-License-Identifier: Apache-2.0
"""The whole daemon as a process, on a host where nothing else is: no cloud, switch or engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kurier.cli.unix_http import ask_daemon, request

Start = Callable[..., subprocess.Popen[str]]


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "KURIER_CONFIG": str(folder / "kurier.toml"),
        "KURIER_DAEMON_PLUGIN_DIR": str(folder / "plugins"),
        "KURIER_DAEMON_ADMIN_SOCKET": str(folder / "admin.sock"),
        "KURIER_DAEMON_STATE_DIR": str(folder / "state"),
        "KURIER_ENGINE_DOCKER_HOST": f"unix://{folder}/no-engine.sock",
        "KURIER_DATAPATH_OVSDB": f"unix:{folder}/no-switch.sock",
        "OS_AUTH_URL": "http://127.0.0.1:9/v3",
        "OS_USERNAME": "nobody",
        "OS_PASSWORD": "s3cret-w0rd",
        "OS_PROJECT_NAME": "nothing",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        **more,
    }


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """What the log says until `text` is in it."""
    assert process.stderr is not None
    seen = ""
    while text not in seen:
        line = process.stderr.readline()
        assert line, f"no {text!r} in:\n{seen}"
        seen += line
    return seen


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "kurier.toml").write_text("")
    begun: list[subprocess.Popen[str]] = []

    def start(**more: str) -> subprocess.Popen[str]:
        command = "from kurier.cli.main import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", command, "serve"],
            env=environment(tmp_path, **more),
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def ask(folder: Path, target: str) -> Any:
    return ask_daemon(str(folder / "admin.sock"), "GET", target)


def plugin(folder: Path, call: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    answer = request(str(folder / "plugins" / "kuryr.sock"), "POST", f"/{call}", body)
    return answer.status, json.loads(answer.body)


def test_it_answers_with_nothing_else_there(start: Start, tmp_path: Path) -> None:
    wait_for(start(), "serving kuryr")
    assert plugin(tmp_path, "Plugin.Activate") == (
        200,
        {"Implements": ["NetworkDriver", "IpamDriver"]},
    )


def test_what_needs_the_cloud_ends_in_a_sentence(start: Start, tmp_path: Path) -> None:
    wait_for(start(), "serving kuryr")
    body = b'{"AddressSpace": "KurierLocal", "Pool": "", "SubPool": "", "V6": false}'
    status, answer = plugin(tmp_path, "IpamDriver.RequestPool", body)
    assert status == 500
    assert answer["Err"].endswith(".")


def test_releases_succeed_with_the_cloud_away(start: Start, tmp_path: Path) -> None:
    wait_for(start(), "serving kuryr")
    endpoint = json.dumps({"NetworkID": "n" * 64, "EndpointID": "e" * 64}).encode()
    assert plugin(tmp_path, "NetworkDriver.Leave", endpoint)[0] == 200
    assert plugin(tmp_path, "NetworkDriver.DeleteEndpoint", endpoint)[0] == 200
    address = b'{"PoolID": "unknown", "Address": "10.1.0.5"}'
    assert plugin(tmp_path, "IpamDriver.ReleaseAddress", address)[0] == 200


def test_the_status_tells_who_is_away(start: Start, tmp_path: Path) -> None:
    process = start()
    log = wait_for(process, "Neutron is not there yet")
    status = ask(tmp_path, "/v1/status")
    assert status["cloud"]["state"] == "away"
    assert status["cloud"]["error"]
    assert (status["switch"]["state"], status["engine"]["state"]) == ("away", "away")
    assert status["ledger"]["opened"] == "fresh"
    assert (ask(tmp_path, "/v1/networks"), ask(tmp_path, "/v1/ports")) == ([], [])
    assert "s3cret-w0rd" not in log + json.dumps(status)


def test_the_metrics_are_prometheus_text(start: Start, tmp_path: Path) -> None:
    wait_for(start(), "serving kuryr")
    plugin(tmp_path, "Plugin.Activate")
    plugin(tmp_path, "NetworkDriver.Leave")
    text = request(str(tmp_path / "admin.sock"), "GET", "/metrics").body.decode()
    assert 'kurier_rpc_seconds_count{call="Plugin.Activate"} 1.0' in text
    assert 'kurier_rpc_errors_total{call="NetworkDriver.Leave",code="bad-request"} 1.0' in text
    assert "kurier_outbox_lag_seconds 0.0" in text


def test_json_logs_carry_the_engines_ids(start: Start, tmp_path: Path) -> None:
    process = start(KURIER_DAEMON_LOG_FORMAT="json")
    wait_for(process, "serving kuryr")
    plugin(tmp_path, "NetworkDriver.Leave", b'{"NetworkID": "n1", "EndpointID": "e1"}')
    log = wait_for(process, '"call":"NetworkDriver.Leave"')
    record = json.loads(log.splitlines()[-1])
    assert (record["network"], record["endpoint"], record["code"]) == ("n1", "e1", "ok")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_and_takes_its_sockets_away(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start()
    wait_for(process, "Neutron is not there yet")
    process.send_signal(signal.SIGHUP)
    wait_for(process, "SIGHUP")
    process.send_signal(number)
    assert process.wait() == 0
    assert not (tmp_path / "admin.sock").exists()
    assert list((tmp_path / "plugins").iterdir()) == []


def test_a_killed_daemons_sockets_and_ledger_are_taken_over(start: Start, tmp_path: Path) -> None:
    first = start()
    wait_for(first, "serving kuryr")
    first.kill()
    first.wait()
    wait_for(start(), "serving kuryr")
    assert plugin(tmp_path, "Plugin.Activate")[0] == 200
    assert ask(tmp_path, "/v1/status")["ledger"]["opened"] == "existing"


def test_a_second_daemon_is_refused_by_name(start: Start) -> None:
    first = start()
    wait_for(first, "serving kuryr")
    second = start()
    _, told = second.communicate()
    assert second.returncode != 0
    assert f"process {first.pid}" in told
    assert first.poll() is None
