# SPDX-License-Identifier: Apache-2.0
"""A Swarm of real hosts, each with an engine, the managed plugin and a Kurier daemon of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kurier.docker.swarm_api import LABEL as DEFINITION
from localcloud.api import Host
from tests.cloud.stage.engine import IMAGE, Docker
from tests.cloud.stage.machine import Machine, local_host
from tests.cloud.stage.plugin import PLUGIN, install_plugin, remove_plugin
from tests.cloud.stage.stage import LABEL, Stage
from tests.cloud.stage.waiting import wait_until

SWARM_IMAGE = f"127.0.0.1:1/{IMAGE}"
"""The image under a name whose pull is refused at once.

A node tries to pull before each start and takes its own copy only when that fails: with a registry
that cannot be reached, half a minute later.
"""
_ADDRESS = re.compile(r"^Address:\s+(\d+(?:\.\d+){3})\b(?!:53)", re.MULTILINE)


@dataclass(frozen=True)
class Task:
    """A task that runs, where it runs and what it got there."""

    id: str
    name: str
    stage: Stage
    container: str
    network: str

    @property
    def address(self) -> str:
        """The address that Docker shows, on the service's first network."""
        return self.stage.ip_of(self.container, self.network)

    def resolves(self, name: str) -> set[str]:
        """The IPv4 addresses that a name has inside the task."""
        return resolved(self.stage, self.container, name)

    def reaches(self, address: str) -> bool:
        """Whether ping and TCP port 80 get there."""
        return self.stage.pings(self.container, address) and self.stage.fetches(
            self.container, address, 80
        )


def resolved(stage: Stage, container: str, name: str) -> set[str]:
    """What the engine's DNS answers to a container."""
    told = stage.docker.attempt("exec", container, "nslookup", name).stdout
    return set(_ADDRESS.findall(told)) - {"127.0.0.11"}


class Swarm:
    """The nodes of one Swarm; the first stage's is the manager."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)

    @property
    def manager(self) -> Stage:
        return self.stages[0]

    @property
    def docker(self) -> Docker:
        """The manager's client."""
        return self.manager.docker

    @property
    def id(self) -> str:
        """The Swarm's own id."""
        return self.docker("info", "--format", "{{.Swarm.Cluster.ID}}")

    # ── nodes ───────────────────────────────────────────────────────────────
    def begin(self) -> None:
        """Makes the Swarm and has every stage's host join it."""
        for stage in self.stages:
            stage.docker("tag", IMAGE, SWARM_IMAGE)
            install_plugin(stage)
        self.docker("swarm", "init", "--advertise-addr", address_of(self.manager))
        self.docker("node", "update", "--label-add", f"{LABEL}=1", self.node(self.manager))
        for stage in self.stages[1:]:
            self.join(stage)

    def join(self, stage: Stage) -> None:
        """Has a host join as a worker."""
        token = self.docker("swarm", "join-token", "-q", "worker")
        manager, own = address_of(self.manager), address_of(stage)
        stage.docker("swarm", "join", "--advertise-addr", own, "--token", token, manager)
        node = self.node(stage)
        wait_until(lambda: self.state(node) == "ready", f"{stage.machine.name} is ready")

    def end(self) -> None:
        """Services and networks go, then every host leaves, the manager last."""
        for service in self.docker("service", "ls", "-q", check=False).split():
            name = self.docker("service", "inspect", "-f", "{{.Spec.Name}}", service)
            self.remove_service(name)
        listing = ("network", "ls", "--filter", "scope=swarm", "--format", "{{.Name}}")
        for network in self.docker(*listing, check=False).split():
            if network != "ingress":
                self.docker("network", "rm", network, check=False)
        for stage in reversed(self.stages):
            forget_swarm(stage.machine)

    def node(self, stage: Stage) -> str:
        """A host's id as a node."""
        return stage.docker("info", "--format", "{{.Swarm.NodeID}}")

    def state(self, node: str) -> str:
        """How the manager thinks of a node: ready, down, unknown."""
        return self.docker("node", "inspect", "-f", "{{.Status.State}}", node)

    # ── networks ────────────────────────────────────────────────────────────
    def create_network(self, *options: str, neutron_id: str = "", subnet: object = None) -> str:
        """A network of the whole Swarm, by hand: its part on each node, then itself."""
        name = self.manager.name("swarm")
        given = ["--ipam-driver", PLUGIN, "--subnet", str(subnet or self.manager.cidr())]
        given += ["-o", f"neutron.net.uuid={neutron_id}"] if neutron_id else []
        self.manager.undo(lambda: self.remove_network(name))
        for stage in self.stages:
            stage.docker("network", "create", "--config-only", *given, f"{name}-part")
        scope = ("-d", PLUGIN, "--scope", "swarm", "--config-from", f"{name}-part")
        self.docker("network", "create", *scope, *options, name)
        return name

    def remove_network(self, name: str) -> None:
        """Takes it away everywhere; a node's part goes when the node knows."""
        self.docker("network", "rm", name, check=False)
        for stage in self.stages:
            wait_until(partial(gone, stage, f"{name}-part"), f"{name} is gone")

    # ── services ────────────────────────────────────────────────────────────
    def create_service(
        self, network: str, *options: str, replicas: int, name: str = "", command: str = ""
    ) -> str:
        """`docker service create`, and its name once all its tasks run."""
        name = name or self.manager.name("svc")
        self.manager.undo(lambda: self.remove_service(name))
        serving = command or "exec httpd -f -p 80 -h /www"
        self.docker(
            *("service", "create", "-d", "--no-resolve-image", "--name", name),
            *("--network", network, "--replicas", str(replicas), "--stop-signal", "SIGKILL"),
            *(*options, SWARM_IMAGE, "sh", "-c", serving),
        )
        self.running(name, replicas)
        return name

    def running(self, service: str, count: int, seconds: float = 120.0) -> list[Task]:
        """The tasks of a service once this many, and no others, run."""

        def all_run() -> list[Task]:
            tasks = self.tasks(service)
            return tasks if len(tasks) == count else []

        if not count:
            wait_until(lambda: not self.tasks(service), f"{service} has no tasks", seconds)
            return []
        return wait_until(all_run, f"{service} has {count} running tasks", seconds)

    def tasks(self, service: str) -> list[Task]:
        """The tasks that run and shall run; empty while some that shall run do not."""
        listing = ("service", "ps", "--no-trunc", "-f", "desired-state=running", service)
        lines = self.docker(*listing, "--format", "{{json .}}", check=False).splitlines()
        told = [json.loads(line) for line in lines]
        if not all(one["CurrentState"].startswith("Running") for one in told):
            return []
        found = [self._task(one["ID"], one["Name"], one["Node"]) for one in told]
        return found if all(one.container for one in found) else []

    def _task(self, identity: str, name: str, node: str) -> Task:
        (stage,) = (one for one in self.stages if one.machine.hostname == node)
        label = f"label=com.docker.swarm.task.id={identity}"
        container = stage.docker("ps", "-q", "--no-trunc", "--filter", label)
        networks = (
            stage.docker.inspect(container)["NetworkSettings"]["Networks"] if container else {}
        )
        return Task(identity, name, stage, container, next(iter(networks), ""))

    def has_containers(self, stage: Stage, service: str) -> bool:
        """Whether containers of a service, running or not, are on a host."""
        label = f"label=com.docker.swarm.service.name={service}"
        return bool(stage.docker("ps", "-q", "--filter", label))

    def remove_service(self, name: str) -> None:
        """`docker service rm`; returns when its containers are gone on every node."""
        self.docker("service", "rm", name, check=False)
        label = f"label=com.docker.swarm.service.name={name}"

        def all_gone() -> bool:
            return not any(one.docker("ps", "-aq", "--filter", label) for one in self.stages)

        wait_until(all_gone, f"the containers of {name} are gone", 90)

    def cleanup(self) -> None:
        """Takes away what the test made: the manager's first, since nodes follow it."""
        for stage in self.stages:
            stage.cleanup()


@contextmanager
def swarm_of(stages: Sequence[Stage]) -> Iterator[Swarm]:
    """A Swarm of these hosts, for as long as the block lasts."""
    swarm = Swarm(stages)
    try:
        swarm.begin()
        yield swarm
    finally:
        swarm.cleanup()
        swarm.end()
        for stage in stages:
            remove_plugin(stage.docker)


def address_of(stage: Stage) -> str:
    """Where a host's engine is reached by the others."""
    return str(local_host(stage.machine).place.management_address)


def gone(stage: Stage, network: str) -> bool:
    """Removes a network if it can be removed, and says whether there is none of this name."""
    done = stage.docker.attempt("network", "rm", network)
    return done.returncode == 0 or "not found" in done.stderr


def leave(docker: Docker) -> None:
    """Leaves the Swarm, if the engine is in one; containers that are none of its run on."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        docker("swarm", "leave", "--force", check=False)
    docker("network", "rm", "docker_gwbridge", check=False)


def forget_swarm(machine: Machine) -> None:
    """Leaves the Swarm with all that the engine keeps of it; an engine of ours is started anew.

    One that left may hold its port 7946 for ever ("timeout while waiting for ingress network
    removal"), and then learns no names in its next Swarm.
    """
    docker = Docker(machine)
    leave(docker)
    listing = ("network", "ls", "-q", "--filter")
    parts = docker(*listing, f"label={DEFINITION}").split() + docker(*listing, "name=kt-").split()
    stuck = [one for one in parts if docker.attempt("network", "rm", one).returncode]
    if isinstance(machine, Host) and machine.owns_engine:
        root = Path(docker("info", "--format", "{{.DockerRootDir}}"))
        machine.stop_dockerd()
        if stuck:  # an engine that was made to leave with tasks may believe them in use for ever
            (root / "network/files/local-kv.db").unlink()
        machine.start_dockerd()


def sweep_swarm(machine: Machine) -> None:
    """Ends a Swarm that a killed session left; a Swarm that no test made is none of ours."""
    docker = Docker(machine)
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "inactive":
        if docker("network", "ls", "-q", "--filter", f"label={DEFINITION}"):
            forget_swarm(machine)
        return
    label = f'{{{{index .Spec.Labels "{LABEL}"}}}}'
    ours = docker("node", "inspect", "-f", label, "self", check=False) == "1"
    owned = isinstance(machine, Host) and machine.owns_engine
    assert ours or owned, "this machine's engine is in a Swarm that no test made"
    forget_swarm(machine)
    remove_plugin(docker)


def settled(swarm: Swarm) -> None:
    for stage in swarm.stages:
        stage.settled()


def container_ports(swarm: Swarm, neutron_id: str) -> list[Any]:
    """The network's ports but those of Neutron itself."""
    found = swarm.manager.neutron.network.ports(network_id=neutron_id)
    return [one for one in found if not one.device_owner.startswith("network:")]


def assert_neutron_has(swarm: Swarm, neutron_id: str, tasks: list[Task]) -> None:
    """Each task has an address of its own, which is a port on the task's host; nobody else has."""
    addresses = {one.address: one.stage.machine.hostname for one in tasks}
    assert len(addresses) == len(tasks)

    def told() -> bool:
        ports = container_ports(swarm, neutron_id)
        bound = {one.fixed_ips[0]["ip_address"]: one.binding_host_id for one in ports}
        return bound == addresses and len(ports) == len(tasks)

    wait_until(told, f"Neutron has ports for {addresses} and no others", 40)


def found_by(task: Task, name: str, addresses: set[str]) -> None:
    """Waits until a name means these addresses to a task: nodes tell each other of tasks."""
    wait_until(lambda: task.resolves(name) == addresses, f"{task.name} finds {name}: {addresses}")


def assert_all_meet(tasks: list[Task], service: str) -> None:
    """Each task finds all tasks by both names, and reaches every other one."""
    addresses = {one.address for one in tasks}
    for one in tasks:
        for name in (service, f"tasks.{service}"):
            found_by(one, name, addresses)
        assert [other for other in addresses - {one.address} if not one.reaches(other)] == []
