# SPDX-License-Identifier: Apache-2.0
"""Credentials as every OpenStack tool takes them: from `clouds.yaml` or the `OS_*` variables.

Nothing is contacted here. The environment comes in as an argument, so the SDK's own reading of
the process's environment is switched off and its rules are followed instead: a named cloud is
taken from the file alone; without a name the `OS_*` variables are a cloud; without those, a file
with one entry speaks for itself. See the SDK's "Configuring OpenStack SDK Applications".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from keystoneauth1.exceptions import MissingRequiredOptions, NoMatchingPlugin
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.config.loader import CONFIG_FILES, SECURE_FILES
from openstack.exceptions import ConfigException

from kurier.model.errors import Code, KurierError

FILE_VARIABLE = "OS_CLIENT_CONFIG_FILE"
SECRETS = frozenset(
    {"password", "token", "application_credential_secret", "passcode", "client_secret"}
)
"""The keys of `auth` that are never shown."""
_SECURE_VARIABLE = "OS_CLIENT_SECURE_FILE"
_SELECTORS = frozenset(
    {"OS_CLOUD", "OS_CLOUD_NAME", "OS_REGION_NAME", "OS_CACERT", "OS_INTERFACE"}
    | {FILE_VARIABLE, _SECURE_VARIABLE}
)
"""Variables that choose among credentials and are none."""
_FOREIGN = ("OS_TEST", "OS_STD", "OS_LOG")
_PASSWORD_TYPES = frozenset({"password", "v3password"})
_TOKEN_TYPES = frozenset({"token", "v3token"})
_APPLICATION_TYPE = "v3applicationcredential"


class Choice(Protocol):
    """What Kurier's own configuration says of the cloud; an empty text leaves it open."""

    @property
    def name(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def interface(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def read_timeout(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """A cloud's credentials, and where they came from, for people."""

    region: CloudRegion
    origin: str


def load_region(choice: Choice, environ: Mapping[str, str]) -> CloudRegion:
    """The cloud's region with its authentication plugin; see `find_credentials`."""
    return find_credentials(choice, environ).region


def find_credentials(
    choice: Choice, environ: Mapping[str, str], search: Sequence[str] = CONFIG_FILES
) -> Credentials:
    """Look the credentials up, without contacting the cloud.

    `search` are the files to look for where `OS_CLIENT_CONFIG_FILE` names none. Raises
    `KurierError` with the code CREDENTIALS: no cloud told, no such cloud or file, a file that
    cannot be read, or something missing that the way of authentication needs.
    """
    name = choice.name or environ.get("OS_CLOUD", "")
    variables = {} if name else _variables(environ)
    file = None if variables else _clouds_file(environ, search)
    if variables:
        origin, raw = "environment OS_*", variables
    else:
        name, raw = _entry(name, file)
        origin = f"{file}, cloud {name}"
    arguments = {**variables, **_overrides(choice, environ, raw)}
    region = _resolve(name, file, environ, arguments, origin)
    _require_complete(region, origin)
    return Credentials(region, origin)


def _variables(environ: Mapping[str, str]) -> dict[str, Any]:
    names = [
        name
        for name, value in environ.items()
        if name.startswith("OS_") and not name.startswith(_FOREIGN) and value
    ]
    if not set(names) - _SELECTORS:
        return {}
    wanted = (name for name in names if name not in {FILE_VARIABLE, _SECURE_VARIABLE})
    return {name[3:].lower(): environ[name] for name in wanted}


def _clouds_file(environ: Mapping[str, str], search: Sequence[str]) -> Path | None:
    named = environ.get(FILE_VARIABLE)
    if named and not Path(named).exists():
        raise _refused(f"{FILE_VARIABLE} names {named}, and there is no such file.")
    candidates = [named] if named else search
    return next((Path(path) for path in candidates if Path(path).exists()), None)


def _entry(name: str, file: Path | None) -> tuple[str, dict[str, Any]]:
    """The name of the cloud to use and its entry in the file."""
    if file is None:
        if name:
            raise _refused(
                f"No clouds.yaml was found that could hold the cloud {name}: put one into "
                f"/etc/openstack, or name it in {FILE_VARIABLE}."
            )
        raise _refused(
            "No cloud is told: set cloud.name or OS_CLOUD to an entry of clouds.yaml, or set "
            "OS_AUTH_URL and the other OS_* variables."
        )
    clouds = _read(file)
    if not name and len(clouds) == 1:
        name = next(iter(clouds))
    listed = ", ".join(sorted(clouds)) or "none"
    if not name:
        raise _refused(f"{file} has several clouds ({listed}): set cloud.name or OS_CLOUD to one.")
    if name not in clouds:
        raise _refused(f"There is no cloud {name} in {file}; it has: {listed}.")
    entry = clouds[name]
    if not isinstance(entry, dict) or not isinstance(entry.get("auth", {}), dict):
        raise _refused(f"The cloud {name} in {file} has no settings and no `auth:` as it should.")
    return name, entry


def _read(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(f"{file} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _refused(f"{file} is not valid YAML.") from error
    clouds = document.get("clouds") if isinstance(document, dict) else None
    if not isinstance(clouds, dict):
        raise _refused(f"{file} has no `clouds:` in it.")
    return {str(key): value for key, value in clouds.items()}


def _overrides(
    choice: Choice, environ: Mapping[str, str], raw: Mapping[str, Any]
) -> dict[str, Any]:
    ca_file = choice.ca_file or raw.get("cacert") or environ.get("OS_CACERT")
    if ca_file and not Path(ca_file).is_file():
        raise _refused(f"The CA bundle {ca_file} does not exist.")
    wanted = {
        "region_name": choice.region or environ.get("OS_REGION_NAME"),
        "interface": choice.interface or environ.get("OS_INTERFACE"),
        "cacert": ca_file,
        "auth_type": _implied_type(raw),
        "api_timeout": choice.read_timeout,
    }
    return {key: value for key, value in wanted.items() if value}


def _implied_type(raw: Mapping[str, Any]) -> str | None:
    """How to authenticate where nobody says it, from which secret is there."""
    if raw.get("auth_type"):
        return None
    given = {**raw, **(raw.get("auth") or {})}
    if given.get("application_credential_secret"):
        return _APPLICATION_TYPE
    return "token" if given.get("token") and not given.get("password") else None


def _resolve(
    name: str,
    file: Path | None,
    environ: Mapping[str, str],
    arguments: dict[str, Any],
    origin: str,
) -> CloudRegion:
    secure = [environ[_SECURE_VARIABLE]] if environ.get(_SECURE_VARIABLE) else []
    try:
        config = OpenStackConfig(
            config_files=[str(file)] if file else [],
            secure_files=[*secure, *SECURE_FILES] if file else [],
            load_envvars=False,
            app_name="kurier",
        )
        return config.get_one(cloud=name or None, **arguments)
    except MissingRequiredOptions as error:
        words = " and ".join(sorted(option.dest for option in error.options))
        raise _refused(f"The credentials from {origin} lack {words}.") from error
    except NoMatchingPlugin as error:
        raise _refused(f"The credentials from {origin} have an unknown auth_type.") from error
    except (ConfigException, ValueError, KeyError, TypeError) as error:
        raise _refused(f"The credentials from {origin} cannot be used: {error}") from error


def _require_complete(region: CloudRegion, origin: str) -> None:
    """What the plugins leave to Keystone to complain about, said before asking it."""
    kind, auth = region.config.get("auth_type"), region.config.get("auth") or {}
    needed: list[tuple[str, ...]] = [("auth_url",)]
    if kind in _PASSWORD_TYPES:
        needed += [("username", "user_id"), ("password",)]
        needed += [("project_name", "project_id", "system_scope", "trust_id", "default_domain_id")]
    elif kind in _TOKEN_TYPES:
        needed += [("token",)]
    elif kind == _APPLICATION_TYPE:
        needed += [("application_credential_id", "application_credential_name")]
        needed += [("application_credential_secret",)]
    else:
        return
    missing = [names[0] for names in needed if not any(auth.get(name) for name in names)]
    if missing:
        raise _refused(f"The credentials from {origin} lack {' and '.join(missing)}.")


def _refused(sentence: str) -> KurierError:
    return KurierError(Code.CREDENTIALS, sentence)
