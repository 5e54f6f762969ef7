"""Topics of several collectors read by one node, and what it says about each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.edge_node.metrics import EdgeMetrics
from services.runtime.errors import SettingsError, TopicError
from services.runtime.memory import MemoryBroker
from tests.support.edge import at_end, edge_settings, memory_broker
from tests.support.plant import PROFILE
from tests.unit.edge_node.kit import RunningNode, bad_flow, good, raw, send

OTHER = PROFILE.replace('"machine"', '"unit"').replace('"time"', '"ts"')


@pytest.fixture(scope="module")
def other_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert OTHER != PROFILE
    path = tmp_path_factory.mktemp("other") / "other.toml"
    path.write_text(OTHER)
    return path


def two_topics() -> MemoryBroker:
    broker = memory_broker("records", 1)
    broker.create_topic("hall-2", 1)
    return broker


def test_each_topic_is_read_by_its_profile_and_counted_by_itself(
    tmp_path: Path, profile_path: Path, other_path: Path, bundle_path: Path
) -> None:
    broker, registry = two_topics(), CollectorRegistry()
    settings = edge_settings(
        tmp_path / "state",
        profile_path,
        topics=("records", "hall-2"),
        profiles={"hall-2": str(other_path)},
        pinned_bundle=bundle_path,
    )
    node = RunningNode(settings, broker, metrics=EdgeMetrics(registry))
    node.loop.reporter.begin(node.loop)
    renamed = {"machine": "unit", "time": "ts"}
    send(broker, good(0), good(1), bad_flow(2))
    for record in (good(0, pressure=None), good(1), good(2), bad_flow(3)):
        message = {renamed.get(name, name): value for name, value in record.items()}
        send(broker, raw(json.dumps(message).encode(), topic="hall-2"))
    send(broker, raw(json.dumps(good(4)).encode(), topic="hall-2"))
    node.turns(lambda: at_end(node.edge))
    node.loop.reporter.report(node.loop, 0.0)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"streamgauge_edge_{name}", labels)

    assert value("records_total", topic="records", outcome="scored") == 3
    assert value("records_total", topic="hall-2", outcome="scored") == 4
    assert value("records_total", topic="hall-2", outcome="rejected") == 1
    assert value("dead_letters_total", topic="hall-2", reason="missing-entity") == 1
    assert value("delay_seconds_count", topic="hall-2") == 1
    assert value("abnormal_records_total") == 2
    node.end()


def test_other_features_are_refused_and_named(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(PROFILE.replace('field = "power"', 'field = "power"\nname = "current"'))
    settings = edge_settings(
        tmp_path / "state", profile_path, profiles={"records": str(changed)}, pinned_bundle=bundle_path
    )
    with pytest.raises(SettingsError, match=r"only there: current; missing there: power.*node of its own"):
        RunningNode(settings, two_topics())


def test_a_silent_entity_and_a_stuck_sensor_are_noticed_and_named_once(
    tmp_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker, registry = memory_broker("records", 1), CollectorRegistry()
    watched = tmp_path / "watched.toml"
    watched.write_text(f"sampling_period_s = 1\n{profile_path.read_text().replace('sampling_period_s', '# was')}")
    settings = edge_settings(
        tmp_path / "state",
        watched,
        pinned_bundle=bundle_path,
        health={"silent_after_s": 60, "stuck_after_s": 100},
        alerts={"gap_s": 60.0},
        checkpoint_interval_s=600,
    )
    node = RunningNode(settings, broker, metrics=EdgeMetrics(registry))

    def second(i: int) -> None:
        send(broker, good(i, "press", flow=0.1 + (i % 7) / 100 if i < 100 else 0.5, power=20 + i % 5))
        if i < 150:
            send(broker, good(i, "lathe", flow=(i % 5) / 100))
        node.turns(lambda: at_end(node.edge))

    with capture_logs() as logs:
        for i in range(260):
            second(i)
        node.loop.reporter.report(node.loop, 0.0)
        node.loop.reporter.report(node.loop, 0.0)
    told = [(entry["event"], entry["entity"], entry.get("feature")) for entry in logs if "entity" in entry]
    assert sorted(told) == [("entity fell silent", "lathe", None), ("sensor is stuck", "press", "flow")]
    assert registry.get_sample_value("streamgauge_edge_silent_entities", {"topic": "records"}) == 1
    assert registry.get_sample_value("streamgauge_edge_stuck_sensors", {"topic": "records"}) == 1
    node.loop.sources.on_revoked(frozenset(node.loop.sources.contexts))
    node.loop.reporter.report(node.loop, 0.0)
    for gauge in ("silent_entities", "stuck_sensors"):  # another worker's now
        assert registry.get_sample_value(f"streamgauge_edge_{gauge}", {"topic": "records"}) == 0
    node.end()


@pytest.mark.parametrize("mode", ["assigned", "group"])
def test_a_pattern_reads_what_fits_and_what_comes_later_from_its_beginning(
    tmp_path: Path, profile_path: Path, bundle_path: Path, mode: str
) -> None:
    broker = memory_broker("hall-1", 1)
    broker.create_topic("streamgauge.hall-x", 1)
    broker.create_topic("other", 1)
    settings = edge_settings(
        tmp_path / "state",
        profile_path,
        topics=(),
        topic_pattern=r"(streamgauge\.)?hall-.",
        new_topics_interval_s=0.0001,
        start="latest",
        pinned_bundle=bundle_path,
        mode=mode,
    )
    node = RunningNode(settings, broker)
    node.turns(lambda: {p.topic for p in node.loop.sources.contexts} == {"hall-1"})
    send(broker, good(0), topic="hall-1")
    broker.create_topic("hall-2", 2)
    send(broker, good(0), good(1), topic="hall-2")
    node.turns(lambda: node.loop.node.counts.scored == 3)
    assert len(node.loop.sources.contexts) == 3
    send(broker, good(1), topic="hall-1")
    node.turns(lambda: node.loop.node.counts.topics["hall-1"].scored == 2)
    broker.delete_topic("hall-2")
    broker.create_topic("hall-3", 1)
    send(broker, good(0), topic="hall-3")
    node.turns(lambda: node.loop.node.counts.topics["hall-3"].scored == 1)
    assert {p.topic for p in node.loop.sources.contexts} == {"hall-1", "hall-3"}
    node.end()


@pytest.mark.parametrize("clean", [True, False], ids=["ended", "crashed"])
@pytest.mark.parametrize("mode", ["assigned", "group"])
def test_what_came_while_the_node_was_down_is_read_from_its_beginning(
    tmp_path: Path, profile_path: Path, bundle_path: Path, mode: str, clean: bool
) -> None:
    broker = memory_broker("hall-1", 1)
    broker.create_topic("press", 1)
    broker.create_topic("old", 1)
    for topic in ("hall-1", "press", "old"):
        send(broker, good(0), topic=topic)  # before the node's first start: `latest` leaves it out

    def started(pattern: str = "hall-.", topics: tuple[str, ...] = ("press",)) -> RunningNode:
        settings = edge_settings(
            tmp_path / "state",
            profile_path,
            topics=topics,
            topic_pattern=pattern,
            new_topics_interval_s=0.0001,
            start="latest",
            pinned_bundle=bundle_path,
            mode=mode,
            checkpoint_interval_s=3600,
        )
        return RunningNode(settings, broker)

    def at(node: RunningNode) -> dict[str, int]:
        return {str(partition): context.next_offset for partition, context in node.loop.sources.contexts.items()}

    node = started()
    node.turns(lambda: at(node) == {"hall-1:0": 1, "press:0": 1})
    node.loop.turn()  # saves
    node.end() if clean else node.crash()
    broker.create_topic("hall-2", 1)
    broker.add_partitions("press", 2)
    send(broker, good(1), good(2), topic="hall-2")
    send(broker, raw(json.dumps(good(1)).encode(), topic="press", partition=1))
    node = started()
    node.turns(lambda: at(node) == {"hall-1:0": 1, "hall-2:0": 2, "press:0": 1, "press:1": 1})
    assert node.loop.node.counts.scored == 3
    node.end() if clean else node.crash()
    node = started()
    broker.create_topic("hall-3", 1)
    send(broker, good(1), topic="hall-3")
    node.loop.sources.look()
    node.crash()  # it was seen, and nothing of that saved
    node = started()
    node.turns(lambda: at(node).get("hall-3:0") == 1)
    assert node.loop.node.counts.topics["hall-3"].scored == 1
    node.end()
    node = started(pattern="(hall-.|old)")  # `old` was there before the pattern fitted it
    node.turns(lambda: at(node).get("old:0") == 1)
    assert node.loop.node.counts.topics.get("old") is None
    node.end()


def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path, profile_path: Path, bundle_path: Path) -> None:
    settings = edge_settings(
        tmp_path / "state", profile_path, topics=(), topic_pattern="nowhere-.*", pinned_bundle=bundle_path
    )
    with pytest.raises(TopicError, match="no topic of the records cluster fits"):
        RunningNode(settings, memory_broker("records", 1))
