from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from schemas import NodeStatus, Release
from services.api.answers import AlertInfo, AlertPage, ModelInfo, ModelPage, NodeList, ReleasePage, RoundPage
from services.api.app import ApiParts, create_app
from services.api.build import silence_of
from services.api.metrics import ApiMetrics
from services.api.store import Store
from services.runtime.codecs import sha256
from services.runtime.database import Database
from services.runtime.memory import MemoryBroker
from tests.unit.api import kit

TOKEN = "a-token-of-many-characters"
WEIGHTS = {n: kit.weights(n) for n in (1, 2)}


def client(store: Database, **parts: Any) -> TestClient:
    metrics = parts.setdefault("metrics", ApiMetrics())
    metrics.watch_nodes(silence_of(Store(store)))
    return TestClient(
        create_app(ApiParts(Store(store), kit.verdicts(store), **parts)), base_url="http://127.0.0.1:8000"
    )


def fill(broker: MemoryBroker, store: Database) -> None:
    alerts = [
        kit.alert(n, 1 + n % 2, state="closed" if n % 2 else "opened", close_reason="gap" if n % 2 else None)
        for n in range(7)
    ]
    special = kit.alert(50, node="plant-b/w1", site="plant-b", entity="\0 ü", score=9.5, detector="mlp")
    releases = [
        kit.release(1, WEIGHTS[1]),
        kit.release(2, WEIGHTS[2]),
        kit.release(3, WEIGHTS[1], kind="rollback", version="1.3"),
        kit.release(4, kit.weights(99), version="1.4"),
        kit.release(1, federation="other", version="1.1"),
    ]
    statuses = [kit.status(), kit.status(federation="other")]
    rounds = [kit.plan(1), kit.candidate(1), kit.closed(1), kit.plan(2), kit.closed(2, "abandoned"), kit.plan(3)]
    artefacts = map(kit.artefact, WEIGHTS.values())
    broker.producer().deliver([*artefacts, *map(kit.sealed, [*alerts, special, *releases, *statuses, *rounds])])
    kit.catch_up(kit.ingest(broker, store))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a database in which everything has arrived."""
    directory = tmp_path_factory.mktemp("filled")
    store = kit.database(directory)
    fill(kit.broker(), store)
    store.close()
    return (directory / "api.sqlite").read_bytes()


@pytest.fixture
def api(tmp_path: Path, filled: bytes) -> Iterator[TestClient]:
    store = kit.database(tmp_path, filled)
    with client(store) as made:
        yield made
    store.close()


def alert_ids(api: TestClient, **params: Any) -> list[int]:
    answer = api.get("/alerts", params=params)
    assert answer.status_code == 200, answer.text
    return [found.alert_id.int for found in AlertPage.model_validate_json(answer.content).items]


def test_alerts_latest_first_and_equal_to_the_topic(api: TestClient) -> None:
    page = AlertPage.model_validate_json(api.get("/alerts").content)
    assert [found.alert_id.int for found in page.items] == [50, 6, 5, 4, 3, 2, 1, 0]
    assert page.next_cursor is None
    assert kit.bare(page.items[1]) == kit.alert(6)
    assert page.items[1].verdict is None


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"node": "plant-b/w1"}, [50]),
        ({"site": "plant-a"}, [6, 5, 4, 3, 2, 1, 0]),
        ({"entity": "\0 ü"}, [50]),
        ({"entity": "pump-7", "state": "closed"}, [5, 3, 1]),
        ({"state": "open"}, [50, 6, 4, 2, 0]),
        ({"state": "opened"}, [50, 6, 4, 2, 0]),
        ({"detector": "mlp"}, [50]),
        ({"federation": "nobody"}, []),
        ({"min_score": 2.1}, [50]),
        # An alert of even number lasts one second, of odd number two.
        ({"since": "2026-01-31T08:00:05Z", "until": "2026-01-31T09:00:06+01:00"}, [5, 4, 3]),
    ],
)
def test_filters(api: TestClient, params: dict[str, Any], expected: list[int]) -> None:
    assert alert_ids(api, **params) == expected


def test_pages_cover_everything_once_while_alerts_come_and_grow(store: Database) -> None:
    broker = kit.broker()
    fill(broker, store)
    reader = kit.ingest(broker, store)
    seen: list[int] = []
    cursor: str | None = None
    with client(store) as api:
        for turn in range(20):
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = AlertPage.model_validate_json(api.get("/alerts", params=params).content)
            seen += [found.alert_id.int for found in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
            news = [kit.alert(100 + turn), kit.alert(2, 5 + turn)]
            broker.producer().deliver([kit.sealed(each) for each in news])
            kit.catch_up(reader)
    assert seen == [50, 6, 5, 4, 3, 2, 1, 0]


def test_alert_by_id(api: TestClient) -> None:
    answer = api.get(f"/alerts/{str(UUID(int=5)).upper()}")
    assert AlertInfo.model_validate_json(answer.content).version == 2
    assert api.get(f"/alerts/{UUID(int=999)}").status_code == 404
    assert api.get("/alerts/5").status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "minscore=2",
        "min_score=nan",
        "min_score=-1",
        "state=grown",
        "since=2026-01-31T08:00:00",
        "since=1700000000",
        "until=yesterday",
        "since=2026-01-31T09:00:00Z&until=2026-01-31T08:00:00Z",
        "cursor=1",
        "cursor=1_00000000-0000-0000-0000-00000000000g",
        "node=a%20b",
    ],
)
def test_wrong_questions_are_refused(api: TestClient, query: str) -> None:
    assert api.get(f"/alerts?{query}").status_code == 422


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "/alerts?minscore=2",
            "there is no filter 'minscore'; known: cursor, detector, entity, federation, limit, ",
        ),
        ("/alerts?cursor=1", "not a cursor: take next_cursor"),
        ("/alerts/5", "not an alert's id"),
        ("/alerts?node=a%20b", "a name has letters"),
        ("/alerts?since=2026-01-31T09:00:00Z&until=2026-01-31T08:00:00Z", "is later than until="),
        ("/rounds?round=1", "known: cursor, federation, limit, outcome"),
    ],
)
def test_refusals_are_in_words(api: TestClient, path: str, said: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 422
    assert said in answer.json()["detail"][0]["msg"]
    assert "^" not in answer.text


def test_models(api: TestClient) -> None:
    page = ModelPage.model_validate_json(api.get("/models?federation=default").content)
    assert [(m.version, m.in_force, m.available) for m in page.items] == [
        ("1.4", True, False),
        ("1.2", False, True),
        ("1.1", False, True),
    ]
    assert ModelInfo.model_validate_json(api.get("/models/1.2").content).release_seq == 2
    assert api.get("/models/9.9").status_code == 404
    ambiguous = api.get("/models/1.1")
    assert ambiguous.status_code == 409
    assert "default, other" in ambiguous.json()["detail"]
    assert api.get("/models/1.1?federation=other").json()["federation"] == "other"


def test_weights(api: TestClient) -> None:
    answer = api.get("/models/1.2/weights")
    assert answer.status_code == 200
    assert answer.content == WEIGHTS[2]
    assert answer.headers["content-type"] == "application/vnd.safetensors"
    assert answer.headers["etag"] == f'"{sha256(WEIGHTS[2])}"'
    assert api.get("/models/1.4/weights").status_code == 404
    assert api.get("/models/9/weights").status_code == 404


def test_releases_by_pages(api: TestClient) -> None:
    seen: list[Release] = []
    cursor: str | None = None
    while cursor is not None or not seen:
        params = {"federation": "default", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = ReleasePage.model_validate_json(api.get("/releases", params=params).content)
        seen += page.items
        cursor = page.next_cursor
    assert [found.release_seq for found in seen] == [4, 3, 2, 1]
    assert seen[1].kind == "rollback"


def test_rounds(api: TestClient) -> None:
    page = RoundPage.model_validate_json(api.get("/rounds").content)
    assert [(found.round, found.state) for found in page.items] == [(3, "open"), (2, "abandoned"), (1, "released")]
    assert page.items[2].candidate == kit.candidate(1)
    page = RoundPage.model_validate_json(api.get("/rounds?outcome=released").content)
    assert [found.round for found in page.items] == [1]


def test_nodes_and_their_silence(store: Database) -> None:
    fill(kit.broker(), store)
    with client(store, clock=lambda: 4e9) as api:
        found = NodeList.model_validate_json(api.get("/nodes?federation=default").content)
        (node,) = found.items
        assert node.status == NodeStatus.read(kit.status().to_json())
        assert node.silent_s == pytest.approx(4e9 - node.last_report_at.timestamp())
        assert len(api.get("/nodes").json()["items"]) == 2


def test_ready_only_after_catching_up(store: Database) -> None:
    waiting = ["topic sg.alerts does not exist yet"]
    with client(store, waiting_for=lambda: waiting) as api:
        answer = api.get("/readyz")
        assert (answer.status_code, answer.json()["waiting_for"]) == (503, waiting)
        assert "streamgauge_api_ready 0.0" in api.get("/metrics").text
        waiting.clear()
        assert api.get("/readyz").status_code == 200
        assert api.get("/healthz").status_code == 200


def test_token(store: Database) -> None:
    with client(store, token=TOKEN) as api:
        for path in ("/alerts", "/models", "/nodes", "/metrics"):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
                answer = api.get(path, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert api.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert api.get(path).status_code == 200


def test_foreign_host_names_are_refused_without_a_token(store: Database) -> None:
    with client(store) as api:
        assert api.get("/alerts", headers={"Host": "evil.example"}).status_code == 400
        assert api.get("/alerts", headers={"Host": "localhost:8000"}).status_code == 200


def test_large_bodies_are_refused(store: Database) -> None:
    with client(store, max_request_bytes=1000) as api:
        assert api.request("GET", "/alerts", content=b"x" * 1001).status_code == 413


def test_metrics_by_route(api: TestClient) -> None:
    api.get("/alerts/5")
    api.get("/no/such/path")
    text = api.get("/metrics").text
    assert '{method="GET",route="/alerts/{alert_id}",status="422"} 1.0' in text
    assert 'route="other",status="404"' in text
    assert 'streamgauge_api_node_silence_seconds{federation="default",node="plant-a/w1"}' in text


def test_root_leads_to_the_documentation(api: TestClient) -> None:
    assert api.get("/", follow_redirects=False).headers["location"] == "/docs"
