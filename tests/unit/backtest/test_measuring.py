"""What is counted while records pass is what the whole arrays would give."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.backtest.attacks import Events
from services.backtest.histogram import ScoreHistogram
from services.backtest.score_line import STRETCHES, ScoreLine
from streamgauge.evaluation.curves import precision_recall
from streamgauge.evaluation.metrics import auc, event_quality


class Row(NamedTuple):
    score: float
    truth: bool
    entity: str
    step_s: float


ROWS = st.lists(
    st.builds(
        Row,
        st.integers(0, 40).map(lambda k: 1.1**k - 1),
        st.booleans(),
        st.sampled_from("ab"),
        st.sampled_from([0.0, 1.0, 5.0, 30.0]),
    ),
    min_size=2,
    max_size=60,
).filter(lambda rows: 0 < sum(row.truth for row in rows) < len(rows))


@given(ROWS, st.integers(1, 60))
def test_curves_and_events_are_those_of_all_records_at_once(rows: list[Row], cut: int) -> None:
    scores, truth = np.array([row.score for row in rows]), np.array([row.truth for row in rows])
    counted = ScoreHistogram()
    for part in (slice(0, cut), slice(cut, None)):
        counted.add(scores[part], truth[part])
    assert np.isclose(counted.auc(), auc(scores[~truth], scores[truth]))
    exact, curve = precision_recall(scores, truth), counted.curve()
    np.testing.assert_allclose(curve.precision, exact.precision)
    np.testing.assert_allclose(curve.recall, exact.recall)
    assert np.isclose(curve.average_precision, exact.average_precision)

    times, called = np.cumsum([row.step_s for row in rows]), scores >= 1.0
    real, alarms = Events(10.0), Events(10.0)
    for row, time, alarm in zip(rows, times.tolist(), called.tolist(), strict=True):
        if row.truth:
            real.add(row.entity, time, alarm)
        if alarm:
            alarms.add(row.entity, time, row.truth)
    expected = event_quality(called, truth, times, [row.entity for row in rows], 10.0)
    assert (real.count, real.hit) == (expected.events, expected.found)
    assert alarms.count - alarms.hit == expected.false_events


@settings(max_examples=15)
@given(st.integers(1, 3 * STRETCHES), st.integers(50, 700))
def test_the_chart_has_the_highest_and_the_median_of_each_stretch(n: int, size: int) -> None:
    scores, times = np.random.default_rng(n).exponential(size=n), 1000.0 + np.arange(n, dtype=np.float64)
    line = ScoreLine(n)
    for low in range(0, n, size):
        part = slice(low, low + size)
        line.add(np.arange(n)[part], times[part], scores[part])
    line.finished()
    edges = line.edges.tolist()
    assert edges[0] == 0
    assert edges[-1] == n
    for k, (low, high) in enumerate(pairwise(edges)):
        assert line.highest[k] == scores[low:high].max()
        assert line.middle[k] == np.median(scores[low:high])
        assert line.times[k] == times[low]
