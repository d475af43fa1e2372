# SPDX-License-Identifier: Apache-2.0
"""The story's parts, in the order in which they are told."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

import openstack

from demo.daemon import Daemon
from demo.leftovers import GROUP, METAL, PROD, PROVIDER, VM
from demo.place import Place
from demo.telling import Teller
from localcloud.guests import BareMetal, GuestPort, Vm

KURYR = ("-d", "kuryr", "--ipam-driver", "kuryr")
VM_ADDRESS, METAL_ADDRESS = "10.77.2.10", "10.77.3.10"
SERVE = "echo hello from $(hostname) > /tmp/index.html; exec httpd -f -p 80 -h /tmp"


@dataclass
class Scene:
    """Who takes part, and what later parts need of earlier ones."""

    teller: Teller
    place: Place
    daemon: Daemon
    blue: str = ""
    """The Neutron network that Kurier makes, by name."""
    tags: dict[str, str] = field(default_factory=dict)
    """The tags of networks that were there before."""


def daemon(scene: Scene) -> None:
    """Configures and starts Kurier."""
    tell = scene.teller
    tell.chapter("One daemon on the host")
    scene.daemon.configure()
    tell.run("cat", str(scene.place.folder / "kurier.toml"))
    tell.run("kurier", "config", "check")
    scene.daemon.start()
    tell.say(f"`kurier serve` was started and serves Docker on {scene.daemon.socket}.")
    status = tell.run("kurier", "status")
    tell.check("ok" in status, "the daemon answers and sees switch and engine")


def somebody_elses(scene: Scene) -> None:
    """A Neutron network that Kurier did not make, and a VM that boots while the story goes on."""
    tell = scene.teller
    tell.chapter("What is there already: a Neutron network of somebody else's")
    tell.run(
        *("openstack", "network", "create", PROD, "--tag", "owner:billing"),
        *("-c", "id", "-c", "name", "-c", "mtu", "-c", "tags"),
    )
    tell.run(
        *("openstack", "subnet", "create", PROD, "--network", PROD),
        *("--subnet-range", "10.77.2.0/24", "-c", "cidr", "-c", "gateway_ip"),
    )
    if scene.place.host is not None:
        _boot_vm(scene)


def _boot_vm(scene: Scene) -> None:
    tell, host = scene.teller, scene.place.host
    assert host is not None
    tell.run("openstack", "security", "group", "create", GROUP, "-c", "id", "-c", "name")
    allow = ("openstack", "security", "group", "rule", "create", GROUP, "-c", "id")
    tell.run(*allow, "--protocol", "icmp")
    tell.run(*allow, "--protocol", "tcp", "--dst-port", "80")
    tell.run(
        *("openstack", "port", "create", GROUP, "--network", PROD, "--security-group", GROUP),
        *("--fixed-ip", f"ip-address={VM_ADDRESS}", "--host", host.hostname),
        *("--device-owner", "compute:nova", "-c", "id", "-c", "mac_address", "-c", "fixed_ips"),
    )
    vm(scene).start()
    tell.say(
        "A virtual machine (QEMU, emulated) boots on that port, in the meantime. It answers ping "
        "and serves HTTP on TCP 80; its security group admits both."
    )


def vm(scene: Scene) -> Vm:
    """The virtual machine, on the port that Neutron has for it."""
    if scene.place.host is None:
        raise ValueError("there is no virtual machine without the local cloud")
    network = openstack.connect(cloud=os.environ.get("OS_CLOUD")).network
    port = network.find_port(GROUP, ignore_missing=False)
    raw = network.get(f"/ports/{port.id}").json()["port"]
    subnets = network.get(f"/subnets?network_id={port.network_id}").json()["subnets"]
    mtu = network.get_network(port.network_id).mtu
    return Vm(scene.place.host, VM, GuestPort.from_neutron(raw, subnets, mtu))


def made_by_docker(scene: Scene) -> None:
    """A network made through Docker, seen in Neutron."""
    tell = scene.teller
    tell.chapter("A network made through Docker")
    identity = tell.run(
        *("docker", "network", "create", *KURYR, "--subnet", "10.77.1.0/24"),
        *("--gateway", "10.77.1.1", "demo-blue"),
    )
    scene.blue = f"kuryr-net-{identity[:8]}"
    mark = f"kuryr.net.uuid.lh:{identity[:32]},kuryr.net.uuid.uh:{identity[32:]}"
    found = tell.run("openstack", "network", "list", "--tags", mark, "-c", "ID", "-c", "Name")
    tell.check(scene.blue in found, "Neutron has the network, found by the tags of Docker's id")
    shown = tell.run(
        *("openstack", "network", "show", scene.blue, "-c", "name", "-c", "tags", "-f", "yaml")
    )
    tell.check("kurier.made" in shown, "tagged as made by Kurier, with the mapping")


def two_containers(scene: Scene) -> None:
    """Two containers that talk, and what Neutron knows of one."""
    tell, image = scene.teller, scene.place.image
    tell.chapter("Two containers that talk")
    run = ("docker", "run", "--detach", "--network", "demo-blue")
    tell.run(*run, "--name", "demo-a", "--hostname", "anna", image, "sh", "-c", SERVE)
    tell.run(*run, "--name", "demo-b", image, "sleep", "infinity")
    ping(scene, "demo-b", "demo-a")
    fetch(scene, "demo-b", address_of(scene, "demo-a"), "hello from anna")
    columns = "name device_id device_owner binding_host_id status fixed_ips description tags"
    shown = tell.run_until(
        lambda output: "compute:kuryr" in output and "ACTIVE" in output,
        "Neutron shows the container's port by its name, bound to this host and ACTIVE",
        *("openstack", "port", "show", "demo-a", "-f", "yaml"),
        *(word for column in columns.split() for word in ("-c", column)),
    )
    identity = tell.quietly("docker", "inspect", "--format", "{{.Id}}", "demo-a")
    tell.check(identity in shown, "device_id is the container's id")


def beside_a_vm(scene: Scene) -> None:
    """A container on the existing network, beside its VM."""
    tell = scene.teller
    tell.chapter("An existing Neutron network" + (", and its VM" if scene.place.host else ""))
    scene.tags[PROD] = tags(scene, PROD)
    guard = () if scene.place.host is None else ("-o", f"kurier.security_groups={GROUP}")
    adopt(scene, "demo-prod", PROD, *guard)
    run_on(scene, "demo-client", "demo-prod")
    if scene.place.host is None:
        tell.say(
            "This is not the local cloud, so there is neither the story's VM nor its bare-metal "
            "host: those two parts are left out."
        )
        return
    guest = vm(scene)
    guest.wait_ready()
    ping(scene, "demo-client", VM_ADDRESS)
    fetch(scene, "demo-client", VM_ADDRESS, "hello from the virtual machine")
    address = address_of(scene, "demo-client")
    answer = guest.run(f"ping -c 2 -w 10 {address}")
    tell.check("0% packet loss" in answer, f"and the VM pings the container at {address}")


def guarded(scene: Scene) -> None:
    """A security group that denies, then allows."""
    tell = scene.teller
    tell.chapter("A security group between container and VM")
    url = f"http://{VM_ADDRESS}/"
    rules = ("openstack", "security", "group", "rule")
    found = tell.run(*rules, "list", GROUP, "--protocol", "tcp", "-f", "value", "-c", "ID")
    tell.run(*rules, "delete", *found.split())
    wget = ("docker", "exec", "demo-client", "timeout", "3", "wget", "-q", "-O", "-", url)
    tell.run(*wget, fails=True)
    tell.check(True, "without the rule, TCP 80 of the VM is closed to the container")
    tell.run(*rules, "create", GROUP, "--protocol", "tcp", "--dst-port", "80", "-c", "id")
    tell.run_until(
        lambda output: "hello from the virtual machine" in output,
        "with the rule it is open",
        *wget,
    )


def beside_bare_metal(scene: Scene) -> None:
    """A container on a flat provider network, beside a bare-metal host."""
    tell, host = scene.teller, scene.place.host
    assert host is not None
    tell.chapter("A provider network, and the bare-metal host on it")
    tell.run(
        *("openstack", "network", "create", PROVIDER, "--provider-network-type", "flat"),
        *("--provider-physical-network", "physnet1", "-c", "name", "-c", "provider:network_type"),
    )
    tell.run(
        *("openstack", "subnet", "create", PROVIDER, "--network", PROVIDER, "--no-dhcp"),
        *("--subnet-range", "10.77.3.0/24", "--gateway", "none"),
        *("--allocation-pool", "start=10.77.3.100,end=10.77.3.199", "-c", "cidr"),
    )
    address = ipaddress.ip_interface(f"{METAL_ADDRESS}/24")
    BareMetal(host, METAL, (address,)).start()
    tell.say(
        f"A host at {METAL_ADDRESS} is cabled to the physical network; Neutron knows nothing of it."
    )
    scene.tags[PROVIDER] = tags(scene, PROVIDER)
    adopt(scene, "demo-metal", PROVIDER)
    run_on(scene, "demo-phone", "demo-metal")
    ping(scene, "demo-phone", METAL_ADDRESS)
    fetch(scene, "demo-phone", METAL_ADDRESS, "hello from the bare-metal machine")


def removed(scene: Scene) -> None:
    """The Docker networks go; what was there before stays as it was."""
    tell = scene.teller
    tell.chapter("The end: what was there before stays")
    here = ["demo-a", "demo-b", "demo-client"] + (["demo-phone"] if scene.place.host else [])
    tell.run("docker", "rm", "--force", *here)
    networks = ["demo-blue", "demo-prod"] + (["demo-metal"] if scene.place.host else [])
    tell.run("docker", "network", "rm", *networks)
    left = tell.run_until(
        lambda output: scene.blue not in output,
        "the network that Kurier made is gone",
        *("openstack", "network", "list", "-c", "Name", "-c", "Subnets"),
    )
    for name, before in scene.tags.items():
        tell.check(name in left, f"{name} is still there")
        now = tags(scene, name)
        tell.check(now == before, f"its tags are exactly those of before: {now or 'none'}")


def adopt(scene: Scene, docker_network: str, neutron_network: str, *more: str) -> None:
    """Makes a Docker network of an existing Neutron network; Kurier's marks appear on it."""
    option = f"neutron.net.name={neutron_network}"
    scene.teller.run(
        *("docker", "network", "create", *KURYR, "-o", option, "--ipam-opt", option, *more),
        docker_network,
    )
    now = tags(scene, neutron_network)
    mapped = "kurier:" in now and "kuryr.net.existing" in now and "kurier.made" not in now
    scene.teller.check(mapped, f"{neutron_network} is marked as mapped, and as somebody else's")


def run_on(scene: Scene, container: str, network: str) -> None:
    """Starts a container that waits to be told what to do."""
    words = ("docker", "run", "--detach", "--name", container, "--network", network)
    scene.teller.run(*words, scene.place.image, "sleep", "infinity")


def address_of(scene: Scene, container: str) -> str:
    """A container's address, as Docker knows it."""
    wanted = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return scene.teller.run("docker", "inspect", "--format", wanted, container)


def tags(scene: Scene, network: str) -> str:
    """A Neutron network's tags, shown."""
    command = ("openstack", "network", "show", network, "-c", "tags", "-f", "yaml")
    shown = scene.teller.run(*command)
    found = [line.removeprefix("- ").strip("'") for line in shown.splitlines() if "- " in line]
    return " ".join(sorted(found))


def ping(scene: Scene, container: str, target: str) -> None:
    """Three pings from a container, all answered."""
    output = scene.teller.run("docker", "exec", container, "ping", "-c", "3", "-w", "10", target)
    scene.teller.check(" 0% packet loss" in output, f"{container} pings {target}")


def fetch(scene: Scene, container: str, target: str, words: str) -> None:
    """A page over TCP, with the words expected on it."""
    url = f"http://{target}/"
    command = ("docker", "exec", container, "timeout", "5", "wget", "-q", "-O", "-", url)
    output = scene.teller.run(*command)
    scene.teller.check(words in output, f"{container} fetches {url} over TCP")
