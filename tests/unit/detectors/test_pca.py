"""Principal components from merged comoments are those of all rows together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from streamgauge.detectors import DETECTORS, Detector
from streamgauge.detectors.pca import COLUMNS, principal_axes
from streamgauge.federation.merging import Contribution, MergePolicy, agree, make_candidate, merge_statistics
from streamgauge.judging import score_rows, take_statistics
from streamgauge.state import ModelState, statistics_tensors
from streamgauge.training import TrainingPlan, train
from tests.support.examples import examples

WIDTH = 6
Rows = NDArray[np.float32]


def rows(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(2, WIDTH))
    return (rng.normal(size=(n, 2)) @ mixing + 0.1 * rng.normal(size=(n, WIDTH))).astype(np.float32)


def scores(detector: Detector, seen: Rows, x: Rows) -> NDArray[np.float64]:
    statistics = statistics_tensors(detector.layout, take_statistics(detector, {}, seen))
    return score_rows(detector, {}, statistics, x)


@pytest.mark.parametrize("robust", [False, True])
def test_a_whole_federation_finds_the_components_of_all_rows(robust: bool) -> None:
    """Agreement, a round with nothing to train, and statistics from three votes."""
    detector, policy = DETECTORS["pca"](WIDTH), MergePolicy(robust=robust)
    parts = [rows(n, seed) for seed, n in enumerate((200, 300, 400))]
    nothing = train(detector, {}, (parts[0], np.zeros(200, np.float32)), TrainingPlan())
    assert (nothing.delta, nothing.epochs) == ({}, 0)
    scaler = {f"scaler.{part}": np.full(WIDTH, 50.0) for part in ("n", "sum", "sumsq")}
    base = agree(detector.layout, [Contribution("a", "a", 50, scaler)], 0, policy)
    updates = [Contribution(name, name, len(x), {}) for name, x in zip("abc", parts, strict=True)]
    candidate, _ = make_candidate(detector.layout, base, updates, 1.0, policy)
    assert candidate.keys() == scaler.keys()
    votes = [
        Contribution(name, name, len(x), take_statistics(detector, {}, x))
        for name, x in zip("abc", parts, strict=True)
    ]
    merged = merge_statistics(detector.layout, votes, policy)
    released = ModelState.from_arrays(detector.layout, candidate, merged)
    x = 3 * rows(100, 9) + np.eye(WIDTH, dtype=np.float32)[np.arange(100) % WIDTH]
    found = score_rows(detector, *released.tensors(detector.layout), x)
    central = PCA().fit(np.concatenate(parts).astype(np.float64))
    squares = np.square(central.transform(x.astype(np.float64))) / (central.explained_variance_ + 0.1)
    expected = np.log1p(squares).mean(axis=1)
    if not robust:
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    # Minor axes of equal variance turn freely with the nodes' weights: single scores differ, the whole does not.
    np.testing.assert_allclose(found.mean(), expected.mean(), rtol=0.1)
    assert np.corrcoef(found, expected)[0, 1] > 0.7


@examples(15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_axes_are_orthonormal_with_a_sign_that_is_no_accident(seed: int, d: int) -> None:
    spread = np.random.default_rng(seed).normal(size=(d + 2, d))
    covariance = torch.tensor(spread.T @ spread)
    vectors, variances = principal_axes(covariance)
    torch.testing.assert_close(vectors.t() @ vectors, torch.eye(d, dtype=torch.float64))
    torch.testing.assert_close(vectors @ torch.diag(variances) @ vectors.t(), covariance)
    assert bool((variances[:-1] >= variances[1:]).all())
    assert bool((vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)) > 0).all())
    assert bool(torch.equal(vectors, principal_axes(covariance.clone()).vectors))


def test_before_the_first_vote_the_score_is_the_distance_from_the_mean() -> None:
    x = rows(10, 1)
    np.testing.assert_allclose(
        score_rows(DETECTORS["pca"](WIDTH), {}, {}, x), np.square(x).mean(axis=1), rtol=1e-5
    )


def test_constant_columns_and_constant_rows_are_no_division_by_zero() -> None:
    detector, x = DETECTORS["pca"](WIDTH), rows(200, 1)
    x[:, 3] = 0.0
    odd = x[:1].copy()
    odd[0, 3] = 4.0  # a value never seen: an unseen category's column, say
    assert scores(detector, x, odd)[0] > scores(detector, x, x).max()
    same = np.ones((50, WIDTH), np.float32)
    np.testing.assert_allclose(scores(detector, same, same), 0.0, atol=1e-9)
    np.testing.assert_allclose(scores(detector, same, same + 1), np.log1p(1 / 0.1), rtol=1e-5)


def test_one_column_is_a_distance_from_its_mean() -> None:
    detector = DETECTORS["pca"](1)
    x = np.random.default_rng(0).normal(2.0, 1.0, (500, 1)).astype(np.float32)
    expected = np.log1p(np.square(x[:, 0] - x.mean()) / (x.var() + 0.1))
    np.testing.assert_allclose(scores(detector, x, x), expected, rtol=1e-2, atol=1e-4)


def test_a_broken_correlation_is_abnormal_where_no_value_is() -> None:
    detector, seen = DETECTORS["pca"](WIDTH, {"ridge": 1e-3}), rows(500, 1)
    broken = rows(200, 5)
    broken[:, 2] = rows(200, 6)[:, 2]  # another record's value, of the same distribution
    assert np.median(scores(detector, seen, broken)) > np.quantile(scores(detector, seen, rows(500, 8)), 0.99)


@pytest.mark.parametrize("n", [0, 1, WIDTH, 19])
def test_few_records_send_no_comoments(n: int) -> None:
    assert take_statistics(DETECTORS["pca"](WIDTH), {}, rows(n, 1)) == {}
    wide = DETECTORS["pca"](100)
    assert next(i for i in wide.layout.items if i.name == COLUMNS).min_count == 101


def test_another_release_gets_its_own_components() -> None:
    detector, x = DETECTORS["pca"](WIDTH), rows(50, 3)
    first = scores(detector, rows(200, 1), x)
    other = scores(detector, rows(200, 1)[:, ::-1].copy(), x)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(scores(detector, rows(200, 1), x), first)
