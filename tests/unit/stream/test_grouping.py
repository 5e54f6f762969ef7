"""Alert grouping against a plain reference, whatever the batches."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.stream.alerts import AlertChange
from streamgauge.stream.grouping import OTHER_ENTITIES, AlertGrouper, GroupingPolicy, ScoredBatch
from tests.support.examples import examples

Record = tuple[float, str, float]
POLICY = GroupingPolicy(gap_s=3, max_records=7, max_duration_s=12, scores_kept=4, max_entities=2)


def batch_of(records: Sequence[Record], start: int = 0) -> ScoredBatch:
    n = len(records)
    scores = np.array([r[2] for r in records], np.float64)
    return ScoredBatch(
        np.array([r[0] for r in records], np.float64),
        [r[1] for r in records],
        scores,
        scores * 2,
        np.arange(start, start + n),
        np.zeros(n, np.int64),
    )


def feed(grouper: AlertGrouper, records: Sequence[Record], start: int = 0) -> list[AlertChange]:
    return grouper.step(batch_of(records, start), lambda i: {"at": start + i})


@dataclass
class Plain:
    """One alert of the reference."""

    entity: str
    hits: list[tuple[int, float, float]]
    continues: int | None
    reason: str | None = None

    @property
    def end(self) -> float:
        return max(t for _, t, _ in self.hits)


def reference(records: Sequence[Record], policy: GroupingPolicy) -> list[Plain]:
    """The rules, record by record, as slow as they are plain."""
    done: list[Plain] = []
    running: dict[str, Plain] = {}
    top = -np.inf
    for i, (time, entity, score) in enumerate(records):
        top = max(top, time)
        for name in [n for n, a in running.items() if a.end + policy.gap_s < top]:
            running[name].reason = "gap"
            done.append(running.pop(name))
        if score < 1:
            continue
        name = entity
        if name not in running and len(running.keys() - {OTHER_ENTITIES}) >= policy.max_entities:
            name = OTHER_ENTITIES
        alert, continues = running.get(name), None
        if alert is not None:
            full = len(alert.hits) >= policy.max_records
            if full or time - alert.hits[0][1] > policy.max_duration_s:
                alert.reason, continues = "max_records" if full else "max_duration", alert.hits[0][0]
                done.append(running.pop(name))
        running.setdefault(name, Plain(name, [], continues)).hits.append((i, time, score))
    for alert in running.values():
        alert.reason = "gap" if alert.end + policy.gap_s < top else None
    return done + list(running.values())


records_st = st.lists(
    st.tuples(
        st.floats(0, 3).map(lambda x: round(x, 1)),  # step in event time
        st.sampled_from("abcd"),
        st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]),
        st.sampled_from([0, 0, 0, 0, 2, 9]),  # how late it is
    ),
    max_size=60,
).map(
    lambda raw: [
        (float(t) - late, entity, score)
        for t, (_, entity, score, late) in zip(np.cumsum([r[0] for r in raw]), raw, strict=True)
    ]
)


def run_split(records: Sequence[Record], cuts: Sequence[int]) -> tuple[AlertGrouper, list[AlertChange]]:
    """Feed in batches; the state makes a trip through JSON between them."""
    grouper, changes = AlertGrouper(POLICY), []
    edges = [0, *sorted(c % (len(records) + 1) for c in cuts), len(records)]
    for start, stop in itertools.pairwise(edges):
        changes += feed(grouper, records[start:stop], start)
        grouper = AlertGrouper.from_state(json.loads(json.dumps(grouper.to_state())), POLICY)
    return grouper, changes


def key(change: AlertChange) -> tuple[int, int]:
    return (change.first.offset, change.version)


def check_final(final: AlertChange, alert: Plain) -> None:
    worst = max(alert.hits, key=lambda h: h[2])
    assert final.entity == alert.entity
    assert final.count == len(alert.hits)
    assert final.last.time == alert.end
    assert final.worst.offset == worst[0]
    assert final.worst_payload == {"at": worst[0]}
    assert final.first_payload == {"at": alert.hits[0][0]}
    assert final.scores == tuple(s for _, _, s in alert.hits)[-POLICY.scores_kept :]
    assert final.close_reason == alert.reason
    assert final.continues == (None if alert.continues is None else (alert.continues, 0))


@examples(25)
@given(records_st, st.lists(st.integers(0, 60), max_size=6))
def test_any_split_gives_the_alerts_of_the_plain_rules(records: list[Record], cuts: list[int]) -> None:
    grouper, changes = run_split(records, cuts)
    expected = {a.hits[0][0]: a for a in reference(records, POLICY)}
    opened = {c.first.offset for c in changes if c.state == "opened"}
    closed = {c.first.offset: c for c in changes if c.state == "closed"}
    assert opened == expected.keys()
    for offset, alert in expected.items():
        if offset in closed:
            check_final(closed[offset], alert)
        else:
            assert alert.reason is None
    assert grouper.open_count == len(expected) - len(closed)


@given(records_st, st.lists(st.integers(0, 60), max_size=6))
def test_content_of_a_version_does_not_depend_on_batches(records: list[Record], cuts: list[int]) -> None:
    one_by_one = {key(c): c for c in run_split(records, range(len(records)))[1]}
    _, changes = run_split(records, cuts)
    assert len({key(c) for c in changes}) == len(changes)  # no version twice
    for change in changes:
        assert change == one_by_one[key(change)]
    for first in {c.first.offset for c in changes}:
        versions = [c.version for c in changes if c.first.offset == first]
        assert versions == sorted(versions)


def test_doubling_versions() -> None:
    grouper = AlertGrouper(GroupingPolicy())
    changes = [c for i in range(5) for c in feed(grouper, [(float(i), "a", 2.0)], i)]
    changes += feed(grouper, [(500.0, "a", 0.0)], 5)
    assert [(c.state, c.version, c.count) for c in changes] == [
        ("opened", 1, 1),
        ("grown", 2, 2),
        ("grown", 3, 4),
        ("closed", 4, 5),
    ]


def test_last_doubling_of_a_batch_only() -> None:
    changes = feed(AlertGrouper(GroupingPolicy(scores_kept=3)), [(float(i), "a", 1.0 + i) for i in range(11)])
    assert [(c.state, c.count) for c in changes] == [("opened", 1), ("grown", 8)]
    assert changes[1].scores == (6.0, 7.0, 8.0)
    assert changes[1].last.offset == changes[1].worst.offset == 7


def test_limits_cut_and_continue() -> None:
    changes = feed(AlertGrouper(POLICY), [(i * 0.1, "a", 1.0) for i in range(9)])
    closed = next(c for c in changes if c.state == "closed")
    assert (closed.close_reason, closed.count, closed.version) == ("max_records", 7, 4)
    assert [c.continues for c in changes if c.state == "opened"] == [None, (0, 0)]


def test_late_record_opens_and_closes() -> None:
    changes = feed(AlertGrouper(POLICY), [(100.0, "a", 0.0), (10.0, "b", 2.0)])
    assert [c.state for c in changes] == ["opened", "closed"]


def test_beyond_max_entities_share_one_alert() -> None:
    grouper = AlertGrouper(POLICY)
    changes = feed(grouper, [(1.0, name, 2.0) for name in "abcd"])
    assert [c.entity for c in changes if c.state == "opened"] == ["a", "b", OTHER_ENTITIES]
    assert grouper.overflowed == 2


def test_payload_is_asked_only_where_needed() -> None:
    asked: list[int] = []

    def payload(i: int) -> dict[str, Any]:
        asked.append(i)
        return {}

    AlertGrouper(GroupingPolicy()).step(batch_of([(0.0, "a", 1.0 + i) for i in range(100)]), payload)
    assert asked == [0, 63, 99]  # first; worst at the last doubling; worst at the end


def test_empty_batch() -> None:
    assert feed(AlertGrouper(POLICY), []) == []
