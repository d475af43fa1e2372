# SPDX-License-Identifier: Apache-2.0
"""Keystone under uWSGI, its database, and the users, projects and catalogue of the cloud."""

from __future__ import annotations

from typing import Any

from . import mariadb, uwsgi
from .commands import run
from .http_api import answers, call
from .layout import Layout, secrets_of
from .process import Daemon

MEMBER_PROJECT = "kurier-demo"
MEMBER_USER = "kurier-member"
REGION = "RegionOne"


def daemon(layout: Layout) -> Daemon:
    """Keystone's uWSGI master."""
    return uwsgi.daemon(layout, "keystone", {"OS_KEYSTONE_CONFIG_DIR": str(layout.keystone)})


def configure(layout: Layout) -> str:
    """Write the configuration, make the tables and the first user once. Raises `CloudError`."""
    folder = layout.private_folder(layout.keystone)
    (folder / "keystone.conf").write_text(_configuration(layout))
    uwsgi.configure(
        layout,
        "keystone",
        "keystone.wsgi.api:application",
        layout.settings.keystone_port,
        processes=1,
    )
    if layout.done("keystone-tables"):
        return "there already"
    mariadb.empty(layout, "keystone")
    for step in (
        ["db_sync"],
        ["fernet_setup", "--keystone-user", "root", "--keystone-group", "root"],
        ["credential_setup", "--keystone-user", "root", "--keystone-group", "root"],
        ["bootstrap", *_endpoint_flags(layout)],
    ):
        run(
            [str(layout.venv / "bin" / "keystone-manage"), "--config-dir", str(folder), *step],
            what=f"keystone-manage {step[0]}",
            log=layout.log("keystone-manage"),
            env={"OS_BOOTSTRAP_PASSWORD": secrets_of(layout)["admin"]},
        )
    layout.mark_done("keystone-tables")
    return "made"


def start(layout: Layout) -> str:
    """Start it unless it answers. Raises `CloudError`."""
    return uwsgi.start(daemon(layout), lambda: answers(layout.settings.keystone_url))


def populate(layout: Layout) -> str:
    """Make the service user, the member's user and project, and Neutron's endpoint, once."""
    if layout.done("keystone-users"):
        return "there already"
    token = admin_token(layout)
    url = layout.settings.keystone_url
    passwords = secrets_of(layout)
    roles = {row["name"]: row["id"] for row in _list(url, "roles", token)}
    for user, project, role in (
        ("neutron", "service", "admin"),
        (MEMBER_USER, MEMBER_PROJECT, "member"),
    ):
        key = "member" if user == MEMBER_USER else user
        project_id = _ensure(url, "project", {"name": project, "domain_id": "default"}, token)
        user_id = _ensure(
            url, "user", {"name": user, "domain_id": "default", "password": passwords[key]}, token
        )
        call("PUT", f"{url}/projects/{project_id}/users/{user_id}/roles/{roles[role]}", token=token)
    service = _ensure(url, "service", {"name": "neutron", "type": "network"}, token)
    if not _list(url, f"endpoints?service_id={service}", token):
        for interface in ("public", "internal", "admin"):
            call(
                "POST",
                f"{url}/endpoints",
                {
                    "endpoint": {
                        "service_id": service,
                        "interface": interface,
                        "region_id": REGION,
                        "url": layout.settings.neutron_url,
                    }
                },
                token,
            )
    layout.mark_done("keystone-users")
    return "made"


def admin_token(layout: Layout) -> str:
    """A token of the administrator in the project `admin`. Raises `CloudError`."""
    _, headers = call(
        "POST",
        f"{layout.settings.keystone_url}/auth/tokens",
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": "admin",
                            "domain": {"id": "default"},
                            "password": secrets_of(layout)["admin"],
                        }
                    },
                },
                "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
            }
        },
    )
    return next(value for name, value in headers.items() if name.lower() == "x-subject-token")


def _list(url: str, what: str, token: str) -> list[dict[str, Any]]:
    answer, _ = call("GET", f"{url}/{what}", token=token)
    rows: list[dict[str, Any]] = answer[what.partition("?")[0]]
    return rows


def _ensure(url: str, kind: str, values: dict[str, str], token: str) -> str:
    """The id of the thing of this name, made if it is missing."""
    for row in _list(url, f"{kind}s?name={values['name']}", token):
        return str(row["id"])
    answer, _ = call("POST", f"{url}/{kind}s", {kind: values}, token)
    return str(answer[kind]["id"])


def _endpoint_flags(layout: Layout) -> list[str]:
    # Neutron looks for the internal identity endpoint, so all three are made.
    flags = ["--bootstrap-region-id", REGION]
    for interface in ("public", "internal", "admin"):
        flags += [f"--bootstrap-{interface}-url", layout.settings.keystone_url]
    return flags


def _configuration(layout: Layout) -> str:
    # Four hash rounds instead of twelve: a token then costs milliseconds on a laptop's core.
    return f"""[DEFAULT]
use_stderr = true
[database]
connection = {mariadb.url(layout, "keystone")}
max_pool_size = 10
[fernet_tokens]
key_repository = {layout.keystone}/fernet
[credential]
key_repository = {layout.keystone}/credential
[token]
provider = fernet
expiration = 86400
[identity]
password_hash_rounds = 4
"""
