"""docker-compose.yml says only what the code knows: nobody can start it here, so it must not drift."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from services.aggregator.settings import AggregatorSettings
from services.api.settings import ApiSettings
from services.edge_node.settings import EdgeSettings
from services.replay.options import read_sites
from services.runtime.brokers import kafka
from services.runtime.hosts import is_loopback
from services.runtime.settings import ClusterSettings, variable_names
from streamgauge.profiles.profile import load_profile
from tests.unit.deploy import compose
from tests.unit.deploy.conftest import Load
from tests.unit.deploy.images import ROOT, made_directories, stages

OURS = sorted(compose.ours())
SETTLED = sorted(compose.settled())


def settings_of(name: str, load: Load) -> Any:
    service = compose.services()[name]
    return load(compose.SETTINGS[compose.command_of(service)], compose.environment_of(service))


def kafka_listeners(which: str) -> dict[str, tuple[str, int]]:
    found = compose.services()["kafka"]["environment"][which].split(",")
    parts = [re.fullmatch(r"(\w+)://([\w.]*):(\d+)", each) for each in found]
    return {m[1]: (m[2], int(m[3])) for m in parts if m}


def test_what_the_issue_asks_for_is_there() -> None:
    commands = [compose.command_of(s) for s in compose.settled().values()]
    assert sorted(commands) == ["aggregator", "api", "edge-node", "edge-node", "edge-node", "replay"]
    assert {"kafka", "postgres", "prometheus", "grafana", "keys"} <= compose.services().keys()
    assert [n for n, s in compose.services().items() if s.get("profiles")] == ["replay"], "only this is optional"


@pytest.mark.parametrize("name", SETTLED)
def test_every_variable_is_a_setting_and_their_values_are_allowed(name: str, load: Load) -> None:
    service = compose.services()[name]
    cls = compose.SETTINGS[compose.command_of(service)]
    prefix = str(cls.model_config["env_prefix"])
    known = set(variable_names(cls, prefix))
    wild = tuple(each[:-1] for each in known if each.endswith("*"))
    given = {n for n in compose.environment_of(service) if n.startswith("STREAMGAUGE_")}
    assert [n for n in given if n not in known and not n.startswith(wild)] == []
    assert all(n.startswith(prefix) for n in given), "another service's settings"
    settings_of(name, load)


@pytest.mark.parametrize("name", SETTLED)
def test_paths_in_settings_lie_on_mounts_and_only_state_is_writable(name: str, load: Load) -> None:
    service, settings = compose.services()[name], settings_of(name, load)
    paths = [str(path) for path in compose.values_in(settings, Path) if path != Path()]
    for path in paths:
        mount = compose.mount_for(service, path)
        assert mount is not None, f"{path} is not on a mount: it would be lost with the container"
        assert mount.read_only == (path != str(settings.state_dir)), path
        assert mount.target in made_directories(compose.stage_of(service)) or mount.read_only


def test_volumes_and_files_exist_and_state_is_nobody_elses() -> None:
    named = set(compose.composed()["volumes"])
    used: list[str] = []
    for name, service in compose.services().items():
        for mount in compose.mounts_of(service):
            if mount.is_bind:
                assert (ROOT / mount.source).exists(), f"{name} mounts {mount.source}"
                assert mount.read_only, f"{name} must not write {mount.source}"
            else:
                used += [mount.source] if not mount.read_only else []
                assert mount.source in named, f"{name} mounts an undeclared volume {mount.source}"
    assert sorted(used) == sorted(named), "each volume has exactly one writer"


def test_a_node_sees_its_own_private_key_only(load: Load) -> None:
    names = [name for name in SETTLED if name.startswith("edge")]
    volumes = {name: {m.source for m in compose.mounts_of(compose.services()[name])} for name in names}
    for name in names:
        site = settings_of(name, load).site
        private = {v for v in volumes[name] if v.startswith("keys-") and v != "keys-trusted"}
        assert private == {f"keys-{site}"}
        assert f"state-{site}" in volumes[name]


@pytest.mark.parametrize("name", SETTLED)
def test_clusters_and_database_are_services_of_the_file(name: str, load: Load) -> None:
    settings = settings_of(name, load)
    listeners = set(kafka_listeners("KAFKA_ADVERTISED_LISTENERS").values())
    clusters = compose.values_in(settings, ClusterSettings)
    assert clusters
    for cluster in clusters:
        host, _, port = cluster.bootstrap_servers.rpartition(":")
        assert (host, int(port)) in listeners
        assert host in compose.services()[name]["depends_on"]
    if (url := getattr(settings, "database_url", None)) is not None:
        database, own = make_url(url), compose.services()["postgres"]["environment"]
        assert database.get_backend_name() == "postgresql"
        assert (database.host, database.port) == ("postgres", 5432)
        assert database.username == own["POSTGRES_USER"]
        assert database.password == own["POSTGRES_PASSWORD"]
        assert database.database == own["POSTGRES_DB"]


def test_kafka_is_the_tested_version_in_kraft_mode_without_auto_creation() -> None:
    service = compose.services()["kafka"]
    assert service["image"] == compose.services()["topics"]["image"] == f"apache/kafka:{kafka.VERSION}"
    environment = service["environment"]
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert compose.mount_for(service, environment["KAFKA_LOG_DIRS"]) is not None, "data survive the container"
    listening, advertised = kafka_listeners("KAFKA_LISTENERS"), kafka_listeners("KAFKA_ADVERTISED_LISTENERS")
    assert advertised.keys() | {"CONTROLLER"} == listening.keys()
    assert all(listening[name][1] == port for name, (_, port) in advertised.items())
    voter = f"{environment['KAFKA_NODE_ID']}@kafka:{listening['CONTROLLER'][1]}"
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == voter
    assert service["ports"] == [f"127.0.0.1:{advertised['HOST'][1]}:{listening['HOST'][1]}"]


def test_only_this_machine_reaches_published_ports() -> None:
    ports = [port for service in compose.services().values() for port in service.get("ports", [])]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_the_api_is_published_on_its_port_and_has_a_token(load: Load) -> None:
    settings = settings_of("api", load)
    assert not is_loopback(settings.host)
    assert settings.api_token is not None
    assert compose.services()["api"]["ports"] == [f"127.0.0.1:8000:{settings.port}"]


@pytest.mark.parametrize("name", sorted(compose.services()))
def test_dependencies_can_be_met(name: str) -> None:
    for needed, how in compose.services()[name].get("depends_on", {}).items():
        other = compose.services()[needed]
        assert not other.get("profiles"), f"{name} needs {needed}, which a plain `up` does not start"
        if how["condition"] == "service_healthy":
            own = "build" in other and compose.stage_of(other).healthcheck is not None
            assert own or "healthcheck" in other, f"{needed} is never healthy: it has no health check"
        else:
            assert how["condition"] == "service_completed_successfully"
            assert other["restart"] == "no", f"{needed} must end once"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_few_rights(name: str) -> None:
    service = compose.services()[name]
    assert service["build"]["context"] == "."
    assert service["build"]["target"] in stages()
    assert service["image"] == f"streamgauge-{service['build']['target']}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert compose.stage_of(service).user == "10001:10001"


def test_the_parts_fit_each_other(load: Load) -> None:
    nodes: list[EdgeSettings] = [settings_of(name, load) for name in SETTLED if name.startswith("edge")]
    aggregator: AggregatorSettings = settings_of("aggregator", load)
    api: ApiSettings = settings_of("api", load)
    for node in nodes:
        assert node.detector == aggregator.detector
        assert node.aggregator == api.aggregator == aggregator.name
        assert (node.federation, node.topic_prefix) == (aggregator.federation, aggregator.topic_prefix)
        assert node.aggregator_key_file == api.aggregator_key_file
        load_profile(node.profile)
    arguments = compose.services()["replay"]["command"][1:]
    assert {node.profile for node in nodes} == {arguments[0]}
    options = dict(word.removeprefix("--").split("=", 1) for word in arguments if "=" in word)
    topics = {options["topic"].replace("{site}", site.name) for site in read_sites(options["sites"])}
    assert {topic for node in nodes for topic in node.topics} == topics
    assert api.nodes_keys_dir == aggregator.nodes_keys_dir
    assert aggregator.min_nodes <= len(nodes)


def test_secrets_have_no_default_and_the_example_leaves_them_empty() -> None:
    example = compose.env_file("example.env")
    assert {name for name, value in example.items() if not value} == compose.PASSWORDS.keys()
    for name in compose.PASSWORDS:
        with pytest.raises(KeyError, match=name):
            compose.interpolate(compose.raw()["services"], compose.example_env() | {name: ""})
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert used == example.keys(), "the example names every variable, and no other"
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "docker-compose.yml").read_text()))
    assert defaults == {name: value for name, value in example.items() if value}


def test_prometheus_and_grafana_find_their_files() -> None:
    prometheus, grafana = compose.services()["prometheus"], compose.services()["grafana"]
    arguments = dict(each.split("=", 1) for each in prometheus["command"])
    assert _host_file(prometheus, arguments["--config.file"]).is_file()
    storage = compose.mount_for(prometheus, arguments["--storage.tsdb.path"])
    assert storage is not None
    assert not storage.read_only
    assert compose.composed()["secrets"]["api_token"] == {"environment": "API_TOKEN"}
    assert prometheus["secrets"] == ["api_token"]
    assert not prometheus.get("read_only"), "Compose cannot put the secret into a read-only container"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert _host_file(grafana, home).is_file()


def _host_file(service: Any, path: str) -> Path:
    mount = compose.mount_for(service, path)
    assert mount is not None
    return ROOT / mount.source / Path(path).relative_to(mount.target)
