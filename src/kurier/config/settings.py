# SPDX-License-Identifier: Apache-2.0
"""Every setting of Kurier: its name, type, default and meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

from kurier.config import rules
from kurier.config.option import option


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """The process itself: its sockets, its files and its log."""

    driver_name: str = option(
        "kuryr",
        "The driver's name, as in `docker network create -d NAME --ipam-driver NAME`. It is the "
        "file name of the plugin socket.",
        rule=rules.driver_name,
    )
    plugin_dir: str = option(
        "/run/docker/plugins",
        "Where the engine looks for plugin sockets; `driver_name.sock` is made there. Docker looks "
        "nowhere else, so this changes only for an engine with a `/run` of its own.",
        rule=rules.absolute_path,
    )
    admin_socket: str = option(
        "/run/kurier/kurier.sock",
        "The unix socket that `kurier status` and its sisters talk to. Root's alone.",
        rule=rules.absolute_path,
    )
    state_dir: str = option(
        "/var/lib/kurier",
        "Where the ledger lives: this host's durable record of networks, ports and work that "
        "Neutron has still to be told. Must survive a reboot.",
        rule=rules.absolute_path,
    )
    listen: str = option(
        "",
        "Serve the plugin's protocol on this TCP `HOST:PORT` as well. Away from the loopback "
        "addresses this needs the three `tls_` settings: whoever reaches the port may rewire "
        "containers.",
        rule=rules.host_and_port_or_empty,
    )
    tls_cert: str = option(
        "", "The certificate that `listen` shows, PEM.", rule=rules.absolute_path_or_empty
    )
    tls_key: str = option(
        "",
        "The key of `tls_cert`, PEM, readable by root alone.",
        rule=rules.absolute_path_or_empty,
    )
    tls_client_ca: str = option(
        "",
        "The authority whose client certificates `listen` accepts, PEM.",
        rule=rules.absolute_path_or_empty,
    )
    spec_dir: str = option(
        "/etc/docker/plugins",
        "Where `driver_name.json`, which tells the engine of the TCP listener, is written when "
        "`listen` is set.",
        rule=rules.absolute_path,
    )
    metrics_listen: str = option(
        "",
        "Serve Prometheus metrics in clear on this `HOST:PORT`. They are on the admin socket in "
        "any case.",
        rule=rules.host_and_port_or_empty,
    )
    request_timeout: float = option(
        9.0,
        "The deadline of each call of the engine. The engine sets none of its own: a call that "
        "hangs would hang `docker` with it. Below 10, since the engine kills a managed plugin "
        "that is silent for that long.",
        unit="seconds",
        rule=rules.between(1.0, 9.9),
    )
    log_level: str = option(
        "info", "How much is logged.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = option(
        "text", "One line of text for people, or one JSON object a line.", choices=("text", "json")
    )
    host: str = option(
        "",
        "This host's name in Neutron's `binding:host_id`. Empty: what Open vSwitch says in "
        "`external_ids:hostname`, else the host name. A name that Neutron does not know as a "
        "chassis or agent makes every binding fail.",
    )
    environment: str = option(
        "",
        "The id of this Docker control plane in Neutron's tags. Empty: the engine's own id. Set "
        "it only to take over what another environment left.",
        rule=rules.tag_part,
    )


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """Which cloud, and how patient to be with it. Credentials are in `clouds.yaml` or `OS_*`."""

    name: str = option(
        "",
        "The entry of `clouds.yaml` to use. Empty: `OS_CLOUD`, else the `OS_*` variables, else "
        "the only entry there is.",
    )
    region: str = option("", "The region. Empty: as `clouds.yaml` or `OS_REGION_NAME` say.")
    interface: str = option(
        "",
        "Which of Neutron's endpoints in the catalogue is used. Empty: as `clouds.yaml` or "
        "`OS_INTERFACE` say, else public.",
        choices=("", "public", "internal", "admin"),
    )
    ca_file: str = option(
        "",
        "The authorities to trust for the cloud's TLS, PEM. Empty: as `clouds.yaml` or "
        "`OS_CACERT` say, else the system's.",
        rule=rules.absolute_path_or_empty,
    )
    connect_timeout: float = option(
        3.0,
        "How long a connection to Keystone or Neutron may take.",
        unit="seconds",
        rule=rules.between(0.1, 60.0),
    )
    read_timeout: float = option(
        8.0,
        "How long an answer of Keystone or Neutron may take. What the engine waits for is also "
        "held to `daemon.request_timeout`.",
        unit="seconds",
        rule=rules.between(0.5, 300.0),
    )
    retries: int = option(
        2,
        "How often a read, or a connection that failed, is tried again before it is an error. "
        "Writes that may have been carried out are looked up first.",
        rule=rules.between(0, 10),
    )
    workers: int = option(
        8,
        "How many calls to the cloud may be under way at once.",
        rule=rules.between(1, 64),
    )


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The Docker engine, asked in the background only, never while it waits for an answer."""

    docker_host: str = option(
        "unix:///var/run/docker.sock",
        "The engine's API. Container names, host names and exposed ports are read from it.",
        rule=rules.docker_host,
    )
    swarm_plugin: str = option(
        "kuryr:swarm",
        "The managed plugin, with its tag, that `kurier plugin install` made on every node; the "
        "Swarm's networks name it as their driver. Not `kuryr:latest`: an engine that has such a "
        "plugin takes driver `kuryr` for it, and loses the networks of that driver.",
        rule=rules.plugin_name,
    )
    swarm_interval: float = option(
        10.0,
        "How often Neutron is asked for networks that were made for whole Swarms; a third as often "
        "while the engine is in none, so that a node that joins one has its networks at once.",
        unit="seconds",
        rule=rules.between(1.0, 3600.0),
    )


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What new networks and ports are given where nobody says otherwise."""

    security_groups: tuple[str, ...] = option(
        (),
        "Names or ids of the security groups of ports. Empty: Neutron's default group. A "
        "network's `-o kurier.security_groups=` and an endpoint's go over it.",
    )
    qos_policy: str = option("", "Name or id of the QoS policy of ports. Empty: none of ours.")
    port_security: bool | None = option(
        None, "Whether ports have port security. Unset: as the Neutron network says."
    )
    enable_dhcp: bool = option(
        True,
        "Whether subnets that Kurier makes have DHCP, which VMs on them need. Containers do not.",
    )
    default_subnet_pool_v4: str = option(
        "",
        "Name or id of the subnet pool for networks made without `--subnet`. Empty: Neutron's "
        "own default pool.",
    )
    default_subnet_pool_v6: str = option(
        "",
        "Name or id of the IPv6 subnet pool for networks made with `--ipv6` alone. Empty: "
        "Neutron's own default pool.",
    )
    name_prefix: str = option(
        "kuryr-net-",
        "What the names of Neutron networks that Kurier makes begin with.",
        rule=rules.shorter_than(64),
    )


@dataclass(frozen=True, slots=True)
class DatapathSettings:
    """This host's Open vSwitch."""

    ovsdb: str = option(
        "unix:/run/openvswitch/db.sock",
        "The switch's database, as `ovs-vsctl --db` takes it.",
        rule=rules.ovsdb,
    )
    integration_bridge: str = option(
        "br-int", "The bridge that ports are plugged into.", rule=rules.device_name
    )
    ovs_run_dir: str = option(
        "",
        "Where ovs-vswitchd has its pid file and control socket, through which the connections of "
        "a port's former user are forgotten. Empty: the folder of `ovsdb`'s socket.",
        rule=rules.absolute_path_or_empty,
    )
    wired_by: str = option(
        "auto",
        "Whose word says that a port is wired: OVN's controller (`ovn`) or the ML2/OVS agent "
        "(`agent`). `auto` looks at the switch.",
        choices=("auto", "ovn", "agent"),
    )
    wire_timeout: float = option(
        8.0,
        "How long a port may take until it is wired. Below `daemon.request_timeout`.",
        unit="seconds",
        rule=rules.between(0.1, 9.8),
    )
    wire_fatal: bool = option(
        True,
        "Whether a port that is not wired in time fails the container's start. Off: it starts, "
        "and may have no network for a while.",
    )
    interface_prefix: str = option(
        "eth",
        "What interface names in containers begin with; the engine adds a number.",
        rule=rules.interface_prefix,
    )


@dataclass(frozen=True, slots=True)
class ReconcileSettings:
    """The comparison of ledger, Neutron, switch and engine."""

    interval: float = option(
        60.0,
        "How long from one comparison to the next.",
        unit="seconds",
        rule=rules.between(1.0, 86400.0),
    )
    grace: float = option(
        300.0,
        "How old a port must be, and seen unused in two comparisons, before it is taken for a "
        "leak and removed. At least four times `daemon.request_timeout`: a start asks that often "
        "before the engine lists the container.",
        unit="seconds",
        rule=rules.between(0.0, 86400.0),
    )
    short_grace: bool = option(
        False,
        "Lets `reconcile.grace` be shorter than a container's start may take. For tests alone: "
        "a container that starts slowly may then lose its port.",
    )


@dataclass(frozen=True, slots=True)
class SettleSettings:
    """The telling of Neutron, afterwards, what an answer to the engine made true."""

    backoff_max: float = option(
        30.0,
        "The longest pause before work that failed is tried again; pauses double up to it.",
        unit="seconds",
        rule=rules.between(1.0, 3600.0),
    )
    unanswered: float = option(
        300.0,
        "For how long Kurier looks again for what a request that Neutron did not answer may yet "
        "bring about. At least what a proxy before Neutron or its web server lets a request take.",
        unit="seconds",
        rule=rules.between(15.0, 86400.0),
    )


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Ready ports: made, bound, plugged and wired before a container asks for one.

    Numbers are for each Docker network on this host; a network's `-o kurier.pool.min=` and
    `-o kurier.pool.max=` go over them.
    """

    enabled: bool = option(
        True, "Whether ports are kept ready. Off: each container waits for Neutron."
    )
    min: int = option(
        4,
        "How many ports are ready when nothing happens. A burst raises it, quiet lowers it again.",
        rule=rules.between(0, 4096),
    )
    max: int = option(
        64,
        "How many ports a pool may have at most, cooling ones included. 0: no pool.",
        rule=rules.between(0, 4096),
    )
    batch: int = option(
        8,
        "How many ports one request to Neutron makes at most. Neutron takes some 0.6 s a port.",
        rule=rules.between(1, 64),
    )
    host_max: int = option(
        512,
        "How many ports all pools of this host may have together.",
        rule=rules.between(0, 65536),
    )
    recycle: bool = option(
        True,
        "Whether a port goes back to its pool after use. Off: it is deleted.",
    )
    cooling: float = option(
        15.0,
        "How long a port that was given back is left alone before it is ready again.",
        unit="seconds",
        rule=rules.between(0.0, 3600.0),
    )
    half_life: float = option(
        30.0,
        "How fast a burst is forgotten: the time after which it counts half.",
        unit="seconds",
        rule=rules.between(1.0, 86400.0),
    )
    networks: int = option(
        0,
        "How many networks, each with a subnet of the default IPv4 subnet pool, wait for "
        "`docker network create` without `--subnet`. `kurier pool networks --count` goes over it.",
        rule=rules.between(0, 256),
    )
    lag: float = option(
        30.0,
        "The longest that refilling, and telling Neutron whose a port is, stand back while "
        "containers start and stop. Published ports are opened at once, and a pool that runs dry "
        "is refilled at once.",
        unit="seconds",
        rule=rules.between(0.0, 600.0),
    )
    gather: float = option(
        0.005,
        "How long a start that finds no ready port waits for others, so that one request makes "
        "the ports of all. 0: each makes its own.",
        unit="seconds",
        rule=rules.between(0.0, 1.0),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings in force."""

    daemon: DaemonSettings = field(default_factory=DaemonSettings)
    cloud: CloudSettings = field(default_factory=CloudSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    datapath: DatapathSettings = field(default_factory=DatapathSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    reconcile: ReconcileSettings = field(default_factory=ReconcileSettings)
    settle: SettleSettings = field(default_factory=SettleSettings)
