# SPDX-License-Identifier: Apache-2.0
"""Rules for one value and for several together, and the machine's part in it."""

from pathlib import Path

import pytest

from kurier.config import load, rules
from kurier.config.machine import machine_problems, unreadable, unwritable

NOTHING = Path("/dev/null")
TRIO = {
    "daemon.tls_cert": "/pki/cert.pem",
    "daemon.tls_key": "/pki/key.pem",
    "daemon.tls_client_ca": "/pki/ca.pem",
}


@pytest.mark.parametrize(
    "flags",
    [
        {"daemon.listen": "10.0.0.1:9000", **TRIO},
        {"daemon.listen": "127.0.0.1:9000"},
        {"daemon.listen": "[::1]:9000"},
        {"daemon.listen": "localhost:9000"},
        {"daemon.request_timeout": "5", "datapath.wire_timeout": "4"},
        {"reconcile.grace": "36"},
        {"reconcile.grace": "0", "reconcile.short_grace": "true"},
    ],
)
def test_settings_that_agree(flags: dict[str, str]) -> None:
    assert load(NOTHING, flags=flags).problems == ()


@pytest.mark.parametrize(
    ("flags", "where", "word"),
    [
        ({"daemon.listen": "10.0.0.1:9000"}, "daemon.listen", "daemon.tls_key"),
        ({"daemon.listen": "[::]:9000"}, "daemon.listen", "daemon.tls_key"),
        (
            {"daemon.listen": "localhost:9000", "daemon.tls_key": "/k"},
            "daemon.tls_key",
            "daemon.tls_cert and daemon.tls_client_ca",
        ),
        ({"daemon.tls_cert": "/c"}, "daemon.tls_cert", "no use without daemon.listen"),
        (
            {"daemon.request_timeout": "8"},
            "datapath.wire_timeout",
            "below daemon.request_timeout, 8 s",
        ),
        ({"cloud.connect_timeout": "9"}, "cloud.connect_timeout", "cloud.read_timeout, 8 s"),
        ({"reconcile.grace": "35.9"}, "reconcile.grace", "below 36 s"),
        (
            {"daemon.request_timeout": "9.9", "reconcile.grace": "39"},
            "reconcile.grace",
            "below 39.6 s, four times daemon.request_timeout",
        ),
        (
            {"daemon.listen": "[::1]:9", "daemon.metrics_listen": "[::1]:9"},
            "daemon.metrics_listen",
            "same address",
        ),
    ],
)
def test_settings_that_disagree(flags: dict[str, str], where: str, word: str) -> None:
    (problem,) = load(NOTHING, flags=flags).problems
    assert problem.where.startswith(f"{where} (")
    assert word in problem.sentence


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("daemon.driver_name", ["kuryr", "kuryr.2_b-c"], ["", "-k", "a/b", "ku ryr"]),
        ("daemon.state_dir", ["/s"], ["", "s", "~/s"]),
        (
            "daemon.metrics_listen",
            ["", "[::]:1", "h:65535"],
            ["h", ":1", "h:0", "h:65536", "::1:80", "[::1:80", "h:x"],
        ),
        ("daemon.environment", ["A:B", "x" * 64], ["a b", "a,b", "a/b", "x" * 65]),
        ("engine.docker_host", ["unix:///s", "tcp://h:1"], ["", "/s", "unix://s", "http://h"]),
        (
            "datapath.ovsdb",
            ["unix:/s", "tcp:h:6640", "ssl:[::1]:6640"],
            ["", "/s", "unix:s", "tcp:h"],
        ),
        ("datapath.integration_bridge", ["br-int", "x" * 15], ["", "x" * 16, "a b", "a/b", "a:b"]),
        ("datapath.interface_prefix", ["eth", "x" * 12], ["", "x" * 13]),
        ("network.name_prefix", ["", "x" * 63], ["x" * 64]),
    ],
)
def test_what_a_value_must_be_like(name: str, good: list[str], bad: list[str]) -> None:
    assert [v for v in good if load(NOTHING, flags={name: v}).problems] == []
    assert [v for v in bad if not load(NOTHING, flags={name: v}).problems] == []


def test_an_address_is_split_where_its_port_begins() -> None:
    assert rules.split_host_and_port("[fd00::1]:80") == ("fd00::1", 80)
    assert rules.split_host_and_port("host:80") == ("host", 80)


def test_files_that_are_missing_or_open_to_others_are_named(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("x")
    key.chmod(0o640)
    flags = {
        "daemon.listen": "127.0.0.1:9000",
        "daemon.tls_cert": str(tmp_path / "none.pem"),
        "daemon.tls_key": str(key),
        "daemon.tls_client_ca": str(tmp_path),
        "cloud.ca_file": str(key),
        "daemon.plugin_dir": str(tmp_path / "plugins"),
        "daemon.state_dir": str(key / "state"),
        "daemon.admin_socket": str(tmp_path / "kurier.sock"),
        "daemon.spec_dir": str(tmp_path),
    }
    loaded = load(NOTHING, flags=flags)
    assert [str(problem) for problem in machine_problems(loaded.settings, loaded.origins)] == [
        f"daemon.tls_cert (flag --daemon-tls-cert): There is no file {tmp_path}/none.pem.",
        f"daemon.tls_client_ca (flag --daemon-tls-client-ca): {tmp_path} is not a file.",
        f"daemon.tls_key (flag --daemon-tls-key): Others than its owner may read or change {key}: "
        "make it mode 0600.",
        f"daemon.state_dir (flag --daemon-state-dir): {key} is not a folder.",
    ]


def test_what_root_can_read_and_make_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert unreadable(file) is None
    assert unwritable(tmp_path / "new" / "newer") is None
