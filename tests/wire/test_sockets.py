# SPDX-License-Identifier: Apache-2.0
"""Where the server listens, and what it leaves when it stops."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from kurier.docker.meter import Meter
from kurier.docker.server import PluginServer
from kurier.docker.sockets import TcpListener, Tls, UnixSocket
from kurier.model.errors import Code, KurierError
from tests.wire.conftest import Wire, settings
from tests.wire.scripted import ScriptedDriver

LEAVE = {"NetworkID": "n" * 64, "EndpointID": "e" * 64}


def server(folder: Path, driver: ScriptedDriver | None = None, **changes: object) -> PluginServer:
    return PluginServer(
        driver or ScriptedDriver(), settings(folder, **changes), Meter(CollectorRegistry())
    )


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """One certificate that is its own authority, for server and client alike."""
    folder = tmp_path_factory.mktemp("tls")
    files = Tls(folder / "cert.pem", folder / "key.pem", folder / "cert.pem")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    paths = ["-out", str(files.cert_file), "-keyout", str(files.key_file)]
    subprocess.run([*command.split(), *paths], check=True, capture_output=True)
    return files


async def test_the_socket_is_roots_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    one = server(tmp_path)
    await one.start()
    path = tmp_path / "kuryr.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    await one.stop()
    assert left(tmp_path) == []


async def test_a_socket_that_nobody_answers_on_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "kuryr.sock"))
    one = server(tmp_path)
    await one.start()
    await one.stop()


async def test_a_living_daemon_is_not_pushed_aside(wire: Wire) -> None:
    with pytest.raises(KurierError) as refusal:
        await server(wire.socket.parent).start()
    assert refusal.value.code is Code.CONFLICT
    assert await wire.call("Plugin.Activate")


def test_a_successors_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "kuryr.sock"
    first = UnixSocket(path)
    first.socket.close()
    second = UnixSocket(path)
    first.remove()
    assert path.exists()
    second.remove()
    second.socket.close()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KurierError) as refusal:
        UnixSocket(tmp_path / "file" / "kuryr.sock")
    assert refusal.value.code is Code.INTERNAL
    assert "cannot listen on" in refusal.value.sentence


async def test_tcp_wants_a_client_certificate(tmp_path: Path, tls: Tls) -> None:
    tcp = TcpListener("127.0.0.1", free_port(), tls, tmp_path / "spec")
    one = server(tmp_path, tcp=tcp)
    await one.start()
    url = f"https://127.0.0.1:{tcp.port}/Plugin.Activate"
    with_certificate = ssl.create_default_context(cafile=str(tls.client_ca_file))
    async with aiohttp.ClientSession() as client:
        without = ssl.create_default_context(cafile=str(tls.client_ca_file))
        with pytest.raises(aiohttp.ClientError):
            await client.post(url, ssl=without)
        with_certificate.load_cert_chain(tls.cert_file, tls.key_file)
        async with client.post(url, ssl=with_certificate) as reply:
            assert reply.status == 200
    await one.stop()


async def test_the_spec_tells_the_engine_of_tcp_and_goes_at_the_end(
    tmp_path: Path, tls: Tls
) -> None:
    tcp = TcpListener("127.0.0.1", free_port(), tls, tmp_path / "spec")
    one = server(tmp_path, tcp=tcp)
    await one.start()
    spec = msgspec.json.decode((tmp_path / "spec" / "kuryr.json").read_bytes())
    await one.stop()
    assert (spec["Name"], spec["Addr"]) == ("kuryr", f"https://127.0.0.1:{tcp.port}")
    assert spec["TLSConfig"]["CertFile"] == str(tls.cert_file)
    assert left(tmp_path / "spec") == []


async def test_tls_files_that_do_not_serve_are_told(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    tcp = TcpListener("127.0.0.1", free_port(), Tls(nothing, nothing, nothing), tmp_path)
    one = server(tmp_path, tcp=tcp)
    with pytest.raises(KurierError, match="TLS files"):
        await one.start()
    await one.stop()


async def test_a_stop_lets_a_running_call_end(tmp_path: Path) -> None:
    driver = ScriptedDriver()
    driver.gate.clear()
    one = server(tmp_path, driver)
    await one.start()
    connector = aiohttp.UnixConnector(str(tmp_path / "kuryr.sock"))
    async with aiohttp.ClientSession(connector=connector) as client:
        call = asyncio.create_task(client.post("http://plugin/NetworkDriver.Leave", json=LEAVE))
        await driver.entered.get()
        stop = asyncio.create_task(one.stop(60.0))
        await asyncio.sleep(0)
        driver.gate.set()
        reply = await call
        assert reply.status == 200
        await stop


async def test_a_stop_ends_a_call_that_does_not(tmp_path: Path) -> None:
    driver = ScriptedDriver()
    driver.gate.clear()
    one = server(tmp_path, driver)
    await one.start()
    connector = aiohttp.UnixConnector(str(tmp_path / "kuryr.sock"))
    async with aiohttp.ClientSession(connector=connector) as client:
        call = asyncio.create_task(client.post("http://plugin/NetworkDriver.Leave", json=LEAVE))
        await driver.entered.get()
        await one.stop(0.0)
        reply = await call
        assert (reply.status, "being stopped" in await reply.text()) == (500, True)
