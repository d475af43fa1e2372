# SPDX-License-Identifier: Apache-2.0
"""What the commands make of the daemon's answers, and of its silence."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kurier.cli.main import main
from kurier.cli.tables import as_outline, as_table, cell
from tests.unit.admin_server import answering

NETWORK = {
    "neutron_id": "n1",
    "docker_id": "d1",
    "name": "web",
    "made_by": "kurier",
    "subnets": ["10.0.0.0/24", "fd00::/64"],
    "state": "ready",
    "note": "",
}
PORT = {"port_id": "p1", "endpoint": "e1", "addresses": ["10.0.0.5"], "device": None}


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "kurier.sock"


def kurier(socket: Path, *arguments: str) -> Result:
    # The configuration is wrong on purpose: it must not hide a daemon that runs.
    env = {"KURIER_DAEMON_ADMIN_SOCKET": str(socket), "KURIER_CONFIG": "/none.toml"}
    return CliRunner().invoke(main, arguments, env=env)


def ask(socket: Path, answer: tuple[int, Any], request: str, *arguments: str) -> Result:
    with answering(socket, {request: answer}) as asked:
        done = kurier(socket, *arguments)
    assert asked == [request]
    return done


def test_networks_are_a_table_in_a_fixed_order(socket: Path) -> None:
    done = ask(socket, (200, {"networks": [NETWORK]}), "GET /v1/networks", "network", "list")
    assert done.exit_code == 0
    assert done.output == (
        "DOCKER ID  NEUTRON ID  NAME  MADE BY  SUBNETS                 STATE  NOTE\n"
        "d1         n1          web   kurier   10.0.0.0/24, fd00::/64  ready  -\n"
    )


@pytest.mark.parametrize(
    ("option", "request_line"),
    [
        ("--environment", "GET /v1/networks/environment"),
        ("--all", "GET /v1/networks/everywhere"),
    ],
)
def test_networks_of_others_are_asked_of_neutron(
    socket: Path, option: str, request_line: str
) -> None:
    row = {"neutron_id": "n1", "made_by": "others", "environment": "", "hosts": None}
    done = ask(socket, (200, [row]), request_line, "network", "list", option)
    assert done.output == (
        "NEUTRON ID  MADE BY  ENVIRONMENT  HOSTS\nn1          others   -            -\n"
    )


def test_ports_are_a_table(socket: Path) -> None:
    done = ask(socket, (200, {"ports": [PORT]}), "GET /v1/ports", "port", "list")
    assert done.output.splitlines()[1].split() == ["p1", "e1", "10.0.0.5", "-"]


@pytest.mark.parametrize("payload", [[NETWORK], {"networks": [NETWORK]}])
def test_programs_get_the_rows(socket: Path, payload: Any) -> None:
    done = ask(socket, (200, payload), "GET /v1/networks", "network", "list", "--json")
    assert json.loads(done.output) == [NETWORK]


def test_an_empty_list_is_said_in_words(socket: Path) -> None:
    done = ask(socket, (200, {"ports": []}), "GET /v1/ports", "port", "list")
    assert done.output == "There are no ports.\n"


STATUS = {"host": "h1", "cloud": {"state": "ok", "error": ""}, "pending_jobs": 0}


def test_the_status_is_an_outline(socket: Path) -> None:
    done = ask(socket, (200, STATUS), "GET /v1/status", "status")
    assert done.output == "host: h1\ncloud:\n  state: ok\n  error: -\npending jobs: 0\n"


def test_programs_get_the_status_as_it_is(socket: Path) -> None:
    done = ask(socket, (200, STATUS), "GET /v1/status", "status", "--json")
    assert json.loads(done.output) == STATUS


def test_a_reconcile_is_asked_for_and_told(socket: Path) -> None:
    done = ask(socket, (200, {"removed": ["p9"]}), "POST /v1/reconcile", "reconcile")
    assert done.output == "removed: p9\n"


def test_the_daemons_own_sentence_is_passed_on(socket: Path) -> None:
    answer = (503, {"Err": "Neutron does not answer since 12:00."})
    done = ask(socket, answer, "POST /v1/reconcile", "reconcile")
    assert (done.exit_code, done.stderr) == (1, "Error: Neutron does not answer since 12:00.\n")


@pytest.mark.parametrize("answer", [(200, b"<html>"), (500, b""), (502, [])])
def test_another_program_on_the_socket_is_told_apart(socket: Path, answer: tuple[int, Any]) -> None:
    done = ask(socket, answer, "GET /v1/status", "status")
    assert done.exit_code == 1
    assert "another version of it, or another program" in done.stderr


def test_a_daemon_that_does_not_run_is_one_sentence(socket: Path) -> None:
    told = f"Error: Kurier's daemon is not running: nobody listens on {socket}. Start it with "
    done = kurier(socket, "status")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
    with answering(socket, {}):
        pass  # leaves the socket's file behind, as a killed daemon does
    assert kurier(socket, "network", "list").stderr.startswith(told)


def test_a_file_that_is_no_socket(socket: Path) -> None:
    socket.touch()
    assert kurier(socket, "status").exit_code == 1


def test_columns_that_nobody_knew_come_last() -> None:
    assert as_table([{"x_y": 1, "b": 2}, {"b": 3}], ["a", "b"]) == "B  X Y\n2  1\n3  -"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (True, "yes"),
        (1.5, "1.5"),
        ({"a": [1, "b"]}, "a=1, b"),
        ([], "-"),
    ],
)
def test_values_in_words(value: object, text: str) -> None:
    assert cell(value) == text


def test_lists_of_things_are_indented() -> None:
    assert as_outline({"jobs": [{"kind": "drop"}]}) == "jobs:\n  - kind=drop"
