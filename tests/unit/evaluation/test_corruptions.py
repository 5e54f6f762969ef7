"""Corruptions: seeded, valid, different from the input, and what they say they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.evaluation.corruptions import Kind, corrupt
from streamgauge.features import CategoricalFeature, FeatureSchema, NumericFeature
from streamgauge.scaler import CLIP
from tests.support.examples import examples

SCHEMA = FeatureSchema(
    tuple(NumericFeature(f"n{i}", 0, 1) for i in range(5)),
    (CategoricalFeature("c", ("x", "y")), CategoricalFeature("d", ("u",))),
)
GROUPS = SCHEMA.groups()
KINDS: tuple[Kind, ...] = ("spike", "stuck", "drift", "marginal")


def rows(n: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, 3, n), rng.integers(0, 2, n)], axis=1)
    x = SCHEMA.encode(np.zeros((n, 5)), codes)
    x[:, :5] = rng.normal(size=(n, 5))
    return x


@examples(15)
@given(st.integers(0, 30), st.integers(0, 1000), st.sampled_from([*[(k,) for k in KINDS], KINDS]))
def test_seeded_bounded_valid(n: int, seed: int, kinds: tuple[Kind, ...]) -> None:
    x = rows(n)
    before = x.copy()
    out = corrupt(x, np.random.default_rng(seed), GROUPS, kinds)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(out, corrupt(x, np.random.default_rng(seed), GROUPS, kinds))
    assert out.shape == x.shape
    assert out.dtype == np.float32
    assert np.abs(out).max(initial=0) <= CLIP
    for group in (5, 6):  # one-hot stays one-hot
        part = out[:, group == GROUPS]
        assert ((part == 0) | (part == 1)).all()
        assert (part.sum(axis=1) == 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nearly_every_row_changes(kind: Kind) -> None:
    x = rows(400)
    changed = (corrupt(x, np.random.default_rng(1), GROUPS, (kind,)) != x).any(axis=1).mean()
    # Resampling a feature of two categories alone often gives the same value again.
    assert changed > (0.8 if kind == "marginal" else 0.98)


def test_marginal_keeps_each_columns_values() -> None:
    x = rows(100)
    out = corrupt(x, np.random.default_rng(2), GROUPS, ("marginal",))
    for j in range(x.shape[1]):
        assert set(out[:, j].tolist()) <= set(x[:, j].tolist())


def test_stuck_takes_one_rows_values() -> None:
    x = rows(50)
    out = corrupt(x, np.random.default_rng(3), GROUPS, ("stuck",))
    for j in range(5):
        assert len(set(out[out[:, j] != x[:, j], j].tolist())) <= 1


def test_drift_grows() -> None:
    x = np.zeros((1000, 4), np.float32)
    size = np.abs(corrupt(x, np.random.default_rng(4), np.arange(4), ("drift",))).max(axis=1)
    assert size[:100].max() < size[900:].max()


def test_one_feature_only() -> None:
    x = rows(50)[:, :1]
    out = corrupt(x, np.random.default_rng(5), np.zeros(1, np.int64), ("marginal",))
    assert (np.abs(out - x) > 1).all()


def test_categories_only() -> None:
    x = rows(50)[:, 5:8]
    out = corrupt(x, np.random.default_rng(6), np.zeros(3, np.int64))
    assert (out.sum(axis=1) == 1).all()


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigurationError, match="unknown corruptions"):
        corrupt(rows(2), np.random.default_rng(0), GROUPS, ())
    with pytest.raises(ConfigurationError, match="do not fit"):
        corrupt(rows(2), np.random.default_rng(0), GROUPS[:3])
