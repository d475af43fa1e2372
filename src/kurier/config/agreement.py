# SPDX-License-Identifier: Apache-2.0
"""What settings must be like together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kurier.config import rules
from kurier.config.problems import Problem
from kurier.config.settings import DaemonSettings, Settings


def disagreements(settings: Settings, origins: Mapping[str, str]) -> list[Problem]:
    """What is wrong with settings that are right one by one."""
    return [
        Problem(f"{name} ({origins[name]})", sentence) for name, sentence in _sentences(settings)
    ]


def _sentences(settings: Settings) -> Iterator[tuple[str, str]]:
    daemon, datapath = settings.daemon, settings.datapath
    yield from _tls(daemon)
    if datapath.wire_timeout >= daemon.request_timeout:
        yield (
            "datapath.wire_timeout",
            f"It must be below daemon.request_timeout, {daemon.request_timeout:g} s, or the "
            "engine gets no reason for the failure.",
        )
    if settings.cloud.connect_timeout > settings.cloud.read_timeout:
        yield (
            "cloud.connect_timeout",
            f"It must not be above cloud.read_timeout, {settings.cloud.read_timeout:g} s.",
        )
    yield from _grace(settings)
    if daemon.metrics_listen and daemon.metrics_listen == daemon.listen:
        yield "daemon.metrics_listen", "It must not be the same address as daemon.listen."


_CALLS_OF_A_START = 4
"""RequestAddress for each family, CreateEndpoint and Join; afterwards the engine lists it."""


def _grace(settings: Settings) -> Iterator[tuple[str, str]]:
    reconcile, longest = settings.reconcile, _CALLS_OF_A_START * settings.daemon.request_timeout
    if reconcile.grace < longest and not reconcile.short_grace:
        yield (
            "reconcile.grace",
            f"It must not be below {longest:g} s, four times daemon.request_timeout, or a "
            "container that starts slowly may lose its port.",
        )


def _tls(daemon: DaemonSettings) -> Iterator[tuple[str, str]]:
    trio = {
        "tls_cert": daemon.tls_cert,
        "tls_key": daemon.tls_key,
        "tls_client_ca": daemon.tls_client_ca,
    }
    given = [name for name, value in trio.items() if value]
    missing = [name for name, value in trio.items() if not value]
    if given and not daemon.listen:
        yield f"daemon.{given[0]}", "It has no use without daemon.listen: set that, or take it out."
    elif given and missing:
        words = " and ".join(f"daemon.{name}" for name in missing)
        yield f"daemon.{given[0]}", f"TLS needs all three files: set {words} too."
    elif daemon.listen and not given:
        address = rules.split_host_and_port(daemon.listen)
        if address and not rules.is_loopback(address[0]):
            yield (
                "daemon.listen",
                "Away from the loopback addresses this needs daemon.tls_cert, daemon.tls_key and "
                "daemon.tls_client_ca: whoever reaches the port may rewire containers.",
            )
