# SPDX-License-Identifier: Apache-2.0
"""`kurier serve` as the story's own process, with a state folder of its own."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from demo.place import Place
from demo.telling import Mismatch, Teller

_CONFIGURATION = """\
[daemon]
state_dir = "{folder}/state"
admin_socket = "{folder}/kurier.sock"

[cloud]
name = "{cloud}"

[datapath]
ovsdb = "{ovsdb}"
"""


class Daemon:
    """The daemon of the story's place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self._place.plugin_dir / "kuryr.sock"

    @property
    def log(self) -> Path:
        return self._place.folder / "kurier.log"

    def configure(self) -> str:
        """Writes the configuration and returns it."""
        folder = self._place.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = _CONFIGURATION.format(
            folder=folder, cloud=self._place.env.get("OS_CLOUD", ""), ovsdb=self._place.ovsdb
        )
        (folder / "kurier.toml").write_text(text)
        return text

    def start(self) -> None:
        """Starts it and waits for its socket; raises Mismatch with its last words."""
        if self._answers():
            raise Mismatch(
                f"Somebody answers on {self.socket} already: stop that daemon, or tell the story "
                "on another host (--host)."
            )
        argv = ("kurier", "serve")
        enter = self._place.host.enter if self._place.host else ()
        env = dict(self._place.env)
        if self._place.host:
            env["DOCKER_HOST"] = "unix:///var/run/docker.sock"
        with self.log.open("wb") as log:
            # A session of its own: an interrupt at the terminal is for the story, which needs the
            # daemon to clean up.
            self._process = subprocess.Popen(
                [*enter, *argv], env=env, stdout=log, stderr=log, start_new_session=True
            )
        self._await_socket(20.0)

    def stop(self) -> None:
        """Ends it as systemd would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def forget(self) -> None:
        """Removes its folder, once nothing is left for it to do."""
        shutil.rmtree(self._place.folder, ignore_errors=True)

    def last_words(self) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def _await_socket(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._answers():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > end:
                raise Mismatch(f"`kurier serve` does not serve {self.socket}.")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True


def settled(teller: Teller) -> bool:
    """Whether the daemon has told Neutron everything; waits for it for some seconds."""
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        status = teller.quietly("kurier", "status", "--json")
        if '"depth": 0' in status:
            return True
        time.sleep(0.3)
    return False
