"""A source that sends out of order, to a detector for which order matters."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import Alert
from services.edge_node.build import Hooks
from services.runtime.log import Partition
from services.runtime.memory import MemoryBroker
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.profile import parse_profile
from tests.support.edge import MemoryClients, alerts_of, at_end, edge_settings, memory_broker, run_until
from tests.support.plant import LONG_PROFILE, PROFILE, plant_profile, plant_records, trained_bundle
from tests.unit.edge_node.kit import RunningNode, Scored, bad_flow, good, raw, send
from tests.unit.edge_node.test_every_step import Crash, crash_at

WINDOW_S = 6.0
RECORDS = plant_records(300)
LAST = {**RECORDS[-1], "time": RECORDS[-1]["time"] + 2 * WINDOW_S}
"""Lets out all that waits."""


@pytest.fixture(scope="module")
def ordered_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ordered") / "ordered.toml"
    path.write_text(f"reorder_s = {WINDOW_S}\n{PROFILE}")
    return path


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.safetensors"
    trained_bundle("lstm", plant_profile().schema, records=1000).save(path)
    return path


def shuffled(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    late = np.random.default_rng(3).uniform(0, WINDOW_S - 1, len(records))
    return [records[i] for i in np.argsort([r["time"] + d for r, d in zip(records, late, strict=True)])]


def broker_of(records: list[dict[str, Any]]) -> MemoryBroker:
    broker = memory_broker("records", 1)
    broker.producer().deliver([raw(json.dumps(record).encode()) for record in [*records, LAST]])
    return broker


def run(broker: MemoryBroker, profile: Path, bundle: Path, state: Path, crashes: tuple[int, ...] = ()) -> int:
    """Run over the stream, crashing at these steps; returns how often it crashed."""
    settings = edge_settings(state, profile, detector="lstm", pinned_bundle=bundle)
    for crashed, number in enumerate(crashes):
        try:
            run_until(settings, MemoryClients(broker), at_end, Hooks(crash_at(number)))
        except Crash:
            continue
        return crashed
    run_until(settings, MemoryClients(broker), at_end)
    return len(crashes)


def seen(broker: MemoryBroker) -> list[tuple[Any, ...]]:
    """Alerts without what depends on positions in the log."""
    alerts = alerts_of(broker.records("streamgauge.alerts")).values()
    return sorted((a.entity, a.first.time, a.last.time, a.count, round(a.score, 4)) for a in alerts)


def test_shuffled_records_raise_the_alerts_of_the_sorted_ones(
    tmp_path: Path, ordered_path: Path, profile_path: Path, lstm: Path
) -> None:
    in_order, mixed, unaided = broker_of(RECORDS), broker_of(shuffled(RECORDS)), broker_of(shuffled(RECORDS))
    run(in_order, ordered_path, lstm, tmp_path / "sorted")
    run(mixed, ordered_path, lstm, tmp_path / "mixed")
    run(unaided, profile_path, lstm, tmp_path / "unaided")
    assert len(seen(in_order)) > 3
    assert seen(mixed) == seen(in_order)
    assert seen(unaided) != seen(in_order)


def test_a_crash_at_any_step_changes_no_alert(tmp_path: Path, ordered_path: Path, lstm: Path) -> None:
    stream = shuffled(RECORDS[:150])
    undisturbed = broker_of(stream)
    run(undisturbed, ordered_path, lstm, tmp_path / "state")
    expected = {alert.alert_id for alert in alerts(undisturbed)}
    for number in itertools.count(1):
        broker = broker_of(stream)
        broker.topics["records"].id = undisturbed.topics["records"].id
        crashed = run(
            broker, ordered_path, lstm, tmp_path / f"state-{number}", (number, 3) if number % 2 else (number,)
        )
        assert seen(broker) == seen(undisturbed)
        assert {alert.alert_id for alert in alerts(broker)} == expected
        if not crashed:
            break
    assert number > 10


def alerts(broker: MemoryBroker) -> list[Alert]:
    return list(alerts_of(broker.records("streamgauge.alerts")).values())


def node_of(
    state: Path, profile: Path, bundle: Path, broker: MemoryBroker, ledger: Scored | None = None
) -> tuple[RunningNode, Scored]:
    ledger = ledger or Scored()
    settings = edge_settings(state, profile, pinned_bundle=bundle)
    return RunningNode(settings, broker, Hooks(ledger=ledger)), ledger


def test_what_waits_holds_the_commit_and_late_or_bad_records_do_not_wait(
    tmp_path: Path, ordered_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    node, ledger = node_of(tmp_path / "state", ordered_path, bundle_path, broker)
    send(broker, good(0), good(2), good(1), good(9), good(1, flow=0.2), raw(b"{"), good(10))
    node.turns(lambda: at_end(node.edge))
    assert [offset for _, offset in ledger.offsets] == [0, 2, 1, 4]
    (context,) = node.loop.sources.contexts.values()
    assert (context.next_offset, context.low_watermark) == (7, 3)
    assert dict(node.loop.node.counts.topics["records"].outcomes) == {"reordered": 1, "late": 1}
    assert len(broker.records("streamgauge.dead-letters")) == 1
    node.end()


def test_what_waits_when_the_topic_is_made_again_is_scored(
    tmp_path: Path, ordered_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    node, ledger = node_of(tmp_path / "state", ordered_path, bundle_path, broker)
    send(broker, good(0), good(2), bad_flow(1))
    node.turns(lambda: at_end(node.edge))
    assert ledger.offsets == []
    broker.delete_topic("records")
    broker.create_topic("records", 1)
    send(broker, good(100))
    node.turns(lambda: len(ledger.offsets) == 3)
    assert [(a.state, a.first.offset) for a in alerts(broker)] == [("closed", 2)]
    node.end()


def test_what_waits_is_scored_when_the_profile_waits_no_more(
    tmp_path: Path, ordered_path: Path, profile_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    node, _ = node_of(tmp_path / "state", ordered_path, bundle_path, broker)
    send(broker, good(0), good(2), good(1))
    node.turns(lambda: at_end(node.edge))
    node.end()
    node, ledger = node_of(tmp_path / "state", profile_path, bundle_path, broker)
    send(broker, good(3))
    node.turns(lambda: at_end(node.edge))
    assert [offset for _, offset in ledger.offsets] == [0, 2, 1, 3]
    (context,) = node.loop.sources.contexts.values()
    assert context.low_watermark == 4
    node.end()


def end_of(node: RunningNode) -> None:
    node.turns(lambda: at_end(node.edge))


class Deadly(Scored):
    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        if 1 in offsets:
            raise RuntimeError("the end")
        super().scored(partition, offsets, scores)


def test_a_waiting_record_that_kills_the_node_is_set_aside_with_what_waited_beside_it(
    tmp_path: Path, ordered_path: Path, bundle_path: Path
) -> None:
    broker = memory_broker("records", 1)
    send(broker, *(good(i) for i in range(0, 30, 3)))
    for _ in range(12):
        node, ledger = node_of(tmp_path / "state", ordered_path, bundle_path, broker, Deadly())
        try:
            end_of(node)
        except RuntimeError:
            node.crash()
            continue
        break
    letters = {dict(r.headers)["sg_position"] for r in broker.records("streamgauge.dead-letters")}
    set_aside = {int(position.rpartition(b":")[2]) for position in letters}
    assert 1 in set_aside
    assert set_aside | {offset for _, offset in ledger.offsets} >= set(range(1, 8))
    assert len(set_aside) <= 4
    node.end()


def test_a_window_for_the_long_layout_or_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="reorder_s"):
        parse_profile(f"reorder_s = -1\n{PROFILE}")
    with pytest.raises(ConfigurationError, match="wait_s"):
        parse_profile(f"reorder_s = 5\n{LONG_PROFILE}")
