"""A source that sends one tag a message, all the way through a node; also over crashes (docs/adr/035)."""

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
from services.edge_node.scorer import Scorer
from services.runtime.log import Outgoing, Partition
from services.runtime.memory import MemoryBroker
from tests.support.edge import (
    MemoryClients,
    alerts_of,
    assert_same_alerts,
    at_end,
    edge_settings,
    memory_broker,
    run_until,
)
from tests.support.plant import (
    LONG_PROFILE,
    TAGS,
    messages,
    plant_profile,
    plant_records,
    tag_records,
    trained_bundle,
    write_profile,
)
from tests.unit.edge_node.kit import RunningNode, Scored, bad_flow, good, raw, send
from tests.unit.edge_node.test_every_step import Crash, crash_at

PARTITIONS = 2
DETECTOR = "lstm"
"""It carries a state from record to record, so that order matters."""
Alerts = dict[str, Alert]


def complete(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Missing tags said to be missing, so that each tick is complete at its last message."""
    return [{**dict.fromkeys(TAGS), **record} for record in records]


RECORDS = plant_records(400)


@pytest.fixture(scope="module")
def long_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.toml"
    path.write_text(LONG_PROFILE)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    path = tmp_path_factory.mktemp("bundle") / "bundle.safetensors"
    trained_bundle(DETECTOR, plant_profile().schema, records=1000).save(path)
    return DETECTOR, path


def broker_of(records: list[dict[str, Any]]) -> MemoryBroker:
    broker = memory_broker("records", PARTITIONS)
    broker.producer().deliver(list(messages("records", records, PARTITIONS)))
    return broker


def run(
    broker: MemoryBroker, profile: Path, bundle: tuple[str, Path], state: Path, crashes: tuple[int, ...] = ()
) -> int:
    """Run a node to the end of the log; returns how often it crashed on the way."""
    settings = edge_settings(state, profile, detector=bundle[0], pinned_bundle=bundle[1])
    crashed = 0
    for number in crashes:
        try:
            run_until(settings, MemoryClients(broker), at_end, Hooks(crash_at(number)))
        except Crash:
            crashed += 1
            continue
        break
    run_until(settings, MemoryClients(broker), at_end)
    return crashed


def alerts(broker: MemoryBroker) -> Alerts:
    return alerts_of(broker.records("streamgauge.alerts"))


def told(found: Alerts) -> list[tuple[Any, ...]]:
    """What alerts say beside ids and offsets, which differ between the layouts."""
    return sorted(
        (
            a.entity,
            a.first.time,
            a.last.time,
            a.worst.time,
            a.count,
            a.close_reason,
            pytest.approx(a.score, rel=1e-5),
        )
        for a in found.values()
    )


def test_the_alerts_are_those_of_the_wide_records(
    tmp_path: Path, long_path: Path, bundle: tuple[str, Path]
) -> None:
    records = complete(RECORDS)
    wide, long = broker_of(records), broker_of([m for r in records for m in tag_records(r)])
    run(wide, write_profile(tmp_path), bundle, tmp_path / "wide")
    run(long, long_path, bundle, tmp_path / "long")
    assert len(alerts(wide)) > 3
    assert told(alerts(long)) == told(alerts(wide))
    assert long.records("streamgauge.dead-letters") == []
    for alert in alerts(long).values():  # an id is the position of the message that completed the tick
        (message,) = [
            r
            for r in long.records("records")
            if (r.partition, r.offset) == (alert.first.partition, alert.first.offset)
        ]
        assert message.value is not None
        sent = json.loads(message.value)
        assert (sent["tag"], sent["machine"], sent["time"]) == ("mode", alert.entity, alert.first.time.timestamp())
        assert alert.context == {"asset": sent["asset"]}


def test_a_crash_at_any_step_changes_no_alert(tmp_path: Path, long_path: Path, bundle: tuple[str, Path]) -> None:
    stream = [m for record in RECORDS[:150] for m in tag_records(record)]  # with ticks that stay open for a while
    undisturbed = broker_of(stream)
    run(undisturbed, long_path, bundle, tmp_path / "state")
    expected = alerts(undisturbed)
    assert expected
    for number in itertools.count(1):
        broker = broker_of(stream)
        broker.topics["records"].id = undisturbed.topics["records"].id
        crashes = (number,) if number % 3 else (number, 3, 5)
        crashed = run(broker, long_path, bundle, tmp_path / f"state-{number}", crashes)
        assert_same_alerts(expected, alerts(broker))
        if not crashed:
            break
    assert number > 15


def sent(*records: dict[str, Any]) -> list[Outgoing]:
    return [raw(json.dumps(m).encode()) for r in records for m in tag_records(r)]


def node_of(
    state: Path, profile: Path, bundle: tuple[str, Path], broker: MemoryBroker, ledger: Scored | None = None
) -> tuple[RunningNode, Scored]:
    ledger = ledger or Scored()
    settings = edge_settings(state, profile, detector=bundle[0], pinned_bundle=bundle[1])
    return RunningNode(settings, broker, Hooks(ledger=ledger)), ledger


def end_of(node: RunningNode) -> None:
    node.turns(lambda: at_end(node.edge))


def test_ticks_open_when_the_topic_is_made_again_are_scored(
    tmp_path: Path, long_path: Path, bundle: tuple[str, Path]
) -> None:
    broker = memory_broker("records", 1)
    node, ledger = node_of(tmp_path / "state", long_path, bundle, broker)
    send(broker, *sent(good(0)), *sent(good(1))[:-1])
    end_of(node)
    assert len(ledger.offsets) == 1
    broker.delete_topic("records")
    broker.create_topic("records", 1)
    send(broker, *sent(good(100)))
    node.turns(lambda: len(ledger.offsets) == 3)
    assert node.loop.node.counts.topics["records"].outcomes["partial"] == 1
    node.end()


def test_outcomes_are_counted_and_an_open_tick_holds_the_commit(
    tmp_path: Path, long_path: Path, bundle: tuple[str, Path]
) -> None:
    broker = memory_broker("records", 1)
    lacking = {k: v for k, v in good(2).items() if k != "power"}
    late = raw(json.dumps({**good(1), "tag": "flow", "value": 1.0}).encode())
    unknown = raw(json.dumps({**good(1), "tag": "else", "value": 1.0}).encode())
    wrong = raw(json.dumps({**good(1), "tag": "flow", "value": "much"}).encode())
    partial = {k: v for k, v in good(3).items() if k != "mode"}
    send(
        broker, *sent(good(0), good(1)), late, unknown, wrong, *sent(lacking, partial, good(4)), *sent(partial)[:1]
    )
    send(broker, *sent(good(5))[:2])
    node, ledger = node_of(tmp_path / "state", long_path, bundle, broker)
    end_of(node)
    assert dict(node.loop.node.counts.topics["records"].outcomes) == {
        "taken": 5 + 5 + 4 + 4 + 5 + 2,
        "late": 2,
        "unknown": 1,
        "complete": 3,
        "partial": 1,
        "dropped": 1,
    }
    assert node.loop.node.counts.scored == 4
    assert [offset for _, offset in ledger.offsets] == [4, 9, 20, 25]
    (letter,) = broker.records("streamgauge.dead-letters")
    assert dict(letter.headers)["sg_reason"] == b"wrong-type"
    (context,) = node.loop.sources.contexts.values()
    assert (context.next_offset, context.low_watermark) == (29, 27)
    node.end()


def test_a_tick_that_makes_the_model_raise_is_dropped_and_blames_one_message(
    tmp_path: Path, long_path: Path, bundle: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Scorer.step

    def fussy(self: Scorer, x: Any, *rest: Any) -> Any:
        if (x[:, 3] > 6.9).any():
            raise RuntimeError("numbers like this are not for me")
        return real(self, x, *rest)

    monkeypatch.setattr(Scorer, "step", fussy)
    broker = memory_broker("records", 1)
    send(broker, *sent(*(good(i, power=1000.0 if i in (3, 4) else 20.0) for i in range(8))))
    node, ledger = node_of(tmp_path / "state", long_path, bundle, broker)
    end_of(node)
    assert [offset for _, offset in ledger.offsets] == [5 * i + 4 for i in range(8) if i not in (3, 4)]
    letters = broker.records("streamgauge.dead-letters")
    assert sorted(dict(r.headers)["sg_position"] for r in letters) == [b"records:0:19", b"records:0:24"]
    assert b"machine-0" in dict(letters[0].headers)["sg_detail"]
    node.end()


class Deadly(Scored):
    """Throws, after the state has changed, at any record of the fourth tick."""

    def scored(self, partition: Partition, offsets: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        if ((offsets >= 15) & (offsets < 20)).any():
            raise RuntimeError("the end")
        super().scored(partition, offsets, scores)


def test_a_tick_that_kills_the_node_costs_one_message_however_many_could_close_it(
    tmp_path: Path, long_path: Path, bundle: tuple[str, Path]
) -> None:
    """Left open, it would be closed by the next message and kill the node again."""
    broker = memory_broker("records", 1)
    send(broker, *sent(*(good(i) for i in range(8))))
    for _ in range(8):
        node, ledger = node_of(tmp_path / "state", long_path, bundle, broker, Deadly())
        try:
            end_of(node)
        except RuntimeError:
            node.crash()
            continue
        break
    (letter,) = {r.value: r for r in broker.records("streamgauge.dead-letters")}.values()
    assert dict(letter.headers)["sg_position"] == b"records:0:19"
    assert [offset for _, offset in ledger.offsets][-4:] == [24, 29, 34, 39]
    assert node.loop.node.counts.topics["records"].outcomes["dropped"] == 1
    node.end()


def test_alerts_open_at_the_message_that_completes_the_tick(
    tmp_path: Path, long_path: Path, bundle: tuple[str, Path]
) -> None:
    broker = memory_broker("records", 1)
    send(broker, *sent(*(good(i) for i in range(9)), bad_flow(9)))
    node, _ = node_of(tmp_path / "state", long_path, bundle, broker)
    end_of(node)
    (alert,) = alerts(broker).values()
    assert alert.first.offset == 49
    node.end()
