"""Messages of many records: the same alerts as one record a message, each bad row alone in the dead letters."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas import Alert
from services.edge_node.build import Hooks
from services.edge_node.scorer import Scorer
from services.runtime.log import Outgoing
from services.runtime.memory import MemoryBroker
from tests.support.columnar import HEADERS, columnar_messages
from tests.support.edge import (
    MemoryClients,
    alerts_of,
    assert_same_alerts,
    at_end,
    edge_settings,
    memory_broker,
    run_until,
)
from tests.support.plant import messages, plant_profile, plant_records, trained_bundle, write_profile
from tests.unit.edge_node.kit import Scored
from tests.unit.edge_node.test_every_step import Crash, crash_at

PARTITIONS, ROWS = 2, 37
RECORDS = plant_records(600)
DEAD = "streamgauge.dead-letters"


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory, self.runs = directory, 0
        self.profile = write_profile(directory)
        self.bundle = directory / "bundle.safetensors"
        trained_bundle("autoencoder", plant_profile().schema, records=1000).save(self.bundle)

    def run(
        self, stream: Sequence[Outgoing], crash: int = 0, topic_id: str = "one life"
    ) -> tuple[MemoryBroker, Scored]:
        broker, ledger = memory_broker("records", PARTITIONS), Scored()
        broker.topics["records"].id = topic_id
        broker.producer().deliver(stream)
        self.runs += 1
        state = self.directory / f"state-{self.runs}"
        settings = edge_settings(state, self.profile, detector="autoencoder", pinned_bundle=self.bundle)
        self.crashed = False
        if crash:
            try:
                run_until(settings, MemoryClients(broker), at_end, Hooks(crash_at(crash)))
            except Crash:
                self.crashed = True
        run_until(settings, MemoryClients(broker), at_end, Hooks(ledger=ledger))
        return broker, ledger


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("columnar"))


def told(alerts: dict[str, Alert]) -> list[Any]:
    """What alerts say but for ids and positions."""
    return sorted(
        (a.entity, a.count, a.close_reason, a.first.time, a.last.time, round(a.score, 4), str(a.context))
        for a in alerts.values()
    )


def dead_letters(broker: MemoryBroker) -> dict[bytes | None, tuple[dict[str, bytes], bytes | None]]:
    return {record.key: (dict(record.headers), record.value) for record in broker.records(DEAD)}


def test_the_same_records_give_the_same_alerts(bench: Bench) -> None:
    expected = alerts_of(
        bench.run(list(messages("records", RECORDS, PARTITIONS)))[0].records("streamgauge.alerts")
    )
    broker, ledger = bench.run(columnar_messages("records", RECORDS, PARTITIONS, ROWS))
    alerts = alerts_of(broker.records("streamgauge.alerts"))
    assert told(alerts) == told(expected)
    assert len(ledger.offsets) == len(RECORDS)
    firsts = [alert.first for alert in alerts.values()]
    assert any(first.row for first in firsts)
    assert len({first.record_id for first in firsts}) == len(firsts)
    mixed = list(messages("records", RECORDS[:300], PARTITIONS))
    mixed += columnar_messages("records", RECORDS[300:], PARTITIONS, ROWS)
    assert told(alerts_of(bench.run(mixed)[0].records("streamgauge.alerts"))) == told(expected)


def test_each_bad_row_and_each_bad_message_is_a_dead_letter_once(bench: Bench) -> None:
    records = [dict(record) for record in RECORDS[:200]]
    bad = {i: {"machine": records[i]["machine"], "flow": 1e39 + i} for i in range(0, 200, 10)}
    for i, change in bad.items():
        records[i] |= change
    stream = columnar_messages("records", records, PARTITIONS, ROWS)
    broken = Outgoing("records", b"collector", stream[0].value[:-20] if stream[0].value else b"", HEADERS, 0)
    broker, ledger = bench.run([*stream[:3], broken, *stream[3:]])
    letters = dead_letters(broker)
    rows = {key: value for key, (headers, value) in letters.items() if "sg_row" in headers}
    assert sorted(json.loads(value or b"")["flow"] for value in rows.values()) == sorted(
        c["flow"] for c in bad.values()
    )
    (whole,) = [headers for headers, _ in letters.values() if "sg_row" not in headers]
    assert whole["sg_reason"] == b"malformed-arrow"
    assert whole["content-type"] == HEADERS[0][1]
    assert len(ledger.offsets) == 200 - len(bad)
    key, (headers, _) = next((k, v) for k, v in letters.items() if "sg_row" in v[0])
    assert key == headers["sg_position"] + b":" + headers["sg_row"]
    assert headers["sg_reason"] == b"not-finite"


def test_a_crash_at_any_step_changes_no_alert_and_no_dead_letter(bench: Bench) -> None:
    records = [dict(record) for record in RECORDS]
    records[50]["time"] = None
    stream = columnar_messages("records", records, PARTITIONS, ROWS)
    calm, _ = bench.run(stream)
    expected, letters = alerts_of(calm.records("streamgauge.alerts")), dead_letters(calm)
    assert len(expected) > 2
    assert len(letters) == 1
    for number in itertools.count(1):
        broker, _ = bench.run(stream, number)
        assert_same_alerts(expected, alerts_of(broker.records("streamgauge.alerts")))
        assert dead_letters(broker) == letters
        if not bench.crashed:
            break
    assert number > 8


def test_a_row_that_throws_is_set_aside_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [dict(record) for record in RECORDS[:150]]
    records[20]["level"] = 7.125
    step = Scorer.step

    def poisoned(self: Scorer, x: Any, *rest: Any) -> Any:
        if np.isclose(x, 7.125).any():
            raise RuntimeError("cannot bear it")
        return step(self, x, *rest)

    monkeypatch.setattr(Scorer, "step", poisoned)
    broker, ledger = bench.run(columnar_messages("records", records, PARTITIONS, ROWS))
    ((headers, value),) = dead_letters(broker).values()
    assert headers["sg_reason"] == b"crashed"
    assert json.loads(value or b"")["level"] == 7.125
    assert len(ledger.offsets) == 149
