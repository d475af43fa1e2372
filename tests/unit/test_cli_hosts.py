# SPDX-License-Identifier: Apache-2.0
"""`kurier host …`: what goes is shown first, and nothing is asked of the daemon without a yes."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kurier.cli.main import main
from tests.unit.admin_server import answering

LOOK, FORGET = "POST /v1/hosts/look", "POST /v1/hosts/forget"
PORT = {"port": "p1", "name": "web", "network": "n1", "addresses": ["10.0.0.5"]}
NETWORK = {"docker_id": "d1", "neutron_id": "n1", "neutron_name": "kuryr-net-d1", "others": 0}
LEFT: dict[str, Any] = {
    "host": "host2",
    "alive": "no",
    "ports": [PORT],
    "given_back": [],
    "networks": [NETWORK, {**NETWORK, "docker_id": "d2", "others": 2}],
    "unclaimed": [],
    "tags": 1,
    "notes": ["Docker network d3 stays."],
}
NOTHING = {**LEFT, "ports": [], "networks": [], "tags": 0}


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "kurier.sock"


def forget(
    socket: Path, answers: dict[str, Any], *options: str, said: str = ""
) -> tuple[Result, list[str]]:
    env = {"KURIER_DAEMON_ADMIN_SOCKET": str(socket), "KURIER_CONFIG": "/none.toml"}
    told = {request: (200, answer) for request, answer in answers.items()}
    with answering(socket, told) as asked:
        command = ["host", "forget", "host2", *options]
        return CliRunner().invoke(main, command, env=env, input=said), asked


def test_what_goes_is_shown_and_a_no_changes_nothing(socket: Path) -> None:
    done, asked = forget(socket, {LOOK: LEFT}, said="n\n")
    assert asked == [LOOK]
    assert done.exit_code == 1
    assert done.output.startswith(
        "Host host2: Neutron's agents there are dead.\n"
        "  port p1 (web, 10.0.0.5) is deleted\n"
        "  Docker network d1 on kuryr-net-d1 (n1) ends\n"
        "  Docker network d2 on kuryr-net-d1 (n1) stays with 2 more that share it\n"
        "  tags taken off besides: 1\n"
        "  Docker network d3 stays.\n"
        "Take all this away? [y/N]: n\n"
    )


@pytest.mark.parametrize(("options", "said"), [((), "y\n"), (("--yes",), "")])
def test_a_yes_takes_it_away_and_tells_what_had_to_stay(
    socket: Path, options: tuple[str, ...], said: str
) -> None:
    done_with = {**LEFT, "notes": [*LEFT["notes"], "A VM uses n1."]}
    done, asked = forget(socket, {LOOK: LEFT, FORGET: done_with}, *options, said=said)
    assert asked == [LOOK, FORGET]
    assert (done.exit_code, done.stderr) == (0, "A VM uses n1.\n")


def test_programs_get_what_was_taken_away_and_nothing_else(socket: Path) -> None:
    done, _ = forget(socket, {LOOK: LEFT, FORGET: LEFT}, "--yes", "--json")
    assert json.loads(done.stdout) == LEFT


def test_nothing_is_asked_for_where_there_is_nothing(socket: Path) -> None:
    done, asked = forget(socket, {LOOK: NOTHING}, "--yes")
    assert asked == [LOOK]
    assert done.output.endswith("There is nothing to take away: see `kurier host list`.\n")
