"""The scripts and example environments of deploy/ against the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.aggregator.settings import AggregatorSettings
from services.api.settings import ApiSettings
from services.edge_node.build import _group_id as group_id
from services.edge_node.settings import EdgeSettings
from services.runtime.settings import ServiceSettings
from services.runtime.topics import Topics
from tests.unit.deploy import compose
from tests.unit.deploy.conftest import Load
from tests.unit.deploy.images import ROOT
from tests.unit.deploy.scripts import executable, run, script_of

DEPLOY = ROOT / "deploy"


def recorded(tmp_path: Path, name: str) -> Path:
    """A program of that name that prints its arguments."""
    executable(tmp_path / name, '#!/bin/sh\necho "$@"\n')
    return tmp_path


def test_the_topics_that_nodes_read_are_created(tmp_path: Path, load: Load) -> None:
    service = compose.services()["topics"]
    out = run(
        "sh", script_of(service), *service["command"], path=tmp_path,
        KAFKA_BIN=str(recorded(tmp_path, "kafka-topics.sh")),
    )  # fmt: skip
    made = [line.split("--topic ")[1].split()[0] for line in out.splitlines()]
    read = [
        topic
        for each in compose.settled().values()
        if compose.command_of(each) == "edge-node"
        for topic in getattr(load(EdgeSettings, compose.environment_of(each)), "topics", ())
    ]
    assert sorted(made) == sorted(read)
    assert all(f"--bootstrap-server {service['command'][0]} " in line for line in out.splitlines())


@pytest.mark.parametrize("role", ["records", "federation"])
def test_access_rules_cover_our_topics_and_keep_records_at_home(tmp_path: Path, role: str) -> None:
    out = run(
        "sh", DEPLOY / "kafka/acls.sh", role, "kafka:9092", "admin.properties", path=tmp_path,
        KAFKA_BIN=str(recorded(tmp_path, "kafka-acls.sh")),
    )  # fmt: skip
    topics = Topics()
    specs = topics.records_specs() if role == "records" else topics.federation_specs()
    named = {line.rsplit("--topic ", 1)[1] for line in out.splitlines() if "--topic" in line}
    assert named - {"site-a.records"} == {spec.name for spec in specs}
    writers = {
        (line.split("User:")[1].split()[0], line.rsplit("--topic ", 1)[1])
        for line in out.splitlines()
        if "--operation Write" in line
    }
    assert {topic for who, topic in writers if who == "api"} <= {topics.feedback}, "people's verdicts only"
    only_the_aggregators = {topics.rounds, topics.models, topics.releases}
    assert {who for who, topic in writers if topic in only_the_aggregators} <= {"aggregator"}
    if role == "federation":
        assert ("site-a", topics.updates) in writers
        assert ("aggregator", topics.updates) in writers, "marks"


def test_access_rules_cover_the_groups_that_nodes_commit_under(tmp_path: Path, load: Load) -> None:
    out = run(
        "sh", DEPLOY / "kafka/acls.sh", "records", "kafka:9092", "admin.properties", path=tmp_path,
        KAFKA_BIN=str(recorded(tmp_path, "kafka-acls.sh")),
    )  # fmt: skip
    (rule,) = [line for line in out.splitlines() if "--group" in line]
    granted = rule.rsplit("--group ", 1)[1]
    assert "--resource-pattern-type prefixed" in rule
    assert "--operation Read " in rule
    variables = compose.env_file("edge-node.env")
    groups = []
    for mode in ("assigned", "group"):
        settings = load(EdgeSettings, variables | {"STREAMGAUGE_EDGE_MODE": mode})
        assert isinstance(settings, EdgeSettings)
        groups.append(group_id(settings))
    assert all(group.startswith(granted) for group in groups)
    assert groups[0] != granted, "a literal rule would not do"


@pytest.mark.parametrize(
    ("name", "cls"),
    [("edge-node.env", EdgeSettings), ("aggregator.env", AggregatorSettings), ("api.env", ApiSettings)],
)
def test_example_environments_are_allowed(name: str, cls: type[ServiceSettings], load: Load) -> None:
    load(cls, compose.env_file(name))
