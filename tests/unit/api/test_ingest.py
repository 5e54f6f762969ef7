from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from schemas import Alert, AlertFeature, NodeStatus
from services.api.ingest import Ingest
from services.api.metrics import ApiMetrics
from services.api.tables import ALERTS, ARTEFACTS, NODES, RELEASES, ROUNDS
from services.runtime.database import Database
from services.runtime.envelope import Sealer
from services.runtime.errors import BrokerError
from services.runtime.log import Consumer, Outgoing, Polled
from services.runtime.memory import MemoryBroker
from services.runtime.signing import SigningKey
from services.runtime.trust import EnrolledKeys
from tests.unit.api import kit
from tests.unit.api.kit import TOPICS


def send(broker: MemoryBroker, *records: Outgoing) -> None:
    broker.producer().deliver(records)


def alerts_in(store: Database) -> dict[UUID, Alert]:
    with store.read() as connection:
        return {UUID(row.alert_id): Alert.read(row.body) for row in connection.execute(sa.select(ALERTS))}


def count(store: Database, table: sa.Table) -> int:
    with store.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def refused(metrics: ApiMetrics, topic: str, reason: str) -> float:
    labels = {"topic": topic, "reason": reason}
    return metrics.registry.get_sample_value("streamgauge_api_records_refused_total", labels) or 0.0


def test_highest_version_of_an_alert_counts_in_any_order(store: Database) -> None:
    broker = kit.broker()
    versions = [kit.alert(n, v) for n in range(20) for v in range(1, 6)] * 2
    random.Random(7).shuffle(versions)
    send(broker, *map(kit.sealed, versions))
    kit.catch_up(kit.ingest(broker, store))
    assert alerts_in(store) == {UUID(int=n): kit.alert(n, 5) for n in range(20)}


def test_same_version_again_is_ignored(store: Database) -> None:
    broker = kit.broker()
    reader = kit.ingest(broker, store)
    send(broker, kit.sealed(kit.alert(1, 2)))
    kit.catch_up(reader)
    send(broker, kit.sealed(kit.alert(1, 2, explained=True)))
    kit.catch_up(reader)
    assert alerts_in(store) == {UUID(int=1): kit.alert(1, 2)}


class DyingDatabase(Database):
    """Dies in the n-th writing transaction: at its end (nothing is kept) or just after (all of it is)."""

    def __init__(self, real: Database, die_at: int, committed: bool) -> None:
        self._real = real
        self._left = die_at
        self._committed = committed

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        self._left -= 1
        with self._real.write() as connection:
            yield connection
            if self._left == 0 and not self._committed:
                raise KeyboardInterrupt
        if self._left == 0:
            raise KeyboardInterrupt

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._real.read() as connection:
            yield connection


def everything() -> list[Outgoing]:
    data = [kit.weights(n) for n in range(3)]
    messages = [
        *(kit.alert(n, v) for n in range(900) for v in (1, 2)),
        *(kit.status(incarnation=n) for n in (1, 3, 2)),
        *(make(n) for n in range(4) for make in (kit.plan, kit.candidate, kit.closed)),
        *(kit.release(n, data[n - 1]) for n in (1, 2, 3)),
    ]
    return [kit.artefact(each) for each in data] + [kit.sealed(message) for message in messages]


@pytest.mark.parametrize("committed", [False, True])
def test_killed_at_every_transaction_database_says_what_the_topics_say(tmp_path: Path, committed: bool) -> None:
    broker = kit.broker()
    send(broker, *everything())
    straight = kit.database(tmp_path)
    kit.catch_up(kit.ingest(broker, straight))
    (tmp_path / "killed").mkdir()
    real = kit.database(tmp_path / "killed")
    deaths = 0
    for die_at in (1, 2, 1, 2, 2, 3, 1, 2):
        dying = Ingest(
            "memory", broker.consumer, DyingDatabase(real, die_at, committed), kit.handlers(), ApiMetrics()
        )
        try:
            kit.catch_up(dying)
        except KeyboardInterrupt:
            deaths += 1
    kit.catch_up(kit.ingest(broker, real))
    assert deaths >= 4
    assert kit.contents(real) == kit.contents(straight)
    assert count(real, ALERTS) == 900
    straight.close()
    real.close()


@pytest.mark.parametrize("while_down", [False, True])
def test_topic_deleted_and_made_again(store: Database, while_down: bool) -> None:
    broker = kit.broker()
    send(
        broker,
        *map(kit.sealed, [kit.alert(n) for n in range(9)]),
        kit.sealed(kit.release(1)),
        kit.sealed(kit.plan(1)),
    )
    reader = kit.ingest(broker, store)
    kit.catch_up(reader)
    for topic, partitions in ((TOPICS.alerts, 3), (TOPICS.releases, 1)):
        broker.delete_topic(topic)
        broker.create_topic(topic, partitions)
    send(broker, *map(kit.sealed, [kit.alert(n) for n in range(100, 120)]), kit.sealed(kit.release(1, b"new")))
    reader = kit.ingest(broker, store) if while_down else reader
    while reader.step(0.0):
        pass
    kit.catch_up(reader)
    assert set(alerts_in(store)) == {UUID(int=n) for n in (*range(9), *range(100, 120))}
    with store.read() as connection:
        assert [row.weights_sha256 for row in connection.execute(sa.select(RELEASES))] == [
            kit.release(1, b"new").weights.sha256
        ]
    assert count(store, ROUNDS) == 1


def test_bad_records_are_refused_and_their_neighbours_kept(store: Database) -> None:
    broker = kit.broker()
    metrics = ApiMetrics()
    good = kit.sealed(kit.alert(1))
    bad = [
        Outgoing(TOPICS.alerts, b"k", b"{}", ()),
        Outgoing(TOPICS.alerts, b"k", b"{not json", good.headers),
        Outgoing(TOPICS.alerts, b"k", b"\xff\xfe", good.headers),
        Outgoing(
            TOPICS.alerts, b"k", kit.alert(2).to_json().replace(b'version":1', b'version":7', 1), good.headers
        ),
        kit.sealed(kit.alert(3, 1, count=1).model_copy(update={"version": 10**30})),
        Outgoing(TOPICS.alerts, b"k", None, ()),
        Outgoing(TOPICS.alerts, b"k", kit.status().to_json(), kit.sealed(kit.status()).headers),
    ]
    pinned = [Outgoing(r.topic, r.key, r.value, r.headers, 0) for r in (bad[0], good, *bad[1:])]
    last = kit.sealed(kit.alert(9))
    send(broker, *pinned, Outgoing(last.topic, last.key, last.value, last.headers, 0))
    kit.catch_up(kit.ingest(broker, store, metrics))
    assert set(alerts_in(store)) == {UUID(int=1), UUID(int=9)}
    assert refused(metrics, TOPICS.alerts, "not-ours") == 1
    assert refused(metrics, TOPICS.alerts, "bad-message") == 2
    assert refused(metrics, TOPICS.alerts, "unsupported-version") == 1
    assert refused(metrics, TOPICS.alerts, "out-of-range") == 1
    assert refused(metrics, TOPICS.alerts, "wrong-type") == 1


def test_odd_text_and_numbers_that_json_does_not_have(store: Database) -> None:
    broker = kit.broker()
    features = (AlertFeature(name="x", contribution=1.0, value=float("nan"), expected=float("inf")),)
    odd = kit.alert(1, entity="\0\u2028" + "é" * 900, features=features)
    send(broker, kit.sealed(odd))
    kit.catch_up(kit.ingest(broker, store))
    stored = alerts_in(store)[UUID(int=1)]
    assert stored.entity == odd.entity
    assert (stored.features[0].value, stored.features[0].expected) == (None, None)


def test_forged_messages_are_refused(store: Database) -> None:
    broker = kit.broker()
    metrics = ApiMetrics()
    stranger = Sealer("aggregator", 1, SigningKey.generate())
    node = Sealer("plant-a/w1", 1, kit.NODE_KEY)
    unsigned = Sealer("aggregator", 1, None)
    send(
        broker,
        stranger.seal(kit.release(1), TOPICS.releases, b"default/1"),
        unsigned.seal(kit.release(2), TOPICS.releases, b"default/2"),
        node.seal(kit.release(3), TOPICS.releases, b"default/3"),
        stranger.seal(kit.plan(1), TOPICS.rounds, b"default"),
        node.seal(kit.status("plant-b/w1"), TOPICS.nodes, b"plant-b/w1"),
        kit.artefact(kit.weights(1), key=b"default/" + b"0" * 64),
    )
    kit.catch_up(kit.ingest(broker, store, metrics))
    assert [count(store, table) for table in (RELEASES, ROUNDS, NODES, ARTEFACTS)] == [0, 0, 0, 0]
    assert refused(metrics, TOPICS.releases, "bad-signature") == 1
    assert refused(metrics, TOPICS.releases, "unsigned") == 1
    assert refused(metrics, TOPICS.releases, "unknown-key") == 1
    assert refused(metrics, TOPICS.rounds, "bad-signature") == 1
    assert refused(metrics, TOPICS.nodes, "wrong-sender") == 1
    assert refused(metrics, TOPICS.models, "bad-message") == 1


def test_newest_status_by_incarnation_then_arrival(store: Database) -> None:
    broker = kit.broker()
    order = [(1, 10), (5, 1), (5, 2), (4, 99)]  # incarnation, records scored
    send(broker, *(kit.sealed(kit.status(incarnation=i, records_scored=n)) for i, n in order))
    kit.catch_up(kit.ingest(broker, store))
    with store.read() as connection:
        (body,) = connection.scalars(sa.select(NODES.c.body))
    assert NodeStatus.read(body).records_scored == 2


def test_node_enrolled_later_counts(store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.runtime.trust.CHECK_INTERVAL_S", 0.0)
    keys = tmp_path / "keys"
    keys.mkdir()
    broker = kit.broker()
    reader = kit.ingest(broker, store, handlers=kit.handlers(EnrolledKeys(keys)))
    send(broker, kit.sealed(kit.status()))
    kit.catch_up(reader)
    assert count(store, NODES) == 0
    (keys / "plant-a__w1.pub").write_bytes(b"half a key")
    send(broker, kit.sealed(kit.status()))
    kit.catch_up(reader)
    (keys / "plant-a__w1.pub").write_bytes(kit.NODE_KEY.verify_key.to_pem())
    send(broker, kit.sealed(kit.status()))
    kit.catch_up(reader)
    assert count(store, NODES) == 1


def test_a_new_plan_for_a_known_round_begins_it_anew(store: Database) -> None:
    broker = kit.broker()
    reader = kit.ingest(broker, store)
    send(broker, *map(kit.sealed, [kit.plan(1), kit.candidate(1), kit.closed(1), kit.plan(1)]))
    kit.catch_up(reader)
    with store.read() as connection:
        row = connection.execute(sa.select(ROUNDS)).one()
    assert row.outcome == "released"
    assert row.candidate is not None
    send(broker, kit.sealed(kit.plan(1, seed=5)))
    kit.catch_up(reader)
    with store.read() as connection:
        row = connection.execute(sa.select(ROUNDS)).one()
    assert (row.outcome, row.candidate, row.closed) == (None, None, None)


def test_waits_for_broker_and_topics(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.ingest.LOOK_FOR_TOPICS_S", 0.0)
    broker = MemoryBroker()
    failures = [BrokerError("nobody at 127.0.0.1:1")]

    def connect() -> Consumer:
        if failures:
            raise failures.pop()
        return broker.consumer()

    reader = Ingest("memory", connect, store, {TOPICS.alerts: kit.handlers()[TOPICS.alerts]}, ApiMetrics())
    assert reader.step(0.0) == 0
    assert reader.waiting_for() == ["nobody at 127.0.0.1:1"]
    reader.step(0.0)
    assert reader.waiting_for() == ["topic sg.alerts does not exist yet"]
    broker.create_topic(TOPICS.alerts, partitions=2)
    send(broker, kit.sealed(kit.alert(1)))
    reader.step(0.0)
    kit.catch_up(reader)
    assert len(alerts_in(store)) == 1


def test_an_outage_in_mid_work_is_waited_out(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.ingest.LOOK_FOR_TOPICS_S", 0.0)
    broker = kit.broker()
    consumer = broker.consumer()
    reader = Ingest("memory", lambda: consumer, store, kit.handlers(), ApiMetrics())
    kit.catch_up(reader)
    send(broker, kit.sealed(kit.alert(1)))
    poll = consumer.poll
    outage = [BrokerError("gone"), BrokerError("still gone")]

    def failing(timeout_s: float) -> Polled:
        if outage:
            raise outage.pop()
        return poll(timeout_s)

    monkeypatch.setattr(consumer, "poll", failing)
    assert [reader.step(0.0) for _ in range(3)] == [0, 0, 1]
    assert len(alerts_in(store)) == 1
