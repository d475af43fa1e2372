# SPDX-License-Identifier: Apache-2.0
"""Credentials from `clouds.yaml` and `OS_*`, and one sentence where they will not do."""

from dataclasses import replace
from pathlib import Path

import pytest

from kurier.cloud.credentials import find_credentials, load_region
from kurier.config import CloudSettings
from kurier.model.errors import Code, KurierError

CLOUDS = """
clouds:
  one:
    region_name: North
    interface: internal
    auth: {auth_url: http://k/v3, username: u, password: p, project_name: x, user_domain_id: d}
  app:
    auth: {auth_url: http://k/v3, application_credential_id: i, application_credential_secret: s}
  token:
    auth: {auth_url: http://k/v3, token: t, project_id: x}
  poor:
    auth: {auth_url: http://k/v3, username: u, project_name: x}
  bare:
  secret-elsewhere:
    auth: {auth_url: http://k/v3, username: u, project_name: x, user_domain_id: d}
"""
VARIABLES = {
    "OS_AUTH_URL": "http://k/v3",
    "OS_USERNAME": "u",
    "OS_PASSWORD": "p",
    "OS_PROJECT_NAME": "x",
    "OS_USER_DOMAIN_NAME": "Default",
    "OS_PROJECT_DOMAIN_NAME": "Default",
}
ANY = CloudSettings()


@pytest.fixture
def clouds(tmp_path: Path) -> dict[str, str]:
    """The environment that names a `clouds.yaml`."""
    file = tmp_path / "clouds.yaml"
    file.write_text(CLOUDS)
    return {"OS_CLIENT_CONFIG_FILE": str(file)}


def refusal(choice: CloudSettings, environ: dict[str, str]) -> str:
    with pytest.raises(KurierError) as error:
        find_credentials(choice, environ, search=())
    assert error.value.code is Code.CREDENTIALS
    return error.value.sentence


def test_the_setting_goes_over_the_variable(clouds: dict[str, str]) -> None:
    environ = {**clouds, "OS_CLOUD": "poor"}
    found = find_credentials(replace(ANY, name="one"), environ)
    assert found.region.config["auth"]["username"] == "u"
    assert found.origin == f"{clouds['OS_CLIENT_CONFIG_FILE']}, cloud one"


def test_a_named_cloud_ignores_other_variables(clouds: dict[str, str]) -> None:
    environ = {**clouds, **VARIABLES, "OS_USERNAME": "somebody-else", "OS_CLOUD": "one"}
    assert load_region(ANY, environ).config["auth"]["username"] == "u"


def test_region_and_interface_are_the_clouds_unless_told(clouds: dict[str, str]) -> None:
    region = load_region(replace(ANY, name="one"), clouds)
    assert (region.get_region_name("network"), region.get_interface("network")) == (
        "North",
        "internal",
    )
    told = replace(ANY, name="app", region="South", interface="admin")
    region = load_region(told, clouds)
    assert (region.get_region_name("network"), region.get_interface("network")) == (
        "South",
        "admin",
    )


@pytest.mark.parametrize(
    ("name", "plugin"), [("app", "v3applicationcredential"), ("token", "token")]
)
def test_the_secret_tells_how_to_authenticate(
    clouds: dict[str, str], name: str, plugin: str
) -> None:
    region = load_region(replace(ANY, name=name), clouds)
    assert region.config["auth_type"] == plugin
    assert region.get_auth() is not None


def test_a_secret_may_be_in_a_file_of_its_own(clouds: dict[str, str], tmp_path: Path) -> None:
    secure = tmp_path / "secure.yaml"
    secure.write_text("clouds: {secret-elsewhere: {auth: {password: p}}}")
    environ = {**clouds, "OS_CLIENT_SECURE_FILE": str(secure)}
    region = load_region(replace(ANY, name="secret-elsewhere"), environ)
    assert region.config["auth"]["password"] == "p"


def test_variables_alone_are_a_cloud() -> None:
    found = find_credentials(ANY, {**VARIABLES, "OS_REGION_NAME": "North"}, search=())
    assert found.origin == "environment OS_*"
    assert found.region.get_region_name("network") == "North"
    assert found.region.config["auth"]["project_name"] == "x"
    assert found.region.get_interface("network") == "public"


def test_an_application_credential_from_variables() -> None:
    environ = {
        "OS_AUTH_URL": "http://k/v3",
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_ID": "i",
        "OS_APPLICATION_CREDENTIAL_SECRET": "s",
    }
    auth = find_credentials(ANY, environ, search=()).region.config["auth"]
    assert auth["application_credential_secret"] == "s"


def test_the_ca_bundle_is_used(clouds: dict[str, str]) -> None:
    bundle = clouds["OS_CLIENT_CONFIG_FILE"]
    region = load_region(replace(ANY, name="one", ca_file=bundle), clouds)
    assert region.get_requests_verify_args()[0] == bundle


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none", "There is no cloud none in {file}; it has: app, bare, one, poor, "),
        ("poor", "The credentials from {file}, cloud poor lack password."),
        ("bare", "The cloud bare in {file} has no settings"),
        ("", "{file} has several clouds (app, bare, one, poor, secret-elsewhere, token): set "),
    ],
)
def test_what_a_file_lacks_is_said(clouds: dict[str, str], name: str, sentence: str) -> None:
    told = refusal(replace(ANY, name=name), clouds)
    assert told.startswith(sentence.format(file=clouds["OS_CLIENT_CONFIG_FILE"]))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("clouds: [", "is not valid YAML."),
        ("- a", "has no `clouds:` in it."),
        ("clouds: {a: {regions: [{nme: x}], auth: {auth_url: u}}}", "cannot be used: "),
        ("clouds: {a: {auth_type: smoke, auth: {auth_url: u}}}", "have an unknown auth_type."),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(content)
    told = refusal(ANY, {"OS_CLIENT_CONFIG_FILE": str(file)})
    assert str(file) in told
    assert sentence in told


@pytest.mark.parametrize("missing", ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"])
def test_a_variable_that_is_missing_is_named(missing: str) -> None:
    environ = {name: value for name, value in VARIABLES.items() if name != missing}
    word = missing.removeprefix("OS_").lower()
    assert refusal(ANY, environ) == f"The credentials from environment OS_* lack {word}."


def test_nothing_to_go_by() -> None:
    assert refusal(ANY, {}).startswith("No cloud is told: set cloud.name or OS_CLOUD")
    assert refusal(replace(ANY, name="x"), {}).startswith("No clouds.yaml was found")
    assert "there is no such file" in refusal(ANY, {"OS_CLIENT_CONFIG_FILE": "/none/clouds.yaml"})
    missing_ca = replace(ANY, ca_file="/none/ca.pem")
    assert refusal(missing_ca, VARIABLES) == "The CA bundle /none/ca.pem does not exist."
