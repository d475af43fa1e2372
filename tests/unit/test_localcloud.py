# SPDX-License-Identifier: Apache-2.0
"""The parts of the local cloud that could harm the machine it runs on: processes, files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from localcloud import clouds_yaml, debs
from localcloud.errors import CloudError
from localcloud.layout import Layout, write_private
from localcloud.locks import held
from localcloud.process import Daemon, boot_id, process_stat
from localcloud.settings import Settings, load, merge


def sleeper(folder: Path, *argv: str) -> Daemon:
    words = argv or ("/bin/sleep", "300")
    return Daemon("sleeper", words, folder / "sleeper.json", folder / "sleeper.log")


def test_a_daemon_starts_once_and_is_gone_after_stop(tmp_path: Path) -> None:
    daemon = sleeper(tmp_path)
    assert daemon.start()
    pid = daemon.pid()
    assert not daemon.start()
    assert daemon.pid() == pid
    assert daemon.stop()
    assert not daemon.running
    assert not daemon.record.exists()


def test_a_pid_given_to_another_process_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "300"], start_new_session=True) as stranger:
        daemon = sleeper(tmp_path)
        stat = process_stat(stranger.pid)
        assert stat is not None
        record = {"pid": stranger.pid, "start": stat.start - 1, "boot": boot_id()}
        daemon.record.write_text(json.dumps(record))
        assert not daemon.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_record_of_an_earlier_boot_names_nobody(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "300"], start_new_session=True) as stranger:
        daemon = sleeper(tmp_path)
        stat = process_stat(stranger.pid)
        assert stat is not None
        record = {"pid": stranger.pid, "start": stat.start, "boot": "another"}
        daemon.record.write_text(json.dumps(record))
        assert not daemon.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_what_a_killed_daemon_leaves_behind_goes_with_stop(tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    script = f"sleep 300 & echo $! > {child_file}.new; mv {child_file}.new {child_file}; wait"
    daemon = sleeper(tmp_path, "/bin/sh", "-c", script)
    daemon.start()
    daemon.wait_ready(child_file.exists, 20)
    daemon.kill()
    child = int(child_file.read_text())
    left = process_stat(child)
    assert left is not None
    assert left.state not in "ZX"
    daemon.stop()
    gone = process_stat(child)
    assert gone is None or gone.state in "ZX"


def test_a_program_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    daemon = sleeper(tmp_path, "/nonexistent/program")
    daemon.start()
    with pytest.raises(CloudError, match="cannot be started: No such file"):
        daemon.wait_ready(lambda: False, 20)


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_other_clouds_of_the_user_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    others = {"clouds": {"mine": {"auth": {"auth_url": "https://cloud.example"}}}, "x": 1}
    write_private(clouds_yaml.user_file(), yaml.safe_dump(others))
    layout = Layout(Settings(tmp_path / "state"))
    assert clouds_yaml.write(layout) == "written"
    assert clouds_yaml.write(layout) == "there already"
    written = yaml.safe_load(clouds_yaml.user_file().read_text())
    assert set(written["clouds"]) == {"mine", "kurier-local", "kurier-local-member"}
    clouds_yaml.remove(layout)
    assert yaml.safe_load(clouds_yaml.user_file().read_text()) == others


def test_a_user_without_clouds_has_none_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    layout = Layout(Settings(tmp_path / "state"))
    clouds_yaml.write(layout)
    clouds_yaml.remove(layout)
    assert not clouds_yaml.user_file().exists()


def test_settings_come_back_as_written_and_only_hosts_change(tmp_path: Path) -> None:
    made = Settings(tmp_path, hosts=2, neutron_port=9999)
    made.write()
    stored = load(tmp_path)
    assert stored == made
    assert merge(stored, Settings(tmp_path, hosts=3, neutron_port=9999)).hosts == 3
    with pytest.raises(CloudError, match="reset"):
        merge(stored, Settings(tmp_path, hosts=2))


def test_the_mirror_is_read_from_both_forms_of_sources(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.example bookworm main\n"
        "deb [signed-by=/k.gpg] http://one.example/debian/ bookworm main contrib\n"
        "deb http://other.example stable tool\n"
    )
    (parts / "debian.sources").write_text(
        "Types: deb\nURIs: http://two.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\n\nTypes: deb\nURIs: http://x.example\nSuites: y\nComponents: z\n"
    )
    assert list(debs.sources(tmp_path)) == [
        ("http://one.example/debian/", ["bookworm"]),
        ("http://two.example/debian", ["bookworm", "bookworm-updates"]),
    ]


_HOLD = """
import sys
from pathlib import Path
from localcloud.locks import held
with held(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_what_another_process_holds_is_waited_for_also_by_threads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    order: list[str] = []

    def take() -> None:
        with held(path):
            order.append("taken")

    argv = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"in\n"
        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert all(thread.is_alive() for thread in threads)
        order.append("let go")
        other.communicate()
    for thread in threads:
        thread.join(10)
    assert order == ["let go", "taken", "taken"]
