# SPDX-License-Identifier: Apache-2.0
"""One host with its engine and its Kurier, and Neutron as an operator sees it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from openstack.connection import Connection
from openstack.exceptions import ConflictException

from tests.cloud.stage.daemon import Daemon, Table
from tests.cloud.stage.engine import IMAGE, Docker
from tests.cloud.stage.machine import Machine
from tests.cloud.stage.snapshot import Seen, Watch, difference
from tests.cloud.stage.waiting import wait_until

LABEL = "kurier.test"


class Stage:
    """What a test works with.

    What is made through it is taken away by :meth:`cleanup`; names begin with `prefix`. What an
    operator makes belongs to the project `owner`, where that is not the operator's own.
    """

    def __init__(
        self,
        machine: Machine,
        neutron: Connection,
        cloud: str,
        prefix: str,
        settings: Table | None = None,
        owner: str = "",
    ) -> None:
        self.machine = machine
        self.neutron = neutron
        self.cloud = cloud
        self.prefix = prefix
        self.through = ""
        """The managed plugin, where the engine shall reach the daemon through it."""
        self._owner = {"project_id": owner} if owner else {}
        self.docker = Docker(machine)
        # A short path: unix sockets have room for about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="kurier-test-"))
        self.daemon = Daemon(machine, self.folder, settings or {}, cloud)
        self._watch = Watch(neutron, machine, self.docker, prefix, self.environment)
        self._numbers = _NUMBERS
        self._environment = ""
        self._undo: list[Callable[[], object]] = []

    # ── names and ranges ────────────────────────────────────────────────────
    def name(self, what: str) -> str:
        """A name nobody else has."""
        return f"{self.prefix}-{what}-{next(self._numbers)}"

    def cidr(self, prefix_length: int = 24) -> IPv4Network:
        """An IPv4 range that no other test and no route of the machine uses."""
        number = next(self._numbers)
        return IPv4Network(f"10.{100 + number // 250}.{number % 250}.0/{prefix_length}")

    def cidr6(self) -> IPv6Network:
        """An IPv6 /64 that no other test uses."""
        return IPv6Network(f"fd00:99:{next(self._numbers):x}::/64")

    def environment(self) -> str:
        """The id of the control plane in Neutron's tags, as the daemon knows it."""
        if not self._environment:
            self._environment = str(self.daemon.admin()["environment"] or "")
        return self._environment or self.docker("info", "--format", "{{.ID}}")

    # ── Docker ──────────────────────────────────────────────────────────────
    def create_network(self, *options: str, name: str = "", subnet: object | None = "") -> str:
        """`docker network create -d kuryr …`, and its name; `subnet` None leaves it out."""
        name = name or self.name("net")
        ranges = [] if subnet is None else ["--subnet", str(subnet or self.cidr())]
        if any(option.startswith("--subnet") for option in options):
            ranges = []
        self.undo(lambda: self.docker("network", "rm", name, check=False))
        self.docker("network", "create", *self.driver_options, *ranges, *options, name)
        return name

    def attach(self, network_id: str, subnet: object) -> str:
        """A Docker network of this host on a Neutron network that somebody else made."""
        return self.create_network("-o", f"neutron.net.uuid={network_id}", subnet=subnet)

    @property
    def driver_options(self) -> tuple[str, ...]:
        """What makes a Docker network Kurier's."""
        return ("-d", self.driver, "--ipam-driver", self.driver)

    @property
    def driver(self) -> str:
        """The driver's name, as a user of Docker gives it."""
        return self.through or self.daemon.driver

    def fail_network(self, *options: str) -> str:
        """A `docker network create` that must fail, and what it says."""
        return self.docker.fails(
            "network", "create", *self.driver_options, *options, self.name("net")
        )

    def run_container(
        self,
        network: str,
        *options: str,
        name: str = "",
        command: Sequence[str] = ("sleep", "infinity"),
    ) -> str:
        """`docker run -d --network NETWORK …`, and the container's name."""
        name = name or self.name("c")
        self.undo(lambda: self.docker("rm", "-f", name, check=False))
        self._client(options)("run", *self.run_options(network, name), *options, IMAGE, *command)
        return name

    def fail_container(self, network: str, *options: str) -> str:
        """A `docker run` that must fail, and what it says; the dead container is removed."""
        name = self.name("c")
        try:
            return self._client(options).fails(
                "run", *self.run_options(network, name), *options, IMAGE, "sleep", "infinity"
            )
        finally:
            self.docker("rm", "-f", name, check=False)

    def _client(self, options: Sequence[str]) -> Docker:
        return self.docker.as_engine() if "--mac-address" in options else self.docker

    def run_options(self, network: str, name: str) -> tuple[str, ...]:
        """The options of every container of a test."""
        return ("-d", "--label", f"{LABEL}={self.prefix}", "--network", network, "--name", name)

    def remove_container(self, *names: str) -> None:
        """`docker rm -f`."""
        self.docker("rm", "-f", *names)

    def remove_network(self, name: str) -> None:
        """`docker network rm`."""
        self.docker("network", "rm", name)

    def exec(self, container: str, *command: str, check: bool = True, seconds: float = 60) -> str:
        """`docker exec`: its output."""
        return self.docker("exec", container, *command, check=check, seconds=seconds)

    def process_of(self, container: str) -> str:
        """The id of a container's first process."""
        return str(self.docker.inspect(container)["State"]["Pid"])

    def device_of(self, container: str) -> str:
        """The host's end of the container's pair."""
        (row,) = (one for one in self.daemon.admin("/v1/ports") if one["container"] == container)
        return str(row["device"])

    def endpoint(self, container: str, network: str = "") -> dict[str, Any]:
        """The container's endpoint as `docker inspect` shows it; of its only network, or one."""
        endpoints: dict[str, Any] = self.docker.inspect(container)["NetworkSettings"]["Networks"]
        found: dict[str, Any] = endpoints[network] if network else next(iter(endpoints.values()))
        return found

    def ip_of(self, container: str, network: str = "", family: int = 4) -> str:
        """The container's address."""
        key = "IPAddress" if family == 4 else "GlobalIPv6Address"
        return str(self.endpoint(container, network)[key])

    # ── traffic ─────────────────────────────────────────────────────────────
    def pings(self, container: str, address: str, *options: str) -> bool:
        """Whether the address answers a ping from the container within some seconds."""
        ping = ("exec", container, "ping", "-c", "1", "-W", "2", *options, address)
        return any(self.docker.attempt(*ping).returncode == 0 for _ in range(3))

    def answers(self, container: str, address: str) -> bool:
        """Whether the address answers one ping from the container within a second."""
        ping = ("exec", container, "ping", "-c", "1", "-W", "1", address)
        return self.docker.attempt(*ping).returncode == 0

    def serve(self, container: str, *ports: int) -> None:
        """Serves HTTP on these TCP ports of the container, on each family."""
        for port in ports:
            self.docker("exec", "-d", container, "httpd", "-f", "-p", str(port), "-h", "/www")
        listening = [f":{port:04X} " for port in ports]

        def all_listen() -> bool:
            table = self.exec(container, "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False)
            return all(port in table for port in listening)

        wait_until(all_listen, f"{container} listens on {ports}")

    def fetches(self, container: str, address: str, port: int) -> bool:
        """Whether an HTTP request from the container is answered within some seconds."""
        host = f"[{address}]" if ":" in address else address
        # Debian's busybox dies of wget's own -T.
        wget = ("timeout", "3", "wget", "-q", "-O-", f"http://{host}:{port}/")
        return "hello" in self.docker.attempt("exec", container, *wget).stdout

    # ── Neutron ─────────────────────────────────────────────────────────────
    @property
    def project(self) -> str:
        """The project in which the daemon makes its things."""
        return self._owner.get("project_id") or str(self.neutron.current_project_id)

    def neutron_networks(self, docker_network: str) -> list[Any]:
        """The Neutron networks that carry a Docker network's id, as kuryr's users find them."""
        identity = self.docker.inspect("network", docker_network)["Id"]
        tags = f"kuryr.net.uuid.lh:{identity[:32]},kuryr.net.uuid.uh:{identity[32:]}"
        return list(self.neutron.network.networks(tags=tags))

    def neutron_network(self, docker_network: str) -> Any:
        """The one Neutron network behind a Docker network."""
        (network,) = self.neutron_networks(docker_network)
        return network

    def neutron_subnets(self, network_id: str) -> list[Any]:
        """The subnets of a Neutron network, IPv4 first."""
        found = self.neutron.network.subnets(network_id=network_id)
        return sorted(found, key=lambda subnet: subnet.ip_version)

    def neutron_port(self, container: str, network: str = "") -> Any:
        """The container's port."""
        mac = self.endpoint(container, network)["MacAddress"]
        (port,) = self.neutron.network.ports(mac_address=mac)
        return port

    def await_active(self, *ports: Any, seconds: float = 90.0) -> None:
        """Waits until Neutron calls the ports ACTIVE, which it learns from the switch by way of OVN
        and always a moment later than the containers have their network.
        """
        waiting = {port.id for port in ports}

        def active() -> bool:
            told = {one: self.neutron.network.get_port(one).status for one in waiting}
            waiting.intersection_update(one for one, status in told.items() if status != "ACTIVE")
            return not waiting

        try:
            wait_until(active, "Neutron calls all ports ACTIVE", seconds)
        except AssertionError as error:
            plugs = [self._interface(one) for one in waiting]
            raise AssertionError(f"{error}; the switch has of the others: {plugs}") from None

    def _interface(self, port_id: str) -> str:
        return self.machine.vsctl(
            "--columns=name,external_ids", "find", "Interface", f"external_ids:iface-id={port_id}"
        )

    def container_ports(self, docker_network: str) -> list[Any]:
        """The ports of a Docker network's Neutron network that are, or wait to be, containers'."""
        found = self.neutron.network.ports(network_id=self.neutron_network(docker_network).id)
        return [port for port in found if port.device_owner == "compute:kuryr"]

    def make_network(self, *ranges: object, shared: bool = False, **values: Any) -> Any:
        """A Neutron network as an operator makes it, with a subnet for each range."""
        values = {"name": self.name("theirs"), **self._owner, **values}
        network = self.neutron.network.create_network(is_shared=shared, **values)
        self.undo(lambda: self.delete_neutron_network(network.id))
        for cidr in ranges:
            self.make_subnet(network.id, cidr)
        return network

    def make_subnet(self, network_id: str, cidr: object, **values: Any) -> Any:
        """A subnet as an operator makes it."""
        version = 6 if ":" in str(cidr) else 4
        values = {"name": self.name("subnet"), **self._owner, **values}
        return self.neutron.network.create_subnet(
            network_id=network_id, cidr=str(cidr), ip_version=version, **values
        )

    def make_port(self, network_id: str, address: str = "", **values: Any) -> Any:
        """A port as an operator makes it; it goes with its network."""
        if address:
            values["fixed_ips"] = [{"ip_address": address}]
        values = {"name": self.name("port"), **self._owner, **values}
        return self.neutron.network.create_port(network_id=network_id, **values)

    def make_group(self, *rules: dict[str, Any], name: str = "") -> Any:
        """A security group with these ingress rules more than Neutron's own."""
        values = {"name": name or self.name("group"), **self._owner}
        group = self.neutron.network.create_security_group(**values)
        self.undo(lambda: self._delete_group(group.id))
        for rule in rules:
            self.neutron.network.create_security_group_rule(
                **{
                    "security_group_id": group.id,
                    "direction": "ingress",
                    **self._owner,
                    **rule,
                }
            )
        return group

    def _delete_group(self, group: str) -> None:
        """Once no port wears it: those of a network that was just removed go in their own time."""

        def deleted() -> bool:
            try:
                self.neutron.network.delete_security_group(group)
            except ConflictException:
                return False
            return True

        wait_until(deleted, f"no port wears group {group}", 40)

    def make_subnet_pool(self, *prefixes: object, length: int = 26, **values: Any) -> Any:
        """A subnet pool as an operator makes it."""
        values = {"name": self.name("pool"), **self._owner, **values}
        pool = self.neutron.network.create_subnet_pool(
            prefixes=[str(one) for one in prefixes], default_prefix_length=length, **values
        )
        self.undo(lambda: self.neutron.network.delete_subnet_pool(pool.id))
        return pool

    def delete_neutron_network(self, network_id: str) -> None:
        """Deletes a network with all that is on it."""
        for port in self.neutron.network.ports(network_id=network_id):
            if not port.device_owner.startswith("network:"):
                self.neutron.network.delete_port(port.id)
        self.neutron.network.delete_network(network_id)

    # ── what is left ────────────────────────────────────────────────────────
    def owed(self) -> int:
        """How much work the daemon still owes Neutron or the switch."""
        return int(self.daemon.admin("/v1/status")["outbox"]["depth"])

    def settled(self, seconds: float = 40.0) -> None:
        """Waits until the daemon owes Neutron nothing."""
        wait_until(lambda: not self.owed(), "the daemon settles its work", seconds)

    def snapshot(self) -> Seen:
        """What is there once the daemon owes nothing, to compare with later."""
        if self.daemon.running:
            self.settled()
        return self._watch.snapshot()

    def nothing_left(self, before: Seen, seconds: float = 30.0) -> None:
        """Asserts that all is as `before`, within a bound."""
        left = ["not compared yet"]

        def as_before() -> bool:
            left[0] = difference(before, self.snapshot())
            return not left[0]

        try:
            wait_until(as_before, "all is as before", seconds)
        except AssertionError:
            raise AssertionError(f"something is not as before:\n{left[0]}") from None

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """A block that leaves nothing behind, and takes nothing away."""
        before = self.snapshot()
        yield
        self.nothing_left(before)

    def undo(self, action: Callable[[], object]) -> None:
        """Notes what :meth:`cleanup` shall do, the last first."""
        self._undo.append(action)

    def cleanup(self) -> None:
        """Takes away what the test made and did not remove itself."""
        while self._undo:
            action = self._undo.pop()
            try:
                action()
            except Exception as error:
                print(f"cleanup: {type(error).__name__}: {error}")


_NUMBERS = itertools.count(1)
