# SPDX-License-Identifier: Apache-2.0
"""`clouds.yaml`: the cloud's two entries below the state folder and in root's own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .keystone import MEMBER_PROJECT, MEMBER_USER, REGION
from .layout import Layout, secrets_of, write_private

ADMIN_CLOUD = "kurier-local"
MEMBER_CLOUD = "kurier-local-member"


def user_file() -> Path:
    """Where openstacksdk looks for the user's own clouds."""
    return Path("~/.config/openstack/clouds.yaml").expanduser()


def entries(layout: Layout) -> dict[str, Any]:
    """Our two clouds: the administrator, and a tenant who has the role `member` alone."""
    passwords = secrets_of(layout)
    return {
        ADMIN_CLOUD: _entry(layout, "admin", "admin", passwords["admin"]),
        MEMBER_CLOUD: _entry(layout, MEMBER_USER, MEMBER_PROJECT, passwords["member"]),
    }


def write(layout: Layout) -> str:
    """Write both files; other entries of the user's file stay as they are."""
    ours = entries(layout)
    write_private(layout.clouds_file, yaml.safe_dump({"clouds": ours}, sort_keys=False))
    document = _read(user_file())
    clouds = document.get("clouds") or {}
    if all(clouds.get(name) == entry for name, entry in ours.items()):
        return "there already"
    document["clouds"] = {**clouds, **ours}
    write_private(user_file(), yaml.safe_dump(document, sort_keys=False))
    return "written"


def remove(layout: Layout) -> None:
    """Take our entries out of the user's file, if they lead to this cloud."""
    document = _read(user_file())
    clouds = document.get("clouds") or {}
    ours = [
        name
        for name in (ADMIN_CLOUD, MEMBER_CLOUD)
        if clouds.get(name, {}).get("auth", {}).get("auth_url") == layout.settings.keystone_url
    ]
    if not ours:
        return
    document["clouds"] = {name: entry for name, entry in clouds.items() if name not in ours}
    if document == {"clouds": {}}:
        user_file().unlink()
    else:
        write_private(user_file(), yaml.safe_dump(document, sort_keys=False))


def _entry(layout: Layout, user: str, project: str, password: str) -> dict[str, Any]:
    return {
        "auth": {
            "auth_url": layout.settings.keystone_url,
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        "region_name": REGION,
        "identity_api_version": 3,
        "interface": "public",
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    document: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return document
