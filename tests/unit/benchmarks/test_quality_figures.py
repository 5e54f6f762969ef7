"""Figures, and the parts of the strict table that are not measurements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.figures import at_rate, decisions, events
from benchmarks.quality.strict.committee import Committee, surprise
from benchmarks.quality.strict.mixture import LEAST_WEIGHT, Mixture, Sums, expected, fit, maximised
from benchmarks.quality.strict.nsl import Node
from benchmarks.quality.strict.series import Features, Stretch, after, drift
from streamgauge.errors import ConfigurationError
from streamgauge.simulation import Space
from tests.support.examples import examples

SEEDS = st.integers(0, 2**16)


def test_figures_at_a_rate_never_see_the_tests_labels() -> None:
    held, scores = np.arange(100.0), np.array([94.0, 96.0, 99.5, 10.0, 97.0, 200.0])
    truth = np.array([False, False, True, True, False, True])

    found = at_rate(held, scores, truth, 0.05)

    assert found["recall"] == pytest.approx(2 / 3)
    assert found["false_alarms"] == pytest.approx(2 / 3)
    assert found["recall_1"] == pytest.approx(2 / 3)
    assert found["false_alarms_1"] == 0.0
    assert found["always_alarm_f1"] == pytest.approx(2 / 3)
    assert found["best_f1"] == pytest.approx(0.8)
    assert at_rate(held, scores, ~truth, 0.05)["recall"] == pytest.approx(2 / 3)


def test_best_f1_calls_ties_together() -> None:
    scores, truth = np.array([1.0, 1.0, 0.0]), np.array([True, False, False])
    assert at_rate(scores, scores, truth, 0.05)["best_f1"] == pytest.approx(2 / 3)


def test_events_and_point_adjustment() -> None:
    truth = np.zeros(100, bool)
    truth[20:40] = truth[70:80] = True
    decided = np.zeros(100, bool)
    decided[[25, 50]] = True
    found = events(decided, truth, np.arange(100.0), ["a"] * 100, (1.0, 5.0))
    assert found["event_recall"] == 0.5
    assert found["false_events_day"] == pytest.approx(864.0)
    assert found["adjusted_f1"] == pytest.approx(decisions(decided | (np.arange(100) // 20 == 1), truth)["f1"])


@given(SEEDS)
@examples(15)
def test_surprise_keeps_the_order_and_votes_need_more_than_one_member(seed: int) -> None:
    generator = np.random.default_rng(seed)
    held, scores = generator.gamma(2.0, size=500), np.sort(generator.gamma(3.0, size=200))
    found = surprise(held, scores)
    assert (np.diff(found) >= -1e-12).all()
    assert np.isfinite(found).all()
    wild, calm = np.full(200, 1e6), np.zeros(200)
    said = [surprise(held, of) for of in (wild, calm, scores)]
    votes = Committee(("a", "b", "c"), "median")
    np.testing.assert_allclose(votes.joined(said), found)
    assert votes.joined([said[0], said[1], said[1]]).max() < 0.01
    np.testing.assert_allclose(Committee(("a", "b"), "mean").joined(said[1:]), (said[1] + found) / 2)
    np.testing.assert_array_equal(Committee(("a", "b"), "least").joined(said[1:]), said[1])
    np.testing.assert_array_equal(Committee(("a", "b"), "most").joined(said[:2]), said[0])


@given(SEEDS)
@examples(10)
def test_a_round_of_the_mixture_is_that_of_the_union(seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts = [generator.normal(i, 1.0, (20 + i, 3)) for i in range(3)]
    before = fit(parts, 4, 0, seed)
    one, two = expected(before, np.concatenate(parts)), sum_of([expected(before, part) for part in parts])
    for a, b in zip(vars(maximised(one, before)).values(), vars(maximised(two, before)).values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def sum_of(sums: list[Sums]) -> Sums:
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    return total


def test_the_mixture_climbs_and_finds_clusters_that_nodes_do_not_share() -> None:
    generator = np.random.default_rng(0)
    parts = [generator.normal(centre, 0.5, (200, 2)) for centre in ((0, 0), (6, 0), (0, 6))]
    union = np.concatenate(parts)
    losses = [float(fit(parts, 3, rounds, 0).score(union).mean()) for rounds in (0, 1, 5, 20)]
    assert (np.diff(losses) <= 1e-9).all()
    found = fit(parts, 3, 20, 0).means
    assert {tuple(np.round(mean / 6).astype(int)) for mean in found} == {(0, 0), (1, 0), (0, 1)}
    with pytest.raises(ConfigurationError, match="use fewer"):
        fit([union[:2]], 3, 1, 0)


def test_an_empty_component_stays() -> None:
    far = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [1e4]]), np.ones((2, 1, 1)))
    sums = expected(far, np.zeros((5, 1)))
    assert sums.weight[1] < LEAST_WEIGHT
    assert maximised(sums, far).means[1, 0] == 1e4


def test_a_small_committee_tells_far_from_near() -> None:
    generator = np.random.default_rng(0)
    line = generator.normal(size=(1, 6)).astype(np.float32)
    rows = [(generator.normal(size=(250, 1)) * line + 0.1 * generator.normal(size=(250, 6))) for _ in range(2)]
    nodes = [Node(part[:200].astype(np.float32), part[200:].astype(np.float32)) for part in rows]
    two_of_three = Committee(("whitened-0.03", "residual-40", "mixture-30-32"), "median")
    score = two_of_three(nodes, Space.plain(6), 0)
    near, far = nodes[0].held, generator.uniform(-4, 4, (50, 6)).astype(np.float32)
    assert np.median(score(far)) > np.quantile(score(near), 0.95)


def test_windows_are_causal_and_drift_is_measured() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(900, 3))
    x[:, 1] += np.linspace(0.0, 20.0, 900)
    features = Features((("raw", 1), ("mean", 20), ("std", 5)), settle=50)
    changed = x.copy()
    changed[700:] += 5.0
    np.testing.assert_array_equal(features.of(x, 400)[:700], features.of(changed, 400)[:700])
    stretch = Stretch(x, np.zeros(900, bool), np.arange(900.0), "a")
    moved = drift([stretch], 50)
    assert moved[1] > 3.0 > 1.0 > moved[0]
    scores = after([stretch.sensors(np.array([True, False, True]))], 400, features, "zscore", 0)[0]
    assert scores.shape == (500,)
    assert np.median(scores) < 1.0
