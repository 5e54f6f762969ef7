from __future__ import annotations

import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.api.housekeeping import Housekeeping
from services.api.metrics import ApiMetrics
from services.api.settings import ApiSettings
from services.api.tables import ALERTS, ARTEFACTS, RELEASES, ROUNDS
from services.runtime.codecs import sha256
from services.runtime.database import Database
from services.runtime.log import Outgoing
from services.runtime.settings import ClusterSettings
from tests.unit.api import kit

DAY_S = 86_400


def at(record: Outgoing, second: float) -> Outgoing:
    return Outgoing(
        record.topic, record.key, record.value, record.headers, record.partition, timestamp_ms=int(second * 1000)
    )


def keeper(store: Database, directory: Path, now: float, metrics: ApiMetrics | None = None) -> Housekeeping:
    settings = ApiSettings(
        state_dir=directory,
        records=(ClusterSettings(bootstrap_servers="127.0.0.1:9092"),),
        alert_retention_days=30,
        round_retention_days=60,
        keep_artefacts=2,
    )
    return Housekeeping(store, settings, metrics or ApiMetrics(), lambda: now)


def test_old_alerts_and_rounds_go(store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.housekeeping.CHUNK_ROWS", 3)
    broker = kit.broker()
    now = time.time()
    for days in range(100):
        old = now - days * DAY_S - 60
        broker.producer().deliver([at(kit.sealed(kit.alert(days)), old), at(kit.sealed(kit.plan(days)), old)])
    kit.catch_up(kit.ingest(broker, store))
    metrics = ApiMetrics()
    assert keeper(store, tmp_path, now, metrics).step() == {
        "alerts": 70,
        "rounds": 40,
        "verdicts": 0,
        "artefacts": 0,
    }
    assert keeper(store, tmp_path, now).step() == dict.fromkeys(("alerts", "rounds", "verdicts", "artefacts"), 0)
    with store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(ALERTS)) == 30
        assert connection.scalar(sa.select(sa.func.max(ROUNDS.c.round))) == 59
    assert metrics.registry.get_sample_value("streamgauge_api_rows_pruned_total", {"table": "alerts"}) == 70


def test_alert_that_still_grows_stays(store: Database, tmp_path: Path) -> None:
    broker = kit.broker()
    now = time.time()
    broker.producer().deliver(
        [at(kit.sealed(kit.alert(1)), now - 90 * DAY_S), at(kit.sealed(kit.alert(1, 2)), now)]
    )
    kit.catch_up(kit.ingest(broker, store))
    assert keeper(store, tmp_path, now).step()["alerts"] == 0


def test_newest_weights_and_those_in_force_stay(store: Database, tmp_path: Path) -> None:
    broker = kit.broker()
    now = time.time()
    data = [kit.weights(n) for n in range(6)]
    other = kit.weights(0, "other")
    broker.producer().deliver(
        [at(kit.artefact(each), now - 100 + n) for n, each in enumerate(data)]
        + [at(kit.artefact(other, "other"), now - 1000)]
        + [kit.sealed(kit.release(1, data[0])), kit.sealed(kit.release(2, data[1]))]
    )
    kit.catch_up(kit.ingest(broker, store))
    assert keeper(store, tmp_path, now).step()["artefacts"] == 3
    with store.read() as connection:
        kept = set(connection.scalars(sa.select(ARTEFACTS.c.sha256)))
        assert connection.scalar(sa.select(sa.func.count()).select_from(RELEASES)) == 2
    assert kept == {sha256(each) for each in (data[1], data[4], data[5], other)}
