# SPDX-License-Identifier: Apache-2.0
"""HTTP over a unix socket, with one sentence for each way it can fail."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PATIENCE = 15.0  # seconds; a reconcile waits for the cloud


class Unanswered(Exception):
    """A request that got no good answer; the text is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    body: bytes
    headers: http.client.HTTPMessage


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def request(
    path: str, method: str, target: str, body: bytes | None = None, timeout: float = _PATIENCE
) -> Answer:
    """One request to the server on the unix socket `path`. Raises `OSError`, `HTTPException`."""
    connection = _UnixConnection(path, timeout)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return Answer(response.status, response.read(), response.headers)
    finally:
        connection.close()


def ask_daemon(
    path: str,
    method: str,
    target: str,
    timeout: float = _PATIENCE,
    said: Mapping[str, object] | None = None,
) -> Any:
    """One request to the daemon's admin socket; gives the JSON value. Raises `Unanswered`."""
    body = json.dumps(said or {}).encode() if method == "POST" else None
    try:
        answer = request(path, method, target, body, timeout)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unanswered(
            f"Kurier's daemon is not running: nobody listens on {path}. Start it with "
            "`systemctl start kurier`, or `kurier serve` by hand."
        ) from error
    except PermissionError as error:
        raise Unanswered(f"{path} is root's alone: run this as root.") from error
    except TimeoutError as error:
        raise Unanswered(f"The daemon on {path} did not answer within {timeout:g} s.") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"The daemon on {path} broke the connection off: {error}.") from error
    return _decoded(path, target, answer)


def _decoded(path: str, target: str, answer: Answer) -> Any:
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if answer.status == 200 and value is not None:
        return value
    told = value.get("Err") or value.get("error") if isinstance(value, dict) else None
    if told:
        raise Unanswered(str(told))
    raise Unanswered(
        f"{path} answered {target} with status {answer.status} and nothing that Kurier's daemon "
        "would say: another version of it, or another program."
    )
