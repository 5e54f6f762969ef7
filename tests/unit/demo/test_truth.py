"""What the demo's screen says of the alerts, beside the truth in the headers."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from rich.console import Console

from schemas import Alert, RecordRef
from services.demo.screen import line, render
from services.demo.sources import SITES, SOURCES
from services.demo.truth import Scores, Truth
from services.demo.watch import View
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing
from services.runtime.memory import MemoryBroker
from tests.support.processes import until
from tests.unit.api.kit import START
from tests.unit.api.kit import alert as any_alert

ALERTS, TOPIC = "streamgauge.alerts", "site-a.records"
Judge = Callable[[list[str], list[tuple[int, int, int]], int], Scores]


def ref(offset: int) -> RecordRef:
    return RecordRef(record_id=UUID(int=offset), topic=TOPIC, partition=0, offset=offset, time=START, score=2.0)


def alert(number: int, first: int, last: int, count: int) -> Alert:
    return any_alert(
        number,
        site="site-a",
        entity="site-a",
        count=count,
        first=ref(first),
        last=ref(last),
        worst=ref(first),
    )


@pytest.fixture
def judge() -> Iterator[Judge]:
    """Scores of alerts (first offset, last offset, count) on records of these classes, in order of offset."""
    stop, threads = threading.Event(), list[Truth]()

    def scores(classes: list[str], alerts: list[tuple[int, int, int]], aftermath: int) -> Scores:
        broker = MemoryBroker()
        broker.create_topic(TOPIC)
        broker.create_topic(ALERTS)
        truth = Truth(broker.consumer(), {"site-a": TOPIC}, ALERTS, stop, aftermath)
        truth.watching.add("site-a")
        producer, sealer = broker.producer(), Sealer("site-a/1", 1, None)
        told = [json.dumps({"label": kind, "attack": kind != "normal"}).encode() for kind in classes]
        producer.deliver([Outgoing(TOPIC, b"site-a", b"{}", (("sg_truth", text),), 0) for text in told])
        sent = [sealer.seal(alert(n, *place), ALERTS, b"site-a") for n, place in enumerate(alerts)]
        producer.deliver(sent)
        threads.append(truth)
        truth.start()
        attacks = sum(kind != "normal" for kind in classes)
        return until_seen(truth, len(alerts), attacks)

    yield scores
    stop.set()
    for thread in threads:
        thread.join()


def until_seen(truth: Truth, alerts: int, attacks: int) -> Scores:
    def there() -> bool:
        seen = truth.scores()
        return (seen.alerts, seen.attacks) == (alerts, attacks)

    until(there, lambda: str(truth.scores()))
    return truth.scores()


CLASSES = ["normal"] * 5 + ["replay"] * 4 + ["timing"] * 2 + ["normal"] * 9 + ["timing"] * 3 + ["normal"] * 20


def test_alerts_are_right_late_or_wrong(judge: Judge) -> None:
    scores = judge(CLASSES, [(7, 8, 2), (12, 13, 2), (19, 20, 1), (30, 31, 5)], 3)
    assert (scores.alerts, scores.right, scores.late) == (4, 2, 1)
    assert (scores.alerted, scores.rightly_alerted) == (8, 3), "without the late one"
    assert scores.by_class == {"replay": (2, 4), "timing": (1, 5)}
    assert scores.stretches == (3, 2)
    assert scores.newest == "no attack"
    assert scores.precision == 3 / 8
    assert scores.recall == 3 / 9


def test_without_an_aftermath_an_alert_is_right_or_wrong(judge: Judge) -> None:
    scores = judge(CLASSES, [(12, 13, 2)], 0)
    assert (scores.right, scores.late, scores.alerted) == (0, 0, 2)
    assert judge(CLASSES, [(12, 13, 2)], 3).newest == "after an attack"
    assert judge(CLASSES, [(9, 10, 2)], 3).newest == "timing"


@pytest.mark.parametrize("name", SOURCES)
def test_the_screen_says_it(name: str, judge: Judge) -> None:
    view = View(SOURCES[name])
    assert "no alerts yet" in line(view)
    view.scores = judge(CLASSES, [(7, 8, 2), (12, 13, 2)], SOURCES[name].aftermath)
    view.stream = {"phase": "attack", "under_attack": {"site-a": "replay"}, "sent": dict.fromkeys(SITES, 1)}
    text = line(view)
    assert "recall 22% of 9 attack records" in text
    assert ("1 of 3 attacks found" in text) == (name == "plant")
    console = Console(file=io.StringIO(), record=True, width=140)
    console.print(render(view, "heading", []))
    screen = console.export_text()
    assert "timing 0% of 5, replay 50% of 4" in screen
    assert "site-a: replay" in screen
