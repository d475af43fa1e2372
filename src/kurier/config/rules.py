# SPDX-License-Identifier: Apache-2.0
"""What a single value must be like. Each rule gives the end of a sentence, or None if content."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from kurier.config.option import Rule

_DRIVER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PLUGIN_NAME = re.compile(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*:\w[\w.-]*")
_DEVICE_LENGTH = 15  # IFNAMSIZ less its terminating zero, see linux/if.h


def between(low: float, high: float) -> Rule:
    """At least `low` and at most `high`."""

    def check(value: float) -> str | None:
        return None if low <= value <= high else f"must be between {low:g} and {high:g}"

    return check


def shorter_than(length: int) -> Rule:
    """Fewer than `length` characters."""

    def check(value: str) -> str | None:
        return None if len(value) < length else f"must be shorter than {length} characters"

    return check


def driver_name(value: str) -> str | None:
    """A name that Docker takes and that is a file name."""
    if _DRIVER_NAME.fullmatch(value):
        return None
    return "must begin with a letter or digit and hold only letters, digits, '_', '.' and '-'"


def plugin_name(value: str) -> str | None:
    """A managed plugin's name with a tag that no driver's name stands for."""
    if not _PLUGIN_NAME.fullmatch(value):
        return "must be NAME:TAG, as `docker plugin ls` shows it"
    if value.endswith(":latest"):
        return "must have another tag than latest, which Docker takes NAME alone for"
    return None


def absolute_path(value: str) -> str | None:
    """A path that does not depend on where the daemon was started."""
    return None if value.startswith("/") else "must be an absolute path"


def absolute_path_or_empty(value: str) -> str | None:
    """An absolute path, or nothing."""
    return absolute_path(value) if value else None


def split_host_and_port(value: str) -> tuple[str, int] | None:
    """`HOST:PORT` or `[IPV6]:PORT` in its two parts; None if it is neither."""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit():
        return None
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        return None
    return (host.strip("[]"), int(port)) if 0 < int(port) < 65536 else None


def host_and_port_or_empty(value: str) -> str | None:
    """`HOST:PORT`, or nothing."""
    if not value or split_host_and_port(value):
        return None
    return "must be HOST:PORT with a port from 1 to 65535 (an IPv6 address in brackets)"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tag_part(value: str) -> str | None:
    """Text that fits in a Neutron tag and in a filter by tags, where a comma separates."""
    if len(value) > 64:
        return "must be at most 64 characters long"
    if re.search(r"[\s,/]", value):
        return "must not hold blanks, commas or slashes, which Neutron's tags cannot carry"
    return None


def docker_host(value: str) -> str | None:
    """An address as `DOCKER_HOST` has it, unix or TCP."""
    parts = urlsplit(value)
    if (parts.scheme == "unix" and parts.path.startswith("/")) or (
        parts.scheme == "tcp" and parts.netloc
    ):
        return None
    return "must be unix:///PATH or tcp://HOST:PORT"


def ovsdb(value: str) -> str | None:
    """A remote as ovsdb-server(7) describes its active connections."""
    method, _, rest = value.partition(":")
    if method == "unix" and rest.startswith("/"):
        return None
    if method in {"tcp", "ssl"} and split_host_and_port(rest):
        return None
    return "must be unix:/PATH, tcp:HOST:PORT or ssl:HOST:PORT"


def device_name(value: str) -> str | None:
    """A network device's name, as the kernel takes it."""
    if 0 < len(value) <= _DEVICE_LENGTH and not re.search(r"[\s/:]", value):
        return None
    return f"must be 1 to {_DEVICE_LENGTH} characters without blanks, colons or slashes"


def interface_prefix(value: str) -> str | None:
    """A device name with room for the number that the engine adds."""
    if device_name(value) is None and len(value) <= _DEVICE_LENGTH - 3:
        return None
    return f"must be 1 to {_DEVICE_LENGTH - 3} characters without blanks, colons or slashes"
