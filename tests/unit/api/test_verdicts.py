from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from schemas import Verdict
from services.api.answers import VerdictGiven
from services.api.app import ApiParts, create_app
from services.api.handlers import AlertHandler
from services.api.metrics import ApiMetrics
from services.api.store import Store
from services.api.tables import ALERTS, OUTBOX, VERDICTS
from services.api.verdicts import Verdicts
from services.runtime.database import Database
from services.runtime.memory import MemoryBroker
from tests.unit.api import kit
from tests.unit.api.test_app import alert_ids, client, fill
from tests.unit.api.test_housekeeping import DAY_S, at, keeper
from tests.unit.api.test_ingest import DyingDatabase

ATTACK = {"verdict": "attack", "attack_type": "port scan", "comment": "two\nlines", "by": "ada"}
FALSE_ALARM = {"verdict": "false_alarm", "by": "bob"}


def path(number: int) -> str:
    return f"/alerts/{UUID(int=number)}/verdict"


def sent(broker: MemoryBroker) -> list[Verdict]:
    return [Verdict.read(record.value or b"") for record in broker.records(kit.TOPICS.feedback)]


@pytest.fixture
def api(store: Database) -> Iterator[TestClient]:
    fill(kit.broker(), store)
    with client(store) as made:
        yield made


def test_a_verdict_is_shown_with_the_alert_and_found_by_it(api: TestClient) -> None:
    answer = api.post(path(5), json=ATTACK)
    assert answer.status_code == 200, answer.text
    assert answer.json().items() >= ATTACK.items()
    assert api.get(f"/alerts/{UUID(int=5)}").json()["verdict"] == answer.json()
    assert api.post(path(6), json=FALSE_ALARM).status_code == 200
    assert alert_ids(api, verdict="attack") == [5]
    assert alert_ids(api, verdict="false_alarm", state="open") == [6]
    assert alert_ids(api, verdict="none") == [50, 4, 3, 2, 1, 0]
    shown = {UUID(item["alert_id"]).int: item["verdict"] for item in api.get("/alerts").json()["items"]}
    assert shown[5] == answer.json()
    assert shown[4] is None


def test_the_newest_verdict_counts_and_outlives_growth(store: Database) -> None:
    broker = kit.broker()
    fill(broker, store)
    with client(store) as api:
        for each in (ATTACK, FALSE_ALARM, ATTACK, {"verdict": "unknown", "by": "eve"}):
            assert api.post(path(4), json=each).status_code == 200
        broker.producer().deliver([kit.sealed(kit.alert(4, 9, state="closed", close_reason="gap"))])
        kit.catch_up(kit.ingest(broker, store))
        shown = api.get(f"/alerts/{UUID(int=4)}").json()
    assert (shown["version"], shown["verdict"]["verdict"], shown["verdict"]["by"]) == (9, "unknown", "eve")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"verdict": "maybe", "by": "ada"}, "attack"),
        ({"verdict": "attack"}, "by"),
        ({"verdict": "attack", "by": ""}, "one line of 200 characters at most"),
        ({"verdict": "attack", "by": " \u00a0\u200b "}, "one line of 200 characters at most"),
        ({"verdict": "attack", "by": "a\nb"}, "no control characters"),
        ({"verdict": "attack", "by": "a\n"}, "no control characters"),
        ({"verdict": "attack", "by": "a\u0085b"}, "no control characters"),
        ({"verdict": "attack", "by": "a", "attack_type": " "}, "one line of 200 characters at most"),
        ({"verdict": "attack", "by": "a", "comment": "\0"}, "a comment may not hold"),
        ({"verdict": "attack", "by": "a", "comment": "x" * 2001}, "2000"),
        ({"verdict": "attack", "by": "a" * 201}, "200"),
        (
            {"verdict": "attack", "by": "a", "severity": 3},
            "no field 'severity'; known: attack_type, by, comment, verdict",
        ),
    ],
)
def test_wrong_verdicts_are_refused(api: TestClient, store: Database, body: dict[str, Any], said: str) -> None:
    answer = api.post(path(5), json=body)
    assert answer.status_code == 422
    assert said in answer.text
    assert kit.contents(store)["verdicts"] == kit.contents(store)["outbox"] == []


def test_blanks_around_a_name_are_left_out(api: TestClient) -> None:
    answer = api.post(path(5), json={**ATTACK, "by": "  Ada Müller ", "attack_type": " scan"})
    assert (answer.status_code, answer.json()["by"], answer.json()["attack_type"]) == (200, "Ada Müller", "scan")


def test_only_json_of_the_own_host_is_taken(api: TestClient, store: Database) -> None:
    assert api.post(path(5), json=ATTACK, headers={"Host": "evil.example"}).status_code == 400
    # What a foreign page can send through a browser without asking first: no type, or one of plain forms.
    text = httpx.Request("POST", "http://x", json=ATTACK).content
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert api.post(path(5), content=text, headers=headers).status_code == 422
    assert kit.contents(store)["verdicts"] == []


def test_unknown_alerts_and_unreachable_clusters(store: Database) -> None:
    fill(kit.broker(), store)
    with client(store) as api:
        assert api.post(path(999), json=ATTACK).status_code == 404
        assert api.post("/alerts/5/verdict", json=ATTACK).status_code == 422
    senders = {name: kit.sender(kit.broker(), store, name) for name in ("records@two", "records@three")}
    elsewhere = ApiParts(Store(store), Verdicts(store, kit.TOPICS.feedback, senders))
    with TestClient(create_app(elsewhere), base_url="http://127.0.0.1:8000") as api:
        answer = api.post(path(5), json=ATTACK)
        assert (answer.status_code, kit.SOURCE in answer.text) == (409, True)
    with store.write() as connection:
        connection.execute(sa.update(ALERTS).values(source=None))
    with TestClient(create_app(elsewhere), base_url="http://127.0.0.1:8000") as api:
        assert "older version" in api.post(path(5), json=ATTACK).text
    with client(store) as api:  # one cluster only: it cannot be from another
        assert api.post(path(5), json=ATTACK).status_code == 200


def test_verdicts_go_to_the_cluster_of_the_alert_in_order(store: Database) -> None:
    one, two = kit.broker(), kit.broker()
    one.producer().deliver([kit.sealed(kit.alert(1))])
    two.producer().deliver([kit.sealed(kit.alert(2, first=kit.record_ref(7), detector="mlp"))])
    for broker, source in ((one, kit.SOURCE), (two, "records@two")):
        handlers = kit.handlers() | {kit.TOPICS.alerts: AlertHandler(source)}
        kit.catch_up(kit.ingest(broker, store, handlers=handlers, source=source))
    senders = {kit.SOURCE: kit.sender(one, store), "records@two": kit.sender(two, store, "records@two")}
    verdicts = Verdicts(store, kit.TOPICS.feedback, senders)
    for number, body in ((1, ATTACK), (2, FALSE_ALARM), (1, FALSE_ALARM)):
        verdicts.give(str(UUID(int=number)), VerdictGiven.model_validate(body))
    assert sent(one) == sent(two) == []
    for sender in senders.values():
        sender.flush()
        sender.flush()
    assert [each.verdict for each in sent(one)] == ["attack", "false_alarm"]
    assert sent(one)[0].version < sent(one)[1].version
    (other,) = sent(two)
    assert (other.detector, other.topic, other.partition, other.offset, other.row) == ("mlp", "plant", 0, 7, 0)
    for record in (*one.records(kit.TOPICS.feedback), *two.records(kit.TOPICS.feedback)):
        assert not {b"ada", b"bob", b"port scan", b"two"} & set((record.value or b"").split(b'"'))
    assert kit.contents(store)["outbox"] == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    verdicts=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([ATTACK, FALSE_ALARM])), max_size=6),
    die_at=st.integers(1, 14),
    committed=st.booleans(),
)
def test_killed_at_any_transaction_every_verdict_arrives_and_the_newest_counts(
    tmp_path_factory: pytest.TempPathFactory, verdicts: list[tuple[int, Any]], die_at: int, committed: bool
) -> None:
    """A verdict that was answered is on the topic in the end; one that was not is kept and sent, or neither."""
    broker, store = kit.broker(), kit.database(Path(tmp_path_factory.mktemp("killed")))
    broker.producer().deliver([kit.sealed(kit.alert(n)) for n in range(3)])
    kit.catch_up(kit.ingest(broker, store))
    dying = DyingDatabase(store, die_at, committed)
    answered: dict[int, str] = {}
    unanswered: int | None = None
    try:
        for number, body in verdicts:
            unanswered = number
            kit.verdicts(dying, broker).give(str(UUID(int=number)), VerdictGiven.model_validate(body))
            answered[number], unanswered = body["verdict"], None
            kit.sender(broker, dying).flush()
    except KeyboardInterrupt:
        pass
    kit.sender(broker, store).flush()
    on_topic: dict[int, Verdict] = {}
    for verdict in sent(broker):
        known = on_topic.get(verdict.alert_id.int)
        on_topic[verdict.alert_id.int] = verdict if known is None or verdict.version > known.version else known
    with store.read() as connection:
        kept = {UUID(row.alert_id).int: row.verdict for row in connection.execute(sa.select(VERDICTS))}
        assert connection.scalar(sa.select(sa.func.count()).select_from(OUTBOX)) == 0
    assert {number: each.verdict for number, each in on_topic.items()} == kept
    assert {n: v for n, v in kept.items() if n != unanswered} == {
        n: v for n, v in answered.items() if n != unanswered
    }
    store.close()


def test_the_sender_waits_for_the_topic_and_sends_when_told(store: Database) -> None:
    broker = kit.broker()
    fill(broker, store)
    broker.delete_topic(kit.TOPICS.feedback)
    metrics = ApiMetrics()
    sender = kit.sender(broker, store, metrics=metrics)
    verdicts = Verdicts(store, kit.TOPICS.feedback, {kit.SOURCE: sender})
    verdicts.give(str(UUID(int=1)), VerdictGiven.model_validate(ATTACK))
    assert not sender.flush_if_possible()
    assert metrics.registry.get_sample_value("streamgauge_api_outbox_verdicts", {"source": kit.SOURCE}) == 1
    broker.create_topic(kit.TOPICS.feedback)
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    verdicts.give(str(UUID(int=2)), VerdictGiven.model_validate(ATTACK))
    deadline = time.monotonic() + 60
    while len(sent(broker)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join()
    assert [each.alert_id.int for each in sent(broker)] == [1, 2]
    assert metrics.registry.get_sample_value("streamgauge_api_verdicts_sent_total", {"source": kit.SOURCE}) == 2


def test_verdicts_go_with_their_alerts(store: Database, tmp_path: Path) -> None:
    broker, now = kit.broker(), time.time()
    days = {1: 60, 2: 10}
    broker.producer().deliver([at(kit.sealed(kit.alert(n)), now - d * DAY_S) for n, d in days.items()])
    kit.catch_up(kit.ingest(broker, store))
    for number in days:
        kit.verdicts(store, broker).give(str(UUID(int=number)), VerdictGiven.model_validate(ATTACK))
    # Thirty days after the verdict the alert of day 60 is long gone; the younger one goes now, too.
    assert keeper(store, tmp_path, now).step()["verdicts"] == 0
    assert keeper(store, tmp_path, now + 31 * DAY_S).step() == {
        "alerts": 1,
        "rounds": 0,
        "verdicts": 2,
        "artefacts": 0,
    }
