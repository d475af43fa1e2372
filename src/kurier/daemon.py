# SPDX-License-Identifier: Apache-2.0
"""Puts the rooms together and runs them: the only module that knows them all.

The plugin socket answers first; the cloud, the switch and the engine are spoken to afterwards, in
the background, for as long as it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from kurier import __version__, logs
from kurier.admin.metrics import CloudCalls, WorldCollector
from kurier.admin.report import Report
from kurier.admin.server import AdminServer
from kurier.admin.views import CloudStatus, Health, LedgerStatus
from kurier.clock import SteadyClock
from kurier.cloud.bounds import Bounds
from kurier.cloud.credentials import load_region
from kurier.cloud.neutron import NeutronCloud
from kurier.config import DaemonSettings, Settings
from kurier.config.rules import split_host_and_port
from kurier.datapath import OpenVSwitchDatapath
from kurier.docker.engine import DockerEngine
from kurier.docker.managed_plugin import ManagedPlugin
from kurier.docker.meter import Meter
from kurier.docker.server import PluginServer, PluginSettings
from kurier.docker.sockets import TcpListener, Tls
from kurier.docker.swarm_api import SwarmApi
from kurier.ledger import SqliteLedger
from kurier.model.options import Policy
from kurier.model.wiring import WiredBy
from kurier.service.asking import until_answered
from kurier.service.context import Context, PoolSettings, ServiceSettings
from kurier.service.driver import Driver
from kurier.service.environment import Environment

LOG = logging.getLogger(__name__)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")
_PRODUCT = Path("/sys/class/dmi/id/product_uuid")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_GLANCE = 0.1
"""Seconds between two looks whether the engine joined or left a Swarm: one system call each, and a
node that joins gets its first task within a second or two."""
_ASK_AGAIN = 600
"""After so many looks the engine is asked, whatever they showed."""
_DRAIN = 1.0
"""Seconds that running calls have to end when the daemon is told to stop."""


class RandomNames:
    """Identifiers from the system's source of randomness."""

    def hex(self, digits: int) -> str:
        return secrets.token_hex((digits + 1) // 2)[:digits]


class Daemon:
    """One host's Kurier. Raises KurierError where a socket or the ledger cannot be had.

    `unfit` tells why the ledger that is there must not be used; :attr:`unfit` the same of the one
    in use, once that is known.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], unfit: str = "") -> None:
        self._settings = settings
        self._clock = SteadyClock()
        self._tasks: list[asyncio.Task[None]] = []
        self.unfit = asyncio.get_running_loop().create_future()
        self._ledger = SqliteLedger(Path(settings.daemon.state_dir), self._clock.now, unfit)
        self._cloud = _cloud(settings, environ, self._clock)
        self._datapath = _datapath(settings)
        self._engine = DockerEngine(settings.engine.docker_host)
        self._environment = Environment(self._ledger, settings.daemon.environment)
        context = Context(
            self._cloud,
            self._datapath,
            self._ledger,
            self._engine,
            SwarmApi(self._engine.api),
            self._clock,
            RandomNames(),
            self._environment,
            replace(
                service_settings(settings, _BOOT_ID.read_text().strip()),
                machine=(_read(_MACHINE_ID), _read(_PRODUCT)),
            ),
        )
        self._driver = Driver(context, self.unfit.set_result)
        registry = CollectorRegistry()
        WorldCollector(
            registry,
            self._ledger,
            self._clock,
            self._cloud_calls,
            self._driver.keeper.views,
            self._driver.reconciler.troubles,
        )
        self._plugin = PluginServer(self._driver, plugin_settings(settings.daemon), Meter(registry))
        self._admin = AdminServer(
            Report(self._driver, self._cloud_status, self._ledger_status(), registry),
            Path(settings.daemon.admin_socket),
            split_host_and_port(settings.daemon.metrics_listen),
        )

    async def start(self) -> None:
        """Answers the engine, then begins to look for everything else."""
        self._driver.start()
        await self._plugin.start()
        await self._admin.start()
        for name, work in self._driver.background().items():
            self.begin(name, work)
        self.begin("plugin", lambda: _until_answered("the engine", self._revive_plugin))
        self.begin("environment", self._follow_environment)
        self.begin("cloud", lambda: _until_answered("Neutron", self._cloud.warm))
        self.begin("switch", lambda: _until_answered("Open vSwitch", self._meet_switch))

    async def stop(self) -> None:
        """Lets running calls end, then everything; what is unsettled is in the ledger."""
        await self._plugin.stop(_DRAIN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._driver.stop()
        await self._admin.stop()
        await self._engine.close()
        self._cloud.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await self._datapath.close()
        self._ledger.close()

    def begin(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Background work for as long as it runs, begun again where it fails."""
        self._tasks.append(asyncio.create_task(_kept_up(name, work), name=name))

    async def _follow_environment(self) -> None:
        """Learns the environment, and each other one that the engine changes to."""
        while True:
            await _until_answered("the engine", self._learn_environment)
            seen = self._engine.membership()
            for _ in range(_ASK_AGAIN):
                await asyncio.sleep(_GLANCE)
                if self._engine.membership() != seen:
                    break

    async def _learn_environment(self) -> None:
        before = self._environment.id
        self._environment.learn(await self._engine.environment())
        if self._environment.id != before:
            LOG.info("environment %s", self._environment.id)

    async def _revive_plugin(self) -> None:
        """An engine that started without Kurier has given the managed plugin up."""
        plugin = ManagedPlugin(self._engine.api, self._settings.engine.swarm_plugin)
        if await plugin.revive():
            LOG.warning("plugin %s, which was disabled, is enabled again", plugin.name)

    async def _meet_switch(self) -> None:
        facts = await self._datapath.facts()
        configured = self._settings.daemon.host
        if configured and configured != facts.hostname:
            LOG.warning(
                "daemon.host is %s, but Open vSwitch calls this host %s: Neutron binds ports only "
                "to the latter.",
                configured,
                facts.hostname,
            )
        LOG.info("switch of host %s: %s, wired by %s", facts.hostname, facts.bridge, facts.wired_by)

    def _cloud_status(self) -> CloudStatus:
        health = self._cloud.health
        if health.away_since is not None:
            return CloudStatus(Health.AWAY, health.url, health.away_since, health.last_error)
        if health.last_ok is None:
            return CloudStatus(Health.UNKNOWN, health.url, error=health.last_error)
        return CloudStatus(Health.OK, health.url, health.last_ok)

    def _cloud_calls(self) -> CloudCalls:
        return CloudCalls(self._cloud.calls, self._cloud.call_seconds, self._cloud.errors)

    def _ledger_status(self) -> LedgerStatus:
        return LedgerStatus(str(self._ledger.path), self._ledger.opened.value, self._ledger.note)


def run(settings: Settings, environ: Mapping[str, str] = os.environ) -> None:
    """Serves until SIGTERM or SIGINT; raises KurierError where it cannot begin."""
    logs.set_up(settings.daemon.log_level, settings.daemon.log_format)
    LOG.info("Kurier %s, process %d", __version__, os.getpid())
    asyncio.run(_serve(settings, environ))


async def _serve(settings: Settings, environ: Mapping[str, str]) -> None:
    told_to_stop = asyncio.create_task(_signals().wait())
    unfit = ""
    while not told_to_stop.done():
        unfit = await _live(settings, environ, told_to_stop, unfit)
    LOG.info("stopped")
    _leave_threads_behind()


async def _live(
    settings: Settings, environ: Mapping[str, str], told_to_stop: asyncio.Task[bool], unfit: str
) -> str:
    """Serves until told to stop, or until the ledger turns out to be unfit, and then tells why."""
    daemon = Daemon(settings, environ, unfit)
    try:
        await daemon.start()
        _notify_systemd("READY=1")
        daemon.begin("watchdog", _feed_watchdog)
        await asyncio.wait({told_to_stop, daemon.unfit}, return_when=asyncio.FIRST_COMPLETED)
        if told_to_stop.done():
            _notify_systemd("STOPPING=1")
    finally:
        await daemon.stop()
    return daemon.unfit.result() if daemon.unfit.done() else ""


def _read(path: Path) -> str:
    """A file's line; nothing where it cannot be read, as in a container or without root."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(
        signal.SIGHUP, LOG.info, "SIGHUP: nothing to read again; restart to change the settings"
    )
    return stop


def _leave_threads_behind() -> None:
    """Ends the process where a thread still waits for Neutron or the switch.

    The interpreter would wait for it, for seconds; all that the thread may still do is found again
    by the outbox or the reconciler, as after a kill.
    """
    others = [one for one in threading.enumerate() if one is not threading.main_thread()]
    if any(not thread.daemon for thread in others):
        logging.shutdown()
        os._exit(0)


async def _kept_up(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Runs background work to its end; a defect in it is logged, and it is begun again."""
    while True:
        try:
            return await work()
        except Exception:
            LOG.exception("%s failed; it is begun again", name)
            await asyncio.sleep(5.0)


async def _until_answered(whom: str, ask: Callable[[], Awaitable[None]]) -> None:
    """For whoever may be long in coming."""
    await until_answered(f"{whom} is not there yet", ask, _FIRST_PAUSE, _LONGEST_PAUSE)


def service_settings(settings: Settings, boot_id: str) -> ServiceSettings:
    """The settings that the use cases need."""
    network, datapath = settings.network, settings.datapath
    return ServiceSettings(
        host=settings.daemon.host,
        policy=Policy(
            network.security_groups or None, network.qos_policy or None, network.port_security
        ),
        default_pool_v4=network.default_subnet_pool_v4,
        default_pool_v6=network.default_subnet_pool_v6,
        network_prefix=network.name_prefix,
        enable_dhcp=network.enable_dhcp,
        interface_prefix=datapath.interface_prefix,
        wire_timeout=datapath.wire_timeout,
        wire_fatal=datapath.wire_fatal,
        reconcile_interval=settings.reconcile.interval,
        reconcile_grace=settings.reconcile.grace,
        backoff_max=settings.settle.backoff_max,
        unanswered=settings.settle.unanswered,
        swarm_interval=settings.engine.swarm_interval,
        swarm_driver=settings.engine.swarm_plugin,
        boot_id=boot_id,
        pool=_pool_settings(settings),
    )


def _pool_settings(settings: Settings) -> PoolSettings:
    pool = settings.pool
    return PoolSettings(
        enabled=pool.enabled,
        minimum=pool.min,
        maximum=pool.max,
        batch=pool.batch,
        host_maximum=pool.host_max,
        recycle=pool.recycle,
        cooling=pool.cooling,
        half_life=pool.half_life,
        networks=pool.networks,
        lag=pool.lag,
        gather=pool.gather,
    )


def plugin_settings(daemon: DaemonSettings) -> PluginSettings:
    """Where and how the plugin is served."""
    return PluginSettings(
        name=daemon.driver_name,
        plugin_dir=Path(daemon.plugin_dir),
        request_timeout=daemon.request_timeout,
        tcp=_tcp(daemon),
    )


def _tcp(daemon: DaemonSettings) -> TcpListener | None:
    address = split_host_and_port(daemon.listen)
    if address is None:
        return None
    tls = None
    if daemon.tls_cert:
        tls = Tls(Path(daemon.tls_cert), Path(daemon.tls_key), Path(daemon.tls_client_ca))
    return TcpListener(*address, tls, Path(daemon.spec_dir))


def _cloud(settings: Settings, environ: Mapping[str, str], clock: SteadyClock) -> NeutronCloud:
    cloud = settings.cloud
    bounds = Bounds(cloud.connect_timeout, cloud.read_timeout, cloud.workers, cloud.retries)
    return NeutronCloud(lambda: load_region(cloud, environ), bounds, clock)


def _datapath(settings: Settings) -> OpenVSwitchDatapath:
    datapath = settings.datapath
    wired_by = None if datapath.wired_by == "auto" else WiredBy(datapath.wired_by)
    return OpenVSwitchDatapath(
        datapath.ovsdb,
        datapath.integration_bridge,
        wired_by=wired_by,
        run_dir=datapath.ovs_run_dir,
    )


async def _feed_watchdog() -> None:
    """Tells the service manager, as often as it asks for (sd_watchdog_enabled(3)), that the loop
    goes on.
    """
    limit = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    while limit and os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
        _notify_systemd("WATCHDOG=1")
        await asyncio.sleep(limit / 3)


def _notify_systemd(state: str) -> None:
    """Tells the service manager, if there is one; see sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.sendto(state.encode(), address.replace("@", "\0", 1))
