# SPDX-License-Identifier: Apache-2.0
"""What a cloud does that no working cloud does on cue: refuse connections, hang, lose answers.

A server on the loopback plays it, over real sockets; what Neutron itself does is tried against
Neutron in `tests/cloud`.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion

from kurier.cloud.bounds import Bounds
from kurier.cloud.calls import Call
from kurier.cloud.neutron import NeutronCloud
from kurier.cloud.reading import whole_list
from kurier.cloud.transport import Transport
from kurier.cloud.wire import WireNetwork
from kurier.model.errors import Code, KurierError
from kurier.model.ids import NetworkId
from kurier.model.neutron import NetworkSpec, PortSpec
from kurier.service.protocols import Cloud

SHORT = Bounds(connect=1.0, read=1.5, workers=4)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NET = "1aa03d6a-fc62-43e3-b688-7186fa0d339d"
NETWORK = {"id": NET, "name": "n", "mtu": 1442, "tags": ["t"], "revision_number": 3}
GET = Call("GET", f"/networks/{NET}", "show it")
POST = Call("POST", "/networks", "create it", body={"network": {}})


class Noon:
    """It is noon until somebody says otherwise, but time goes by."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return time.monotonic()


class Scripted(ThreadingHTTPServer):
    """Answers in turn as the script says; the last line holds for all that follow.

    A line is a status with a body, or None: close the connection without an answer.
    """

    daemon_threads = True

    def __init__(self, script: list[tuple[int, object] | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.seen: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def turn(self, method: str, path: str, if_match: str) -> tuple[int, object] | None:
        self.seen.append((method, path, if_match))
        return self.script[min(len(self.seen), len(self.script)) - 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        assert isinstance(self.server, Scripted)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.turn(self.command, self.path, self.headers.get("If-Match", ""))
        if answer is None:
            self.close_connection = True
            return
        status, body = answer
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Openstack-Request-Id", "req-7")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


Play = Callable[[list[tuple[int, object] | None]], Scripted]


@pytest.fixture
def play() -> Iterator[Play]:
    servers: list[Scripted] = []

    def start(script: list[tuple[int, object] | None]) -> Scripted:
        server = Scripted(script)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def region(url: str) -> Callable[[], CloudRegion]:
    """A cloud that asks for no token."""
    config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
    return lambda: config.get_one(auth_type="none", auth={"endpoint": url})


def transport(url: str) -> Transport:
    return Transport(region(url), SHORT, Noon())


def error_of(way: Transport, call: Call) -> KurierError:
    with pytest.raises(KurierError) as caught:
        way.send(call)
    return caught.value


def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    assert isinstance(port, int)
    return port


def test_neutron_begins_at_v2(play: Play) -> None:
    server = play([(200, {"network": NETWORK})])
    transport(server.url + "/").send(GET)
    transport(server.url + "/v2.0").send(GET)
    assert [path for _, path, _ in server.seen] == [f"/v2.0/networks/{NET}"] * 2


def test_a_get_whose_answer_is_lost_is_repeated(play: Play) -> None:
    server = play([None, None, (200, {"network": NETWORK})])
    way = transport(server.url)
    assert way.send(GET)
    assert len(server.seen) == 3
    assert way.counter.calls == {("GET", "networks"): 3}
    assert way.record.health.away_since is None
    assert way.record.health.last_ok == NOON


def test_a_get_is_not_repeated_for_ever(play: Play) -> None:
    server = play([(503, None)])
    assert error_of(transport(server.url), GET).code is Code.CLOUD_AWAY
    assert len(server.seen) == 3


def test_a_post_whose_answer_is_lost_is_never_repeated(play: Play) -> None:
    server = play([None])
    way = transport(server.url)
    error = error_of(way, POST)
    assert error.code is Code.CLOUD_AWAY
    assert f"Neutron at {server.url}/v2.0 does not answer since 2026-05-01" in error.sentence
    assert len(server.seen) == 1
    assert way.counter.errors == {"cloud-away": 1}


def test_a_refusal_is_an_answer(play: Play) -> None:
    body = {
        "NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['x']."}
    }
    way = transport(play([(409, body)]).url)
    assert error_of(way, POST).code is Code.QUOTA
    assert way.record.health.last_ok == NOON
    assert way.record.health.last_error == ""


HIDDEN = {"type": "HTTPNotFound", "message": "The resource could not be found.", "detail": ""}


def test_what_a_neutron_that_is_just_back_hides_is_asked_for_again(play: Play) -> None:
    """For a moment after its start it judges by policies that it has not loaded."""
    server = play([(503, None), (503, None), (503, None), (404, HIDDEN), (200, NETWORK)])
    way = transport(server.url)
    assert error_of(way, GET).code is Code.CLOUD_AWAY
    assert way.send(GET)


def test_so_is_what_a_neutron_hides_that_is_met_for_the_first_time(play: Play) -> None:
    """Kurier and Neutron may have started at the same moment."""
    server = play([(404, HIDDEN), (200, NETWORK)])
    assert transport(server.url).send(GET)
    assert len(server.seen) == 2


def test_what_a_policy_hides_is_not_found_at_once(play: Play) -> None:
    clock = Noon()
    server = play([(200, NETWORK), (404, HIDDEN)])
    way = Transport(region(server.url), SHORT, clock)
    assert way.send(GET)
    clock.moment += timedelta(minutes=1)
    assert error_of(way, GET).code is Code.NOT_FOUND
    assert len(server.seen) == 2


def test_nobody_listens() -> None:
    way = transport(f"http://127.0.0.1:{closed_port()}")
    error = error_of(way, GET)
    assert error.code is Code.CLOUD_AWAY
    assert error.__cause__ is not None
    assert way.record.health.away_since == NOON
    assert way.record.health.last_error == error.sentence


def test_a_server_that_hangs_is_given_up() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=8)) as mute:
        error = error_of(transport(f"http://127.0.0.1:{mute.getsockname()[1]}"), GET)
    assert error.code is Code.CLOUD_AWAY


def test_keystone_away_is_told_apart_from_neutron() -> None:
    url = f"http://127.0.0.1:{closed_port()}/v3"
    auth = {"auth_url": url, "username": "alice", "password": "s3cret", "project_name": "p"}
    config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
    way = Transport(lambda: config.get_one(auth_type="password", auth=auth), SHORT, Noon())
    error = error_of(way, GET)
    assert error.code is Code.CLOUD_AWAY
    assert error.sentence.startswith(f"Keystone at {url} does not answer since")
    assert "s3cret" not in error.sentence


def test_settings_that_are_refused_are_read_anew() -> None:
    tries: list[str] = []

    def broken() -> CloudRegion:
        tries.append("read")
        raise KurierError(Code.CREDENTIALS, "No cloud is named.")

    way = Transport(broken, SHORT, Noon())
    assert error_of(way, GET).sentence == "No cloud is named."
    assert error_of(way, POST).code is Code.CREDENTIALS
    assert tries == ["read"] * 2


@pytest.mark.parametrize("body", ["<html>", {"networks": 5}, {"other": []}, {"networks": [{}]}])
def test_an_answer_that_is_not_neutrons_is_an_error(play: Play, body: object) -> None:
    way = transport(play([(200, body)]).url)
    with pytest.raises(KurierError) as caught:
        whole_list(way, Call("GET", "/networks", "list"), "networks", WireNetwork)
    assert caught.value.code is Code.CLOUD_ERROR


def page(*ids: str, more: bool) -> tuple[int, object]:
    links = [{"rel": "next", "href": "http://elsewhere/"}] if more else []
    return 200, {"networks": [NETWORK | {"id": name} for name in ids], "networks_links": links}


def test_a_list_is_read_to_its_last_page(play: Play) -> None:
    server = play([page("a", "b", more=True), page("c", "d", more=True), page("e", more=False)])
    call = Call("GET", "/networks", "list", params=(("tags", "x,y"),))
    found = whole_list(transport(server.url), call, "networks", WireNetwork, 2)
    assert [network.id for network in found] == ["a", "b", "c", "d", "e"]
    assert server.seen[1][1] == "/v2.0/networks?tags=x%2Cy&limit=2&marker=b"


@pytest.mark.parametrize("second", [(500, None), (404, {"NeutronError": {"type": "NotFound"}})])
def test_a_list_with_a_page_missing_is_no_list(play: Play, second: tuple[int, object]) -> None:
    way = transport(play([page("a", more=True), second]).url)
    with pytest.raises(KurierError) as caught:
        whole_list(way, Call("GET", "/networks", "list"), "networks", WireNetwork)
    assert caught.value.code is Code.CLOUD_ERROR


def test_a_list_that_goes_round_in_circles_is_an_error(play: Play) -> None:
    way = transport(play([page("a", more=True)]).url)
    with pytest.raises(KurierError) as caught:
        whole_list(way, Call("GET", "/networks", "list"), "networks", WireNetwork)
    assert caught.value.code is Code.CLOUD_ERROR


async def test_the_revision_is_sent_where_the_cloud_compares_it(play: Play) -> None:
    extensions = {"extensions": [{"alias": "revision-if-match"}]}
    server = play([(200, extensions), (204, None)])
    cloud: Cloud = (room := NeutronCloud(region(server.url), SHORT, Noon()))
    await cloud.delete_network(NetworkId(NET), 7)
    await cloud.delete_network(NetworkId(NET))
    assert [seen[2] for seen in server.seen] == ["", "revision_number=7", ""]
    room.close()


async def test_nothing_is_contacted_before_the_first_call(play: Play) -> None:
    server = play([(201, {"network": NETWORK})])
    room = NeutronCloud(region(server.url), SHORT, Noon())
    assert (server.seen, room.health.url, dict(room.calls)) == ([], "", {})
    network = await room.create_network(NetworkSpec("n", "d"))
    assert (network.mtu, network.revision, network.tags) == (1442, 3, frozenset({"t"}))
    assert room.health.url == server.url + "/v2.0"
    assert room.call_seconds.keys() == {("POST", "networks")}
    room.close()


async def test_a_cloud_that_takes_no_tags_on_create_is_asked_once(play: Play) -> None:
    text = "Attribute 'tags' not allowed in POST"
    refused = (400, {"NeutronError": {"type": "HTTPBadRequest", "message": text}})
    port = (201, {"port": {"id": NET, "network_id": NET, "mac_address": "m"}})
    server = play([refused, port, (200, {}), port, (200, {})])
    room = NeutronCloud(region(server.url), SHORT, Noon())
    spec = PortSpec(NetworkId(NET), "p", "d", "compute:kuryr", "", (), tags=("a:b",))
    assert [(await room.create_port(spec)).tags for _ in range(2)] == [frozenset({"a:b"})] * 2
    assert [seen[0] for seen in server.seen] == ["POST", "POST", "PUT", "POST", "PUT"]
    room.close()


async def test_a_port_whose_tags_fail_is_deleted_again(play: Play) -> None:
    port = (201, {"port": {"id": NET, "network_id": NET, "mac_address": "m"}})
    text = "Attribute 'tags' not allowed in POST"
    refused = (400, {"NeutronError": {"type": "HTTPBadRequest", "message": text}})
    server = play([refused, port, (500, {"NeutronError": "broken"}), (204, None)])
    room = NeutronCloud(region(server.url), SHORT, Noon())
    spec = PortSpec(NetworkId(NET), "p", "d", "compute:kuryr", "", (), tags=("a:b",))
    with pytest.raises(KurierError) as caught:
        await room.create_port(spec)
    assert caught.value.code is Code.CLOUD_ERROR
    assert server.seen[-1][:2] == ("DELETE", f"/v2.0/ports/{NET}")
    room.close()
