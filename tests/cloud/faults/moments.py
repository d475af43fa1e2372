# SPDX-License-Identifier: Apache-2.0
"""An HTTP go-between that passes every call on, remembers it, and strikes at a chosen moment.

It stands before the plugin's socket or before Neutron, both of them real, so that a test can stop
or kill something exactly when a given call has arrived, was carried out, or was answered. It can
also falsify what the real part answers.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class Moment(Enum):
    """When to strike, seen from the one who called."""

    ARRIVED = "before the call is passed on"
    DONE = "after it was carried out, its answer lost"
    ANSWERED = "after the answer was passed back"


@dataclass(frozen=True)
class Call:
    """One call that came by. `status` 0 where nobody answered."""

    method: str
    path: str
    body: bytes
    status: int = 0

    @property
    def name(self) -> str:
        return self.path.lstrip("/")

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body.strip() else None


@dataclass(frozen=True)
class Answer:
    """What a call is answered with."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes


def out_of_order(answer: Answer) -> Answer:
    """A lie for :meth:`Broker.falsifying`: what was done is told as Neutron's own failure."""
    return replace(answer, status=500, content=b'{"NeutronError": {"message": "out of order"}}')


@dataclass
class _Strike:
    calls: re.Pattern[str]
    moment: Moment
    action: Callable[[], None]
    left: int = 1
    struck: threading.Event = field(default_factory=threading.Event)


class _Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    daemon_threads = True
    block_on_close = False
    broker: Broker

    def handle_error(self, request: object, client_address: object) -> None:
        """A side that goes away in the middle of a call is what these tests are about."""


class _UnixServer(_Server, socketserver.UnixStreamServer):
    pass


class _TcpServer(_Server, socketserver.TCPServer):
    allow_reuse_address = True


class Broker:
    """The go-between; `open_back` makes a connection to the real part."""

    def __init__(self, open_back: Callable[[], http.client.HTTPConnection]) -> None:
        self.open_back = open_back
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        self._strikes: list[_Strike] = []
        self._lies: list[tuple[re.Pattern[str], Callable[[Answer], Answer | None]]] = []
        self.open: set[socket.socket] = set()
        """Connections of those who call; an engine keeps one for its next call."""

    @property
    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def strike(
        self, calls: str, moment: Moment, action: Callable[[], None], times: int = 1
    ) -> threading.Event:
        """Run `action` at that moment of the next `times` calls whose "METHOD /path" fits the
        pattern `calls`; the event returned is set when it first did.
        """
        one = _Strike(re.compile(calls), moment, action, times)
        with self._lock:
            self._strikes.append(one)
        return one.struck

    @contextmanager
    def falsifying(self, calls: str, lie: Callable[[Answer], Answer | None]) -> Iterator[None]:
        """Within the block, calls whose "METHOD /path" fits the pattern `calls` get what `lie`
        makes of the real answer; no answer where it makes None.
        """
        self._lies.append((re.compile(calls), lie))
        try:
            yield
        finally:
            self._lies.clear()

    def told(self, line: str, answer: Answer | None) -> Answer | None:
        """The answer as the one who called shall get it."""
        for calls, lie in list(self._lies):
            if answer is not None and calls.search(line):
                answer = lie(answer)
        return answer

    def forget(self) -> None:
        """Drops what was remembered, and the strikes that never came to pass."""
        with self._lock:
            self._calls.clear()
            self._strikes.clear()

    def note(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def due(self, line: str, moment: Moment) -> bool:
        """Carries out what is due for this call now; whether anything was."""
        with self._lock:
            found = [
                one
                for one in self._strikes
                if one.left > 0 and one.moment is moment and one.calls.search(line)
            ]
            for one in found:
                one.left -= 1
        for one in found:
            one.action()
            one.struck.set()
        return bool(found)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.broker.open.add(self.connection)

    def finish(self) -> None:
        self.server.broker.open.discard(self.connection)
        super().finish()

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self._pass_on()

    def _pass_on(self) -> None:
        broker, line = self.server.broker, f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        broker.due(line, Moment.ARRIVED)
        answer = broker.told(line, self._ask(broker, body))
        broker.note(Call(self.command, self.path, body, answer.status if answer else 0))
        if broker.due(line, Moment.DONE) or answer is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)
        self.wfile.flush()
        broker.due(line, Moment.ANSWERED)

    def _ask(self, broker: Broker, body: bytes) -> Answer | None:
        connection = broker.open_back()
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("plugin")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


@contextmanager
def before_plugin(front: Path, back: Path) -> Iterator[Broker]:
    """Between an engine, which finds `front`, and the plugin, which serves `back`."""
    broker = Broker(lambda: _UnixConnection(back))
    front.parent.mkdir(parents=True, exist_ok=True)
    front.unlink(missing_ok=True)
    try:
        with _serving(_UnixServer(str(front), _Handler), broker):
            yield broker
    finally:
        front.unlink(missing_ok=True)


@contextmanager
def before_http(address: str, host: str, port: int) -> Iterator[tuple[Broker, str]]:
    """Between Kurier and an HTTP service; yields the URL to use instead."""
    broker = Broker(lambda: http.client.HTTPConnection(host, port, timeout=60))
    server = _TcpServer((address, 0), _Handler)
    with _serving(server, broker):
        yield broker, f"http://{address}:{server.server_address[1]}"


@contextmanager
def _serving(server: _Server, broker: Broker) -> Iterator[None]:
    server.broker = broker
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for connection in list(broker.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
