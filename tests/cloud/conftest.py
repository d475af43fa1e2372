# SPDX-License-Identifier: Apache-2.0
"""The cloud tests: a real Docker engine, a real Neutron, a real switch, and Kurier between them.

By default they run on the local cloud (`kurier-cloud up`), brought up here if need be. These
variables change that:

KURIER_TEST_HOST     the host whose engine and switch are used (default `host1`)
                     (with `pytest -n 2`, hosts 2 to 4 are the one process's, 5 to 7 the other's)
KURIER_TEST_HOST_2   the second host of tests that need two (default: the next one)
KURIER_TEST_HOST_3   the third host of tests of Swarm (default: the one after)
KURIER_TEST_SHARED   `1` where others use the same Neutron at the same time: what a test leaves
                     behind is then looked for only among things that are surely this session's
KURIER_TEST_CLOUD    whose credentials the daemons have: an entry of the local cloud's
                     `clouds.yaml` (default the administrator's). With `kurier-local-member` all
                     tests run as a tenant whom the policy lets bind ports
OS_CLOUD             where it names another cloud than the local one and no local cloud was made,
                     that cloud is used with this machine's own Docker and Open vSwitch
                     (KURIER_TEST_OVSDB, default `unix:/run/openvswitch/db.sock`). Tests that stop
                     or change parts of the cloud are then deselected, with the reason printed.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openstack
import pytest
import yaml
from openstack.connection import Connection

from localcloud import image
from localcloud.api import ADMIN_CLOUD, MEMBER_CLOUD, Cloud, Host
from localcloud.layout import Layout
from localcloud.settings import Settings, load, state_folder
from tests.cloud.faults.moments import Broker, before_http
from tests.cloud.stage import Stage
from tests.cloud.stage.compose import Compose
from tests.cloud.stage.counting import NeutronLog, SwitchLog
from tests.cloud.stage.daemon import Table
from tests.cloud.stage.engine import Docker
from tests.cloud.stage.lanes import FIRST, Lanes, number_of
from tests.cloud.stage.leftovers import sweep, sweep_cloud, sweep_groups
from tests.cloud.stage.machine import Machine, OwnMachine
from tests.cloud.stage.snapshot import SHARED, WORKER
from tests.cloud.stage.swarm import Swarm, swarm_of, sweep_swarm

HOST = os.environ.get("KURIER_TEST_HOST", f"host{FIRST}")
SECOND_HOST = os.environ.get("KURIER_TEST_HOST_2", f"host{int(HOST.removeprefix('host')) + 1}")
THIRD_HOST = os.environ.get(
    "KURIER_TEST_HOST_3", f"host{int(SECOND_HOST.removeprefix('host')) + 1}"
)
_SECONDS = 180
_CLOUD = os.environ.get("KURIER_TEST_CLOUD", ADMIN_CLOUD)
TENANT_POLICY = dict.fromkeys(
    (
        "create_port:binding:host_id",
        "update_port:binding:host_id",
        "get_port:binding:host_id",
        "get_port:binding:vif_type",
        "get_port:binding:vif_details",
        "update_port:mac_address",
        "create_network:shared",
        "get_agent",
    ),
    "role:member",
)
"""The lines of docs/operators.md that let a tenant do all that Kurier can."""
_POLICY = TENANT_POLICY if _CLOUD != ADMIN_CLOUD else {}


def _own_cloud() -> str | None:
    """The name of the cloud to use instead of the local one."""
    name = os.environ.get("OS_CLOUD", "")
    chosen = name not in ("", ADMIN_CLOUD, MEMBER_CLOUD) or "OS_AUTH_URL" in os.environ
    return name if chosen and load(state_folder()) is None else None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "local_cloud: stops or changes parts of the local cloud")
    config.addinivalue_line(
        "markers", "alone: changes what all hosts share, or how Neutron answers them"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "cloud" in item.path.parts and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SECONDS))
    # The dearest first, so that two lanes end at about the same time.
    dear = {item.path for item in items if item.get_closest_marker("two_hosts")}
    items.sort(key=lambda item: item.path not in dear)
    if _own_cloud() is None:
        return
    local = [item for item in items if item.get_closest_marker("local_cloud")]
    config.hook.pytest_deselected(items=local)
    items[:] = [item for item in items if item not in local]
    config.stash[_DESELECTED] = [item.nodeid for item in local]


def pytest_sessionstart(session: pytest.Session) -> None:
    """The process that begins lanes has the cloud ready for them."""
    number = number_of(session.config)
    if not number or _own_cloud() is not None:
        return
    cloud = Cloud.load()
    neutron = session.config.stash[_ALL] = ExitStack()
    lanes = Lanes(cloud, neutron.enter_context(connect(cloud, ADMIN_CLOUD)), number)
    lanes.begin(_POLICY)
    _have_own_groups(cloud)
    lanes.look()
    session.config.stash[_LANES] = lanes


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Whatever is left that no lane could tell was its own fails the session."""
    lanes = session.config.stash.get(_LANES, None)
    if lanes is None:
        return
    session.config.stash[_LEFT] = lanes.left()
    session.config.stash[_ALL].close()
    if session.config.stash[_LEFT]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


_ALL = pytest.StashKey[ExitStack]()
_LANES = pytest.StashKey[Lanes]()
_LEFT = pytest.StashKey[str]()
_DESELECTED = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for line in config.stash.get(_LEFT, "").splitlines():
        terminalreporter.write_line(f"LEFT BEHIND {line}")
    for nodeid in config.stash.get(_DESELECTED, []):
        terminalreporter.write_line(
            f"DESELECTED {nodeid}: it stops or changes parts of the local cloud, and OS_CLOUD "
            "names another one"
        )


@dataclass
class Troupe:
    """The stages of a session, and which daemon plays at the moment."""

    machine: Machine
    neutron: Connection
    cloud: str
    prefix: str
    owner: str = ""
    """The project of what operators make, where the daemons are another project's."""
    _ordinary: Stage | None = None
    _open: list[Stage] = field(default_factory=list)

    def ordinary(self) -> Stage:
        """The stage that tests share; its daemon is started at the first use and looked after."""
        if self._ordinary is None:
            self._ordinary = self._stage({})
        if not self._ordinary.daemon.running:
            self._ordinary.daemon.start()
        return self._ordinary

    @contextmanager
    def own(
        self, settings: Table | None = None, *, cloud: str = "", start: bool = True
    ) -> Iterator[Stage]:
        """A stage of a test's own, with a new ledger; the shared daemon stands back meanwhile."""
        shared = self._ordinary
        if shared is not None and shared.daemon.running:
            shared.settled()
            shared.daemon.stop()
        stage = self._stage(settings or {}, cloud)
        self._open.append(stage)
        try:
            if start:
                stage.daemon.start()
            yield stage
        finally:
            try:
                if not stage.daemon.running and start:
                    stage.daemon.start()
                stage.cleanup()
                if stage.daemon.running:
                    stage.settled()
            finally:
                if stage.daemon.running:
                    stage.daemon.stop()
                self._open.remove(stage)

    def stages(self) -> list[Stage]:
        """Every stage whose daemon may have said something."""
        return [*self._open, *([self._ordinary] if self._ordinary else [])]

    def close(self) -> None:
        """Ends the shared daemon."""
        if self._ordinary is not None and self._ordinary.daemon.running:
            self._ordinary.cleanup()
            self._ordinary.settled()
            self._ordinary.daemon.stop()

    def _stage(self, settings: Table, cloud: str = "") -> Stage:
        cloud = cloud or self.cloud
        return Stage(self.machine, self.neutron, cloud, self.prefix, settings, self.owner)


@pytest.fixture(scope="session")
def local_cloud() -> Cloud | None:
    """The local cloud, up with the hosts that are needed; None where another cloud is used."""
    if _own_cloud() is not None:
        return None
    cloud = Cloud.load()
    cloud.set_policy(_POLICY)
    if not SHARED:
        needed = int(HOST.removeprefix("host"))
        cloud.up(hosts=max(needed, cloud.settings.hosts))
    _have_own_groups(cloud)
    return cloud


def _have_own_groups(cloud: Cloud) -> None:
    """Neutron makes a project's own group when it is first asked by it: not amid a test."""
    for name in (ADMIN_CLOUD, MEMBER_CLOUD):
        with connect(cloud, name) as connection:
            list(connection.network.security_groups())


@pytest.fixture(scope="session", autouse=True)
def _policy_of_before(local_cloud: Cloud | None) -> Iterator[None]:
    """Neutron's own policy again, after a session as a tenant."""
    yield
    if local_cloud is not None and not WORKER:
        local_cloud.set_policy({})


@pytest.fixture
def own_policy(local_cloud: Cloud | None) -> Iterator[None]:
    """Neutron's own policy, as if nobody had changed it."""
    assert local_cloud is not None, "this test needs the mark `local_cloud`"
    local_cloud.set_policy({})
    yield
    local_cloud.set_policy(_POLICY)


@pytest.fixture(scope="session")
def cloud(local_cloud: Cloud | None) -> Cloud:
    """The local cloud, for tests marked `local_cloud`."""
    assert local_cloud is not None, "this test needs the mark `local_cloud`"
    return local_cloud


@pytest.fixture(scope="session")
def neutron(local_cloud: Cloud | None) -> Iterator[Connection]:
    """Neutron as the administrator sees it."""
    with connect(local_cloud, _own_cloud() or ADMIN_CLOUD) as connection:
        yield connection


@contextmanager
def connect(local_cloud: Cloud | None, name: str) -> Iterator[Connection]:
    """A connection to the cloud with the credentials of this name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the SDK's own, of its own parts
        files = [str(local_cloud.clouds_file)] if local_cloud else None
        config = openstack.config.OpenStackConfig(config_files=files)
        connection = Connection(config=config.get_one(cloud=name or None))
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture(scope="session")
def prefix() -> str:
    """What the names of this session's things begin with."""
    return f"kt-{HOST}-{secrets.token_hex(2)}"


@pytest.fixture(scope="session")
def troupe(local_cloud: Cloud | None, neutron: Connection, prefix: str) -> Iterator[Troupe]:
    """Every stage of the session on the first host."""
    machine: Machine = local_cloud.host(HOST) if local_cloud else OwnMachine()
    troupe = _troupe(machine, neutron, prefix)
    yield troupe
    troupe.close()


@pytest.fixture(scope="session")
def second_troupe(local_cloud: Cloud | None, neutron: Connection, prefix: str) -> Iterator[Troupe]:
    """The same on the second host, for tests marked `two_hosts`."""
    troupe = _troupe(further_host(local_cloud, SECOND_HOST), neutron, prefix)
    yield troupe
    troupe.close()


@pytest.fixture(scope="session")
def third_troupe(local_cloud: Cloud | None, neutron: Connection, prefix: str) -> Iterator[Troupe]:
    """The same on a third host, for tests marked `two_hosts` that need one more."""
    troupe = _troupe(further_host(local_cloud, THIRD_HOST), neutron, prefix)
    yield troupe
    troupe.close()


def further_host(local_cloud: Cloud | None, name: str) -> Host:
    """Another host of the local cloud, which runs."""
    assert local_cloud is not None, "this test needs the mark `local_cloud`"
    if not SHARED:
        local_cloud.up(hosts=max(int(name.removeprefix("host")), local_cloud.settings.hosts))
    return local_cloud.host(name)


def _troupe(machine: Machine, neutron: Connection, prefix: str) -> Troupe:
    _have_image(machine)
    sweep_swarm(machine)
    sweep(machine, neutron, f"kt-{HOST}")
    if _own_cloud() is None and not SHARED:
        sweep_cloud(machine, neutron)
    sweep_groups(neutron, f"kt-{HOST}")
    owner = ""
    if _own_cloud() is None and _CLOUD != ADMIN_CLOUD:
        with connect(Cloud.load(), _CLOUD) as tenant:
            owner = str(tenant.current_project_id)
            # Neutron makes a project's default group when it is first asked for one.
            list(tenant.network.security_groups())
    troupe = Troupe(machine, neutron, _own_cloud() or _CLOUD, prefix, owner)
    _TROUPES.append(troupe)
    return troupe


def _have_image(machine: Machine) -> None:
    if isinstance(machine, OwnMachine):
        folder = Path(tempfile.mkdtemp(prefix="kurier-image-"))
        layer = image.root_archive(image.busybox(Layout(Settings(folder))))
        archive = folder / "image.tar"
        archive.write_bytes(image.image_archive(layer))
        Docker(machine)("load", "-i", str(archive))


@pytest.fixture
def stage(troupe: Troupe) -> Iterator[Stage]:
    """The host with the daemon that ordinary tests share."""
    stage = troupe.ordinary()
    yield stage
    stage.cleanup()


@pytest.fixture
def compose(stage: Stage, tmp_path: Path) -> Compose:
    """Docker Compose for a test: `compose("-f", file, "up", "-d")`."""
    return Compose(stage, tmp_path)


@pytest.fixture(scope="session")
def lan(troupe: Troupe) -> Iterator[str]:
    """A Docker network that tests of containers share, so that not each has to make one."""
    stage = troupe.ordinary()
    name = stage.name("lan")
    stage.docker("network", "create", *stage.driver_options, "--subnet", str(stage.cidr()), name)
    yield name
    troupe.ordinary().docker("network", "rm", name)


@pytest.fixture(scope="module")
def pool_stage(request: pytest.FixtureRequest, troupe: Troupe) -> Iterator[Stage]:
    """A daemon that keeps pools, with the settings that the module names `POOL`."""
    with troupe.own(request.module.POOL) as stage:
        yield stage


@pytest.fixture
def pooled(pool_stage: Stage) -> Iterator[Stage]:
    """The module's daemon that keeps pools; each test's networks end with the test."""
    yield pool_stage
    pool_stage.cleanup()
    pool_stage.settled()


_NEUTRON = ("10.99.1.1", 19696)


@pytest.fixture
def brokered(
    request: pytest.FixtureRequest, troupe: Troupe, cloud: Cloud, tmp_path: Path
) -> Iterator[tuple[Stage, Broker]]:
    """A daemon with the module's `POOL` that speaks to Neutron through a go-between."""
    with before_http(_NEUTRON[0], *_NEUTRON) as (broker, url):
        document = yaml.safe_load(cloud.clouds_file.read_text())
        for entry in document["clouds"].values():
            entry["network_endpoint_override"] = url
        file = tmp_path / "clouds.yaml"
        file.write_text(yaml.safe_dump(document))
        with troupe.own(request.module.POOL, start=False) as stage:
            stage.daemon.environ["OS_CLIENT_CONFIG_FILE"] = str(file)
            stage.daemon.start()
            yield stage, broker


OwnStage = Callable[..., Any]


@pytest.fixture
def own_stage(troupe: Troupe) -> OwnStage:
    """Makes stages with a daemon of the test's own: `with own_stage({"section": {…}}) as stage:`.

    A new ledger, other settings or credentials; its daemon may be stopped, paused and killed.
    """
    return troupe.own


@pytest.fixture
def second_stage(second_troupe: Troupe) -> Iterator[Stage]:
    """The second host with its shared daemon."""
    stage = second_troupe.ordinary()
    yield stage
    stage.cleanup()


@pytest.fixture(scope="module")
def whole_swarm(
    request: pytest.FixtureRequest, troupe: Troupe, second_troupe: Troupe, third_troupe: Troupe
) -> Iterator[Swarm]:
    """Three hosts in one Swarm, the first its manager; daemons as the module's `SETTINGS` say."""
    settings = getattr(request.module, "SETTINGS", {})
    with ExitStack() as stack:
        troupes = (troupe, second_troupe, third_troupe)
        stages = [stack.enter_context(one.own(settings)) for one in troupes]
        yield stack.enter_context(swarm_of(stages))


@pytest.fixture
def swarm(whole_swarm: Swarm) -> Iterator[Swarm]:
    """The module's Swarm; each test's services and networks end with the test."""
    yield whole_swarm
    whole_swarm.cleanup()


@pytest.fixture
def neutron_log(cloud: Cloud) -> NeutronLog:
    """What the local Neutron was asked."""
    return NeutronLog(cloud.service("neutron").log)


@pytest.fixture
def switch_log(cloud: Cloud) -> SwitchLog:
    """What was written to the first host's Open vSwitch database."""
    return SwitchLog(cloud.settings.state / "hosts" / HOST / "conf.db")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[_SAID] = {stage.daemon.log: _size(stage.daemon.log) for stage in _stages()}
    yield


_SAID = pytest.StashKey[dict[Path, int]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Shows with a failure what the daemons said during the test."""
    report = yield
    if report.failed:
        since = item.stash.get(_SAID, {})
        for stage in _stages():
            said = stage.daemon.said(since.get(stage.daemon.log, 0))
            report.sections.append((f"kurier serve ({stage.daemon.log})", said[-6000:]))
    return report


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _stages() -> list[Stage]:
    return [stage for troupe in _TROUPES for stage in troupe.stages()]


_TROUPES: list[Troupe] = []
