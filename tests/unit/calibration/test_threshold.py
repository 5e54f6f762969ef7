"""Thresholds: against brute force, on known tails, and at the edges."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.calibration.threshold import DAY_S, Threshold, by_event_rate, by_fbeta
from streamgauge.errors import ConfigurationError, StateError
from streamgauge.evaluation.metrics import event_ids, quality
from streamgauge.stream.grouping import AlertGrouper, GroupingPolicy, ScoredBatch
from tests.support.examples import examples

rows_st = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from("ab"), st.integers(0, 12)), min_size=1, max_size=40
)


def events(rows: list[tuple[int, str, int]], level: float, gap_s: float) -> int:
    chosen = [r for r in rows if r[2] >= level]
    return len(set(event_ids(np.array([r[0] for r in chosen], float), [r[1] for r in chosen], gap_s).tolist()))


@examples(25)
@given(rows_st, st.integers(1, 8))
def test_lowest_level_within_the_allowed_events(rows: list[tuple[int, str, int]], allowed: int) -> None:
    scores = np.array([r[2] for r in rows], float)
    found = by_event_rate(
        scores, np.array([r[0] for r in rows], float), [r[1] for r in rows], DAY_S, allowed, 5.0, max_share=1.0
    )
    levels = sorted({r[2] for r in rows}, reverse=True)
    good = []
    for level in levels:
        if events(rows, level, 5.0) > allowed:
            break
        good.append(level)
    assert found.value > 0
    assert found.extrapolated
    if good:
        assert found.value == max(good[-1], 1e-9)
    else:
        assert found.value > levels[0]
    assert found.events == events(rows, found.value, 5.0) <= allowed


@examples(15)
@given(rows_st)
def test_counts_events_as_the_grouper_does(rows: list[tuple[int, str, int]]) -> None:
    rows = [r for r in sorted(rows) if r[1] == "a"]
    grouper, n = AlertGrouper(GroupingPolicy(gap_s=5.0)), len(rows)
    scores = np.array([r[2] / 6 for r in rows], float)
    times, order = np.array([r[0] for r in rows], float), np.arange(n)
    changes = grouper.step(ScoredBatch(times, ["a"] * n, scores, scores, order, order * 0), lambda i: {})
    assert sum(c.state == "opened" for c in changes) == events(rows, 6, 5.0)


def exponential(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores with tail exp(-s), one record every 100 s: with a gap of 60 s every record is its own event."""
    return np.random.default_rng(seed).exponential(size=n), np.arange(n, dtype=np.float64) * 100.0


@pytest.mark.parametrize("seed", range(3))
def test_known_tail(seed: int) -> None:
    scores, times = exponential(20_000, seed)
    days = 20_000 * 100 / DAY_S  # about 23
    found = by_event_rate(scores, times, ["a"] * 20_000, days * DAY_S, 4.0, 60.0)
    assert not found.extrapolated
    assert found.method == "event_rate"
    # 4 a day of 864 records: -ln(4 / 864) = 5.38; 93 events leave about a tenth of spread.
    assert found.value == pytest.approx(5.38, abs=0.4)


@pytest.mark.parametrize("seed", range(3))
def test_tail_fit_reaches_beyond_the_data(seed: int) -> None:
    scores, times = exponential(20_000, seed)
    found = by_event_rate(scores, times, ["a"] * 20_000, 2e6, 0.1 * DAY_S / 2e6, 60.0)
    assert (found.method, found.extrapolated, found.events) == ("tail", True, 0)
    assert found.allowed_events == pytest.approx(0.1)
    assert found.value == pytest.approx(np.log(200_000), rel=0.25)
    assert found.value > scores.max()


def test_never_more_than_the_share() -> None:
    scores = np.linspace(0, 1, 1000)
    found = by_event_rate(scores, np.arange(1000.0), ["a"] * 1000, DAY_S, 100, 60.0)
    assert (scores >= found.value).sum() == 50


def test_all_zero_scores_give_a_positive_line() -> None:
    for rate in (0.5, 5.0):
        found = by_event_rate(np.zeros(100), np.arange(100.0), ["a"] * 100, DAY_S, rate, 60.0)
        assert found.value > 0
        assert found.events == 0


def test_wrong_arguments() -> None:
    with pytest.raises(StateError, match="finite scores"):
        by_event_rate(np.empty(0), np.empty(0), [], DAY_S, 1, 60)
    with pytest.raises(StateError, match="finite scores"):
        by_event_rate(np.array([np.nan]), np.zeros(1), ["a"], DAY_S, 1, 60)
    with pytest.raises(ConfigurationError, match="events_per_day=0"):
        by_event_rate(np.ones(1), np.zeros(1), ["a"], DAY_S, 0, 60)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.0, 1.0])), min_size=2, max_size=30).filter(
        lambda rows: {y for _, y in rows} == {0.0, 1.0}
    ),
    st.sampled_from([0.5, 1.0, 2.0]),
)
def test_fbeta_is_the_best_of_all(rows: list[tuple[int, float]], beta: float) -> None:
    scores, truth = np.array([s for s, _ in rows], float), np.array([y for _, y in rows])
    found = by_fbeta(scores, truth, beta)
    got = quality(scores >= found.value, truth == 1)
    best = max(quality(scores >= level, truth == 1).fbeta(beta) for level in set(scores.tolist()))
    assert got.fbeta(beta) == pytest.approx(best)
    assert found.events == got.false_positives


def test_fbeta_needs_both_classes_and_ignores_the_unlabelled() -> None:
    with pytest.raises(StateError, match="both classes"):
        by_fbeta(np.ones(3), np.array([0.0, 0.0, np.nan]))
    found = by_fbeta(np.array([1.0, 2.0, 99.0]), np.array([0.0, 1.0, np.nan]))
    assert found.value == 2.0


def test_recalibration_on_what_the_last_line_left_does_not_sink() -> None:
    """Held-out scores end at the line in force; the alarms that this cost are taken from the allowed ones."""
    generator = np.random.default_rng(0)
    n, exposure_s, rate = 4000, 86_400.0, 40.0
    names = ["pump"] * n
    line = np.inf
    lines = []
    for _ in range(12):
        scores = generator.exponential(size=n)
        times = np.sort(generator.uniform(0, exposure_s, n))
        kept = scores < line
        found = by_event_rate(
            scores[kept],
            times[kept],
            names[: int(kept.sum())],
            exposure_s,
            rate,
            1.0,
            dropped_events=int((~kept).sum()),
        )
        line = found.value
        lines.append(line)
    expected = np.log(n / rate)
    assert np.mean(lines[-6:]) > expected - 0.7
    assert np.mean(lines[-6:]) < expected + 2.5


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(0, 9), st.integers(0, 11))
def test_p_value_counts_the_held_out_scores_from_there_on(scores: list[int], line: int, raw: int) -> None:
    threshold = Threshold(float(line), "event_rate", 1.0, 0, False).beside(np.array(scores, float))
    p = threshold.p_value(raw)
    if raw < line:
        assert p is None
    else:
        assert p == (1 + sum(score >= raw for score in scores)) / (1 + len(scores))


def test_p_value_is_kept_on_paper_and_unknown_without_held_out_scores() -> None:
    bare = Threshold(1.0, "fbeta", None, 0, False)
    assert bare.p_value(2.0) is None
    known = bare.beside(np.array([0.5, 1.5, 2.5]))
    assert Threshold.of(json.loads(json.dumps(asdict(known)))) == known
    assert known.p_value(2.0) == 0.5
