# SPDX-License-Identifier: Apache-2.0
"""What the managed plugin is made of, and which programs it may be made of."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from kurier.cli.main import main
from kurier.docker.plugin_image import MARK, PluginImage, is_static

SOCKET = "/run/docker/plugins/kuryr.sock"


def program(*kinds: int, wide: bool = True, order: str = "<") -> bytes:
    """An ELF program's head with program headers of these kinds, as elf(5) tells."""
    head = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2]) + bytes(10)
    size = 56 if wide else 32
    middle = struct.pack(order + ("HHIQQQIH" if wide else "HHIIIIIH"), 2, 0, 1, 0, 64, 0, 0, 64)
    head += middle + struct.pack(order + "HHHHH", size, len(kinds), 0, 0, 0)
    table = b"".join(struct.pack(order + "I", kind).ljust(size, b"\0") for kind in kinds)
    return head.ljust(64, b"\0") + table


def unpacked(image: PluginImage) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(image.archive())) as tar:
        files = {one.name: tar.extractfile(one) for one in tar.getmembers()}
        return {name: file.read() if file else b"" for name, file in files.items()}


def test_the_archive_has_a_configuration_and_a_root() -> None:
    image = PluginImage(SOCKET, b"a busybox")
    files = unpacked(image)
    config = json.loads(files["config.json"])
    assert files["rootfs/bin/busybox"] == b"a busybox"
    assert config["interface"]["types"] == ["docker.networkdriver/1.0", "docker.ipamdriver/1.0"]
    assert config["entrypoint"][0] == "/bin/busybox"
    assert config["entrypoint"][-1] == SOCKET
    assert config["linux"] == {"capabilities": []}


def test_another_link_and_another_busybox_are_told_apart() -> None:
    one = PluginImage(SOCKET, b"a busybox")
    assert one.archive() == PluginImage(SOCKET, b"a busybox").archive()
    others = {PluginImage("/other.sock", b"a busybox"), PluginImage(SOCKET, b"another")}
    assert len({one.description} | {other.description for other in others}) == 3
    assert one.description.startswith(f"{MARK}{SOCKET}")


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_program_with_an_interpreter_is_not_static(wide: bool, order: str) -> None:
    assert is_static(program(1, 6, wide=wide, order=order))
    assert not is_static(program(6, 3, 1, wide=wide, order=order))


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", program(1, 1)[:-56]])
def test_what_is_no_whole_program_is_not_static(content: bytes) -> None:
    assert not is_static(content)


def test_a_program_that_is_linked_to_libraries_is_refused(tmp_path: Path) -> None:
    done = install("--busybox", str(Path(sys.executable).resolve()))
    assert (done[0], done[1].count("\n")) == (1, 1)
    assert "is not a statically linked program" in done[1]
    assert install("--busybox", str(tmp_path / "none"))[1].endswith("No such file or directory.\n")


def test_a_name_that_would_hide_the_driver_is_refused() -> None:
    for name in ("kuryr", "kuryr:latest"):
        code, said = install("--engine-swarm-plugin", name)
        assert (code, said.count("\n")) == (1, 1)
        assert "engine.swarm_plugin" in said


def test_an_engine_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    host = f"unix://{tmp_path}/none.sock"
    env = {"KURIER_CONFIG": str(tmp_path / "kurier.toml")}
    (tmp_path / "kurier.toml").touch()
    done = CliRunner().invoke(main, ["plugin", "status", "--engine-docker-host", host], env=env)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: The engine at {host} did not answer as it should: ")
    assert done.stderr.count("\n") == 1


def install(*arguments: str) -> tuple[int, str]:
    env = {"KURIER_CONFIG": os.devnull}
    done = CliRunner().invoke(main, ["plugin", "install", *arguments], env=env)
    return done.exit_code, done.stderr
