from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.stream import evidence as module
from streamgauge.stream.evidence import Evidence, EvidenceRow
from streamgauge.stream.grouping import AlertGrouper, GroupingPolicy, ScoredBatch

WIDTH = 3
POLICY = GroupingPolicy(gap_s=10.0, max_records=8, max_duration_s=100.0)


def row(offset: int, value: float = 1.0) -> EvidenceRow:
    return EvidenceRow(offset, 0, float(offset), "pump", np.full(WIDTH, value, np.float32))


def run(scores: list[float], cuts: list[int], grouper: AlertGrouper | None = None) -> AlertGrouper:
    """One entity, a record a second; x tells the records apart."""
    grouper = grouper or AlertGrouper(POLICY)
    bounds = sorted({0, len(scores), *(cut for cut in cuts if cut < len(scores))})
    for start, end in itertools.pairwise(bounds):
        index = np.arange(start, end)
        part = np.array(scores[start:end])
        x = np.repeat(index[:, None], WIDTH, 1).astype(np.float32)
        batch = ScoredBatch(index.astype(float), ["pump"] * len(index), part, part, index, index * 0, x)
        grouper.step(batch, lambda i: {})
    return grouper


def kept(grouper: AlertGrouper) -> dict[tuple[int, int], list[tuple[int, float]]]:
    rows = {}
    for item in grouper.evidence.to_state():
        first = (item["first"][0], item["first"][1])
        copy = Evidence.from_state(grouper.evidence.to_state())
        given = copy.take(first, "me", "p:0")
        rows[first] = [(int(o), float(x[0])) for o, x in zip(given["offset"], given["x"], strict=True)]
    return rows


def test_of_an_alert_the_doublings_and_the_worst_are_kept() -> None:
    scores = [0.0, 2.0, 2.0, 2.0, 9.0, 2.0, 2.0, 0.0]
    # Records 1 .. 6 are one alert: its records 1, 2 and 4 (the worst as well) are at offsets 1, 2 and 4.
    assert kept(run(scores, [])) == {(1, 0): [(1, 1.0), (2, 2.0), (4, 4.0)]}
    scores[5] = 10.0
    assert kept(run(scores, [])) == {(1, 0): [(1, 1.0), (2, 2.0), (4, 4.0), (5, 5.0)]}


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), min_size=1, max_size=60), st.lists(st.integers(1, 59)))
def test_batches_and_restarts_do_not_matter(scores: list[float], cuts: list[int]) -> None:
    whole = run(scores, [])
    assert kept(run(scores, cuts)) == kept(whole)
    half = len(scores) // 2
    grouper = run(scores[:half], cuts)
    grouper = AlertGrouper.from_state(json.loads(json.dumps(grouper.to_state())), POLICY)
    if scores[half:]:
        index = np.arange(half, len(scores))
        part, x = np.array(scores[half:]), np.repeat(index[:, None], WIDTH, 1).astype(np.float32)
        grouper.step(
            ScoredBatch(index.astype(np.float64), ["pump"] * len(index), part, part, index, index * 0, x),
            lambda i: {},
        )
    assert kept(grouper) == kept(whole)


def test_nothing_is_kept_without_encoded_records() -> None:
    grouper = AlertGrouper(POLICY)
    ones, index = np.ones(20), np.arange(20)
    grouper.step(ScoredBatch(index.astype(np.float64), ["pump"] * 20, ones, ones, index, index * 0), lambda i: {})
    assert len(grouper.evidence) == 0


def test_taken_rows_are_gone_and_remembered_as_taken() -> None:
    evidence = Evidence()
    evidence.open(row(5))
    evidence.worst((5, 0), row(6, 2.0))
    evidence.worst((5, 0), row(7, 3.0))
    assert evidence.taker((5, 0)) == ""
    given = evidence.take((5, 0), "site/one", "p:0")
    assert given["offset"].tolist() == [5, 7]
    assert given["entity"].tolist() == ["pump", "pump"]
    assert set(given["partition"]) == {"p:0"}
    assert evidence.taker((5, 0)) == "site/one"
    evidence.add((5, 0), row(8))
    copy = Evidence.from_state(json.loads(json.dumps(evidence.to_state())))
    assert copy.taker((5, 0)) == "site/one"
    assert len(copy.take((5, 0), "x", "p:0")["offset"]) == 0
    assert copy.taker((4, 0)) is None


def test_the_oldest_alerts_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10 * WIDTH * 4)
    evidence = Evidence()
    for n in range(20):
        evidence.open(row(n))
    assert [evidence.taker((n, 0)) is None for n in range(20)] == [True] * 10 + [False] * 10
    evidence = Evidence.from_state(evidence.to_state())
    for n in range(5):
        evidence.add((19, 0), row(100 + n))
    evidence.add((3, 0), row(200))  # gone: not begun again
    assert [evidence.taker((n, 0)) is None for n in range(20)] == [True] * 15 + [False] * 5
    monkeypatch.setattr(module, "MAX_ALERTS", 3)
    evidence.open(row(30))
    assert len(evidence) == 3
