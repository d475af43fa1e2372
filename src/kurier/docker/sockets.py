# SPDX-License-Identifier: Apache-2.0
"""Where the engine finds the driver: a unix socket, and a spec file for a listener on TCP."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kurier.model.errors import Code, KurierError


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: what the listener shows, and who signs the clients that it lets in."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path

    def context(self) -> ssl.SSLContext:
        """The server's side; raises BAD_REQUEST where a file does not serve."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.cert_file, self.key_file)
            context.load_verify_locations(self.client_ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise KurierError(
                Code.BAD_REQUEST, f"The listener's TLS files do not serve: {error}."
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class TcpListener:
    """A listener on TCP; without `tls` for the loopback addresses only."""

    host: str
    port: int
    tls: Tls | None
    spec_dir: Path


class UnixSocket:
    """A listening unix socket at a path, put there whole: bound, permitted, then renamed.

    A socket that nobody answers on is replaced; raises CONFLICT where somebody does, INTERNAL
    where the system refuses.
    """

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._refuse_living()
            self.socket = self._listen(mode)
            self._inode = path.stat().st_ino
        except OSError as error:
            raise KurierError(
                Code.INTERNAL, f"Kurier cannot listen on {path}: {error.strerror or error}."
            ) from error

    def remove(self) -> None:
        """Takes the path away, unless a successor has put its own there."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def _refuse_living(self) -> None:
        if not self.path.exists():
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                return
        raise KurierError(
            Code.CONFLICT,
            f"Somebody answers on {self.path} already: stop that daemon, or give this one another "
            "name.",
        )

    def _listen(self, mode: int) -> socket.socket:
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(fresh))
            fresh.chmod(mode)
            listener.listen(128)
            fresh.rename(self.path)
        except BaseException:
            listener.close()
            fresh.unlink(missing_ok=True)
            raise
        listener.setblocking(False)
        return listener


def write_spec(name: str, listener: TcpListener) -> Path:
    """Writes `NAME.json` for the plugin discovery of this host's engine and returns its path.

    That engine shows the listener's own certificate; an engine elsewhere has a spec of its own.
    The form is told at https://docs.docker.com/engine/extend/plugin_api/#plugin-discovery.
    """
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    scheme = "https" if listener.tls else "tcp"
    spec: dict[str, object] = {"Name": name, "Addr": f"{scheme}://{host}:{listener.port}"}
    if listener.tls:
        spec["TLSConfig"] = {
            "InsecureSkipVerify": False,
            "CAFile": str(listener.tls.client_ca_file),
            "CertFile": str(listener.tls.cert_file),
            "KeyFile": str(listener.tls.key_file),
        }
    listener.spec_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = listener.spec_dir / f"{name}.json"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(spec)) + b"\n")
    fresh.rename(path)
    return path
