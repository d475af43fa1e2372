# SPDX-License-Identifier: Apache-2.0
"""The managed plugin under each of the engines, and through their restarts and Kurier's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from localcloud.api import CloudError
from tests.cloud.faults.engines import engine_stage, host_of, of_engines
from tests.cloud.stage import Stage, wait_until
from tests.cloud.stage.plugin import (
    PLUGIN,
    install_plugin,
    install_words,
    plugin_command,
    remove_plugin,
)

__all__ = ["engine_stage"]
pytestmark = [pytest.mark.two_hosts, pytest.mark.local_cloud]
DRIVER = ("-d", PLUGIN, "--ipam-driver", PLUGIN)


@pytest.fixture
def stage(engine_stage: Stage) -> Iterator[Stage]:
    install_plugin(engine_stage)
    yield engine_stage
    engine_stage.cleanup()
    remove_plugin(engine_stage.docker)


def network_through_plugin(stage: Stage, *options: str) -> str:
    name = stage.name("managed")
    stage.undo(lambda: stage.docker("network", "rm", name, check=False))
    stage.docker("network", "create", *DRIVER, "--subnet", str(stage.cidr()), *options, name)
    return name


def plugin_id(stage: Stage) -> str:
    return stage.docker("plugin", "inspect", "-f", "{{.Id}} {{.Enabled}}", PLUGIN)


@contextmanager
def kurier_away(stage: Stage) -> Iterator[None]:
    stage.daemon.stop()
    try:
        yield
    finally:
        if not stage.daemon.running:
            stage.daemon.start()


def refused(stage: Stage, *words: str) -> str:
    with pytest.raises(CloudError) as error:
        plugin_command(stage, *words)
    return str(error.value)


@of_engines("20.10", "26.1", "28.5")
def test_containers_talk_on_a_network_made_through_it(stage: Stage) -> None:
    with stage.unchanged():
        network = network_through_plugin(stage)
        first, second = stage.run_container(network), stage.run_container(network)
        stage.serve(second, 80)
        assert stage.pings(first, stage.ip_of(second))
        assert stage.fetches(first, stage.ip_of(second), 80)
        stage.remove_container(first, second)
        stage.remove_network(network)


def test_a_second_installation_changes_nothing(stage: Stage) -> None:
    before = plugin_id(stage)
    assert install_plugin(stage).endswith(": unchanged.")
    assert plugin_id(stage) == before
    stage.docker("plugin", "disable", PLUGIN)
    assert install_plugin(stage).endswith(": enabled.")
    assert plugin_id(stage) == before


def test_it_is_removed_once(stage: Stage) -> None:
    assert plugin_command(stage, "remove") == f"Plugin {PLUGIN}: removed."
    assert plugin_command(stage, "remove") == f"Plugin {PLUGIN}: there is none."
    assert "state: absent" in plugin_command(stage, "status")


def test_another_link_waits_for_networks_to_go_or_is_forced(stage: Stage) -> None:
    """Containers do not notice that the plugin under them is another one."""
    other = host_of(stage).folder / "other.sock"
    host_of(stage).run(["ln", "-sfn", "/run/docker/plugins/kuryr.sock", str(other)])
    network = network_through_plugin(stage)
    first, second = stage.run_container(network), stage.run_container(network)
    before = plugin_id(stage)
    said = refused(stage, *install_words(stage), "--socket", str(other))
    assert f"Docker networks of this host use plugin {PLUGIN}" in said
    assert plugin_id(stage) == before
    told = plugin_command(stage, *install_words(stage), "--socket", str(other), "--force")
    assert told == f"Plugin {PLUGIN} links to {other}: replaced."
    third = stage.run_container(network)
    assert all(stage.pings(one, stage.ip_of(second)) for one in (first, third))
    stage.docker("restart", "-t", "0", first)
    assert stage.pings(first, stage.ip_of(third))


def test_a_plugin_of_that_name_that_is_none_of_ours_is_left_alone(stage: Stage) -> None:
    """One that another program made, which Docker lists just the same."""
    remove_plugin(stage.docker)
    folder = host_of(stage).folder / "another"
    host_of(stage).run(["mkdir", "-p", str(folder / "rootfs")])
    (folder / "config.json").write_text('{"description": "mine", "entrypoint": ["/x"]}')
    stage.docker("plugin", "create", PLUGIN, str(folder))
    before = plugin_id(stage)
    for words in (install_words(stage), ["remove"]):
        assert "is another one ('mine'), which Kurier leaves alone" in refused(stage, *words)
    assert plugin_id(stage) == before


def test_networks_of_both_drivers_outlive_an_engine_that_restarts(stage: Stage) -> None:
    """The engine takes neither driver for the other, and its end does not wait for the plugin."""
    own, managed = stage.create_network(), network_through_plugin(stage)
    always = [stage.run_container(one, "--restart=always") for one in (own, managed)]
    host_of(stage).stop_dockerd()
    host_of(stage).start_dockerd()
    assert plugin_id(stage).endswith(" true")
    for network, container in zip((own, managed), always, strict=True):
        peer = stage.run_container(network)
        assert stage.pings(peer, stage.ip_of(container))
    assert stage.create_network()


def test_a_killed_engine_comes_back_with_the_plugin(stage: Stage) -> None:
    network = network_through_plugin(stage)
    host_of(stage).kill_dockerd()
    host_of(stage).start_dockerd()
    assert plugin_id(stage).endswith(" true")
    assert stage.run_container(network)


def test_kurier_restarts_behind_it(stage: Stage) -> None:
    network = network_through_plugin(stage)
    first = stage.run_container(network)
    stage.daemon.kill()
    stage.daemon.start()
    second = stage.run_container(network)
    assert stage.pings(second, stage.ip_of(first))


def test_kurier_may_come_some_seconds_after_the_engine(stage: Stage) -> None:
    """An engine tries for some ten seconds before it gives a plugin up."""
    network = network_through_plugin(stage)
    host = host_of(stage)
    link = host.plugin_dir / plugin_id(stage).split()[0] / "kurier.sock"
    with kurier_away(stage), ThreadPoolExecutor(1) as worker:
        host.stop_dockerd()
        link.unlink(missing_ok=True)
        starting = worker.submit(host.start_dockerd)
        wait_until(link.is_symlink, "the engine has started the plugin")
        stage.daemon.start()
        starting.result()
    assert plugin_id(stage).endswith(" true")
    assert stage.run_container(network)


def test_kurier_enables_what_the_engine_gave_up(stage: Stage) -> None:
    """An engine that starts without Kurier disables the plugin, which says so meanwhile."""
    network = network_through_plugin(stage)
    with kurier_away(stage):
        host_of(stage).stop_dockerd()
        host_of(stage).start_dockerd()
        assert plugin_id(stage).endswith(" false")
        assert "There is no socket" in plugin_command(stage, "status")
        assert "start Kurier, then repeat this" in refused(stage, *install_words(stage))
    wait_until(lambda: plugin_id(stage).endswith(" true"), "Kurier enables the plugin")
    assert stage.run_container(network)
