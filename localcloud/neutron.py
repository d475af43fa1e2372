# SPDX-License-Identifier: Apache-2.0
"""Neutron (ML2/OVN) under uWSGI, its tables and its policy file."""

from __future__ import annotations

import shutil

from . import mariadb, uwsgi
from .commands import run
from .http_api import answers
from .layout import Layout, secrets_of
from .ovn import northbound, southbound_socket
from .process import Daemon

PHYSICAL_NETWORK = "physnet1"
PHYSICAL_MTU = 1500


def daemon(layout: Layout) -> Daemon:
    """Neutron's uWSGI master."""
    return uwsgi.daemon(
        layout,
        "neutron",
        {
            "OS_NEUTRON_CONFIG_DIR": str(layout.neutron),
            "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2.ini",
        },
    )


def configure(layout: Layout) -> str:
    """Write the configuration and make the tables once. Raises `CloudError`."""
    folder = layout.private_folder(layout.neutron)
    (folder / "neutron.conf").write_text(_configuration(layout))
    (folder / "ml2.ini").write_text(_ml2(layout))
    shutil.copy(layout.venv / "etc" / "neutron" / "api-paste.ini", folder / "api-paste.ini")
    if not layout.policy_file.exists():
        layout.policy_file.write_text("{}\n")
    uwsgi.configure(
        layout, "neutron", "neutron.wsgi.api:application", layout.settings.neutron_port, processes=2
    )
    if layout.done("neutron-tables"):
        return "there already"
    mariadb.empty(layout, "neutron")
    run(
        [
            str(layout.venv / "bin" / "neutron-db-manage"),
            "--config-file",
            str(folder / "neutron.conf"),
            "--config-file",
            str(folder / "ml2.ini"),
            "upgrade",
            "heads",
        ],
        what="neutron-db-manage",
        log=layout.log("neutron-db-manage"),
    )
    layout.mark_done("neutron-tables")
    return "made"


def start(layout: Layout) -> str:
    """Start it unless it answers. Raises `CloudError`."""
    return uwsgi.start(daemon(layout), lambda: answers(layout.settings.neutron_url + "/v2.0/"))


def _configuration(layout: Layout) -> str:
    settings = layout.settings
    return f"""[DEFAULT]
core_plugin = ml2
service_plugins = ovn-router,trunk,qos,port_forwarding,segments
auth_strategy = keystone
api_paste_config = {layout.neutron}/api-paste.ini
transport_url = fake://
state_path = {layout.neutron}/state
use_stderr = true
dns_domain = kurier.local.
global_physnet_mtu = {PHYSICAL_MTU}
max_dns_nameservers = 8
agent_down_time = 40
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
[oslo_concurrency]
lock_path = {layout.neutron}/lock
[oslo_policy]
policy_file = {layout.policy_file}
[database]
connection = {mariadb.url(layout, "neutron")}
max_pool_size = 10
[quotas]
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_router = -1
quota_floatingip = -1
quota_security_group = -1
quota_security_group_rule = -1
[keystone_authtoken]
www_authenticate_uri = {settings.keystone_url}
auth_url = {settings.keystone_url}
auth_type = password
project_domain_id = default
user_domain_id = default
project_name = service
username = neutron
password = {secrets_of(layout)["neutron"]}
"""


def _ml2(layout: Layout) -> str:
    return f"""[ml2]
type_drivers = geneve,flat,vlan,local
tenant_network_types = geneve
mechanism_drivers = ovn
extension_drivers = port_security,dns,qos,tag_ports_during_bulk_creation
overlay_ip_version = 4
path_mtu = {PHYSICAL_MTU}
[ml2_type_geneve]
vni_ranges = 1:65536
max_header_size = 38
[ml2_type_flat]
flat_networks = *
[ml2_type_vlan]
network_vlan_ranges = {PHYSICAL_NETWORK}:100:199
[securitygroup]
enable_security_group = true
[ovn]
ovn_nb_connection = unix:{northbound(layout).socket}
ovn_sb_connection = unix:{southbound_socket(layout)}
ovn_l3_scheduler = leastloaded
enable_distributed_floating_ip = true
ovn_metadata_enabled = false
"""
