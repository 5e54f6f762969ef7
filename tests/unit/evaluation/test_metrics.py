"""Metrics against plain definitions and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from streamgauge.errors import StateError
from streamgauge.evaluation.metrics import auc, event_ids, event_quality, quality

scores_st = st.lists(st.integers(0, 5), min_size=1, max_size=20)


@given(scores_st, scores_st)
def test_auc_counts_pairs(normal: list[int], abnormal: list[int]) -> None:
    pairs = [(a > n) + 0.5 * (a == n) for a in abnormal for n in normal]
    assert auc(np.array(normal, float), np.array(abnormal, float)) == pytest.approx(sum(pairs) / len(pairs))


def test_auc_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    normal, abnormal = rng.normal(size=200), rng.normal(1, size=100)
    truth = np.repeat([0, 1], [200, 100])
    assert auc(normal, abnormal) == pytest.approx(roc_auc_score(truth, np.concatenate([normal, abnormal])))


def test_auc_needs_both() -> None:
    with pytest.raises(StateError, match="0 normal"):
        auc(np.empty(0), np.ones(1))


def test_quality_as_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    decided, truth = rng.random(300) < 0.3, rng.random(300) < 0.2
    found = quality(decided, truth)
    assert found.precision == pytest.approx(precision_score(truth, decided))
    assert found.recall == pytest.approx(recall_score(truth, decided))
    assert found.f1 == pytest.approx(f1_score(truth, decided))
    assert found.always_alarm_f1 == pytest.approx(f1_score(truth, np.ones(300, bool)))
    assert found.false_alarm_rate == pytest.approx(decided[~truth].mean())


def test_rates_of_nothing_are_zero() -> None:
    nothing = quality(np.zeros(0, bool), np.zeros(0, bool))
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.always_alarm_f1) == (0, 0, 0, 0)


def test_events() -> None:
    times, entities = np.array([0.0, 50.0, 200.0, 10.0]), ["a", "a", "a", "b"]
    assert event_ids(times, entities, 60.0).tolist() == [0, 0, 1, 2]
    assert event_ids(np.empty(0), [], 60.0).tolist() == []
    found = event_quality(
        np.array([False, True, False, True]), np.array([True, True, True, False]), times, entities, 60.0
    )
    assert (found.events, found.found, found.false_events, found.recall) == (2, 1, 1, 0.5)
