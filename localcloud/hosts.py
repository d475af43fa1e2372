# SPDX-License-Identifier: Apache-2.0
"""A host of the cloud, as tests and the demo see it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import engine as docker_engine
from . import image, network, ovs
from .commands import run
from .errors import CloudError
from .place import Place
from .services import Service


@dataclass(frozen=True)
class Host:
    """The machine itself ("host1") or one in namespaces ("host2" …)."""

    place: Place

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def hostname(self) -> str:
        """Neutron's `binding:host_id` for ports here; OVS's `external-ids:hostname`."""
        return self.place.hostname

    @property
    def netns(self) -> str | None:
        """The network namespace's name; None for the machine's own."""
        return self.place.netns

    @property
    def docker_host(self) -> str:
        """`DOCKER_HOST` of this host's engine, usable from the machine."""
        return f"unix://{docker_engine.socket_path(self.place)}"

    @property
    def ovsdb(self) -> str:
        """Connection of this host's Open vSwitch database, usable from the machine and inside."""
        return f"unix:{ovs.database_socket(self.place)}"

    @property
    def run_dir(self) -> Path:
        """This host's `/run`, as the machine sees it."""
        return self.place.run

    @property
    def plugin_dir(self) -> Path:
        """This host's `/run/docker/plugins`, as the machine sees it."""
        return self.place.run / "docker" / "plugins"

    @property
    def folder(self) -> Path:
        """A folder of this host's own below the state, at the same path inside."""
        return self.place.folder

    @property
    def log_dir(self) -> Path:
        return self.place.layout.state / "log"

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command to run it inside this host; empty for the machine."""
        return self.place.enter

    @property
    def env(self) -> dict[str, str]:
        """Variables with which tools inside this host find its parts."""
        settings = self.place.layout.settings
        return {
            "OS_CLIENT_CONFIG_FILE": str(self.place.layout.clouds_file),
            "OS_CLOUD": "kurier-local",
            "KURIER_OVSDB": self.ovsdb,
            "OVS_RUNDIR": str(self.place.openvswitch),
            "DOCKER_HOST": "unix:///var/run/docker.sock",
            "NO_PROXY": f"127.0.0.1,localhost,{settings.api_address}",
            "no_proxy": f"127.0.0.1,localhost,{settings.api_address}",
        }

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command inside this host; `options` are those of `subprocess.Popen`."""
        return subprocess.Popen(
            [*self.enter, *argv], env={**os.environ, **self.env, **(env or {})}, **options
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        seconds: float = 120.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside this host and wait for it.

        Raises `CloudError` with its error output if `check` and it fails, or after `seconds`.
        """
        try:
            done = subprocess.run(
                [*self.enter, *argv],
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.env, **(env or {})},
            )
        except subprocess.TimeoutExpired as error:
            raise CloudError(
                f"{' '.join(argv)} on {self.name} took longer than {seconds:.0f} s."
            ) from error
        if check and done.returncode != 0:
            raise CloudError(
                f"{' '.join(argv)} on {self.name} failed with exit code "
                f"{done.returncode}: {(done.stderr or done.stdout).strip()}"
            )
        return done

    def docker(self, *arguments: str, seconds: float = 120.0) -> str:
        """The Docker client's output against this host's engine. Raises `CloudError`."""
        return run(
            [*docker_engine.docker(self.place), *arguments],
            seconds=seconds,
            what=f"docker {' '.join(arguments)} on {self.name}",
        )

    @property
    def docker_command(self) -> list[str]:
        """The Docker client's command line for this host's engine, usable from the machine."""
        return docker_engine.docker(self.place)

    def vsctl(self, *arguments: str) -> str:
        """`ovs-vsctl` against this host's switch. Raises `CloudError`."""
        return ovs.vsctl(self.place, *arguments)

    @property
    def owns_engine(self) -> bool:
        """Whether the engine was started here; the machine's own is never restarted."""
        return (self.folder / "engine.json").exists()

    def start_dockerd(
        self, engine: str | None = None, arguments: tuple[str, ...] | None = None
    ) -> None:
        """Start this host's engine and load the test image.

        `engine` is one of `engines.VERSIONS`, fetched if need be ("" is the installed
        one); `arguments` are further flags, such as `("--live-restore",)`. Both are kept for later
        starts until changed. Raises `CloudError`.
        """
        chosen = docker_engine.changed(self.place, engine, arguments)
        if self.dockerd.running and chosen != docker_engine.choice(self.place):
            raise CloudError(f"The engine of {self.name} runs; stop it before changing it.")
        docker_engine.start(self.place, chosen)
        network.allow_bridged(self.place.layout)
        image.load(self.place)

    def stop_dockerd(self) -> None:
        """Stop the engine as its service would (SIGTERM)."""
        docker_engine.stop(self.place, with_containers=False)

    def kill_dockerd(self) -> None:
        """SIGKILL to the engine; its containers' shims live on."""
        docker_engine.daemon(self.place).kill()

    def kill_engine_and_containers(self) -> None:
        """SIGKILL to the engine and to all that it runs, as a power cut would."""
        self.kill_dockerd()
        docker_engine.kill_shims(self.place)

    @property
    def dockerd(self) -> Service:
        """The engine's process."""
        return Service(docker_engine.daemon(self.place), lambda: docker_engine.start(self.place))

    def service(self, name: str) -> Service:
        """One of ovsdb-server, ovs-vswitchd, ovn-controller, dockerd on this host."""
        place = self.place
        services = {
            "ovsdb-server": Service(ovs.database(place), lambda: ovs.start_database(place)),
            "ovs-vswitchd": Service(ovs.switch(place), lambda: ovs.start_switch(place)),
            "ovn-controller": Service(ovs.controller(place), lambda: ovs.start_controller(place)),
            "dockerd": self.dockerd,
        }
        if name not in services:
            raise CloudError(
                f"There is no service {name} on a host; there are {', '.join(services)}."
            )
        return services[name]
