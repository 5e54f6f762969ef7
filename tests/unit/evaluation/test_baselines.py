"""One contract for all baselines."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError, StateError
from streamgauge.evaluation.baselines import BASELINES, Baseline
from streamgauge.evaluation.metrics import auc

N, D = 200, 9
QUICK = {"epochs": 15, "batch_size": 50, "learning_rate": 0.01, "trees": 20}


def make(name: str, seed: int = 0) -> Baseline:
    kind = BASELINES[name]
    known = kind.Config.__dataclass_fields__
    steps = {"learning_rate": 0.3} if "leaves" in known else {}
    return kind(seed, {key: value for key, value in {**QUICK, **steps}.items() if key in known})


def rows(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Normal rows on a line of two modes, abnormal ones (a fifth) spread wide off it."""
    generator = np.random.default_rng(seed)
    line = generator.normal(size=D)
    x = generator.normal(size=(N, 1)) * line + 0.2 * generator.normal(size=(N, D))
    y = (np.arange(N) % 5 == 4).astype(np.float32)
    x[y == 1] = generator.uniform(-3.0, 3.0, ((y == 1).sum(), D)) + 1.5
    return x.astype(np.float32), y


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_baseline_tells_abnormal_from_normal_and_keeps_its_word(name: str) -> None:
    (x, y), (seen, truth) = rows(0), rows(0)
    held, held_truth = x[::-1], y[::-1]
    first, second = make(name), make(name)

    first.fit(x, y)
    second.fit(x, y)
    scores = first.score(held)

    np.testing.assert_array_equal(x, seen)
    np.testing.assert_array_equal(y, truth)
    assert scores.shape == (N,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, second.score(held))
    np.testing.assert_allclose(scores[:7], first.score(held[:7].copy()), rtol=1e-4, atol=1e-5)
    assert auc(scores[held_truth == 0], scores[held_truth == 1]) > 0.85
    assert first.score(x[:0]).shape == (0,)


@pytest.mark.parametrize("name", list(BASELINES))
def test_hard_data_have_a_defined_result(name: str) -> None:
    x, y = rows()
    x[:, 0] = 1.0  # constant
    baseline = make(name)
    baseline.fit(x[:10], y[:10])
    assert np.isfinite(baseline.score(x + 100.0)).all()
    if not baseline.supervised:
        baseline.fit(np.ones((2, 3), np.float32))
        assert np.isfinite(baseline.score(np.ones((1, 3), np.float32))).all()


@pytest.mark.parametrize("name", list(BASELINES))
def test_what_cannot_be_learned_from_is_refused(name: str) -> None:
    x, y = rows()
    baseline = make(name)
    with pytest.raises(StateError, match="fit it first"):
        baseline.score(x)
    with pytest.raises(ConfigurationError, match="finite"):
        baseline.fit(np.full((5, 3), np.nan, np.float32))
    wrong = y * 0 if baseline.supervised else y * 0 + 1
    with pytest.raises(ConfigurationError, match="rows"):
        baseline.fit(x, wrong)
    baseline.fit(x[:20], y[:20])
    with pytest.raises(StateError, match="columns"):
        baseline.score(x[:, 1:])
    with pytest.raises(ConfigurationError, match="no setting"):
        BASELINES[name](0, {"no_such": 1})


def test_unlabelled_rows_count_as_normal() -> None:
    x, y = rows()
    one, other = make("zscore"), make("zscore")
    one.fit(x[y == 0])
    other.fit(x, np.where(y == 0, np.nan, y).astype(np.float32))
    np.testing.assert_array_equal(one.score(x), other.score(x))
