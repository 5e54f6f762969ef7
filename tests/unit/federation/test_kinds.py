"""Mergeable state: merged moments are those of the union, whatever the order; a liar is bounded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.federation.kinds import KINDS
from streamgauge.layout import Arrays, Item

ITEM = Item("s", (4,), "moments", "agreement")
MOMENTS = KINDS["moments"]
SEEDS = st.integers(0, 2**32 - 1)


def moments(rows: NDArray[np.float64], item: Item = ITEM) -> dict[str, NDArray[np.float64]]:
    """Of (n, 4) rows; NaN cells are skipped."""
    n = np.isfinite(rows).sum(axis=0).astype(np.float64)
    return {
        f"{item.name}.n": n,
        f"{item.name}.sum": np.nansum(rows, axis=0),
        f"{item.name}.sumsq": np.nansum(rows**2, axis=0),
    }


def _parts(seed: int) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    rows = [generator.normal(3.0, 2.0, (int(generator.integers(20, 60)), 4)) for _ in range(4)]
    for part in rows:
        part[generator.random(part.shape) < 0.1] = np.nan
    return rows, np.array([len(part) for part in rows], np.float64)


def _close(left: Arrays, right: Arrays) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=1e-9)


@given(SEEDS)
def test_merged_moments_are_those_of_the_union(seed: int) -> None:
    rows, counts = _parts(seed)
    _close(MOMENTS.merge(ITEM, [moments(part) for part in rows], counts, counts), moments(np.concatenate(rows)))


@given(SEEDS)
def test_merging_is_associative_and_has_no_order(seed: int) -> None:
    rows, counts = _parts(seed)
    parts = [moments(part) for part in rows]

    def merge(chosen: Sequence[Arrays], n: NDArray[np.float64]) -> Arrays:
        return MOMENTS.merge(ITEM, chosen, n, n)

    whole = merge(parts, counts)
    _close(merge(parts[::-1], counts[::-1]), whole)
    left = merge([merge(parts[:2], counts[:2]), merge(parts[2:], counts[2:])], np.ones(2))
    _close(left, whole)


@given(SEEDS)
def test_capping_a_node_leaves_its_mean_and_variance(seed: int) -> None:
    rows, counts = _parts(seed)
    one = moments(rows[0])
    merged = MOMENTS.merge(ITEM, [one], counts[:1], counts[:1] / 4)
    np.testing.assert_allclose(merged["s.n"] * 4, one["s.n"])
    np.testing.assert_allclose(merged["s.sum"] / merged["s.n"], one["s.sum"] / one["s.n"])


@given(SEEDS, st.floats(-1e9, 1e9))
def test_one_absurd_node_stays_within_the_honest_ones_under_the_robust_merge(seed: int, lie: float) -> None:
    rows, counts = _parts(seed)
    honest = [moments(part) for part in rows]
    liar = moments(np.full((50, 4), lie))
    merged = MOMENTS.robust(ITEM, [*honest, liar], np.append(counts, 50.0), np.append(counts, 50.0))
    means = np.stack([part["s.sum"] / part["s.n"] for part in honest])
    mean = merged["s.sum"] / merged["s.n"]
    assert (mean >= means.min(axis=0) - 1e-9).all()
    assert (mean <= means.max(axis=0) + 1e-9).all()
    variance = merged["s.sumsq"] / merged["s.n"] - mean**2
    assert (variance >= -1e-9).all()
    assert (variance <= 4 * 4).all()


@given(SEEDS)
def test_moments_of_real_records_are_plausible(seed: int) -> None:
    rows, _ = _parts(seed)
    MOMENTS.check(ITEM, moments(rows[0]), len(rows[0]), 1e3)


@pytest.mark.parametrize(
    ("part", "value", "match"),
    [
        ("n", 1e6, "whole numbers"),
        ("n", -1.0, "whole numbers"),
        ("n", 1.5, "whole numbers"),
        ("sum", 1e8, "beyond n"),
        ("sumsq", -1.0, "below sum"),
        ("sumsq", 0.0, "below sum"),
        ("sumsq", 1e12, "beyond n"),
    ],
)
def test_impossible_moments_are_refused(part: str, value: float, match: str) -> None:
    arrays = moments(np.random.default_rng(1).normal(2.0, 1.0, (50, 4)))
    arrays[f"s.{part}"][2] = value
    with pytest.raises(StateError, match=match):
        MOMENTS.check(ITEM, arrays, 50, 1e3)


def test_local_never_travels() -> None:
    item = Item("private", (2,), "local", "weights")
    assert not KINDS["local"].travels
    with pytest.raises(StateError, match="never leaves"):
        KINDS["local"].merge(item, [], np.ones(0), np.ones(0))
    with pytest.raises(StateError, match="never leaves"):
        KINDS["local"].check(item, {}, 1, 1.0)


def test_mean_merges_weighted_and_robustly() -> None:
    item = Item("w", (2,), "mean", "weights")
    parts = [{"w": np.array([0.0, 1.0])}, {"w": np.array([4.0, 1.0])}, {"w": np.array([1e9, 1.0])}]
    counts = np.array([3.0, 1.0, 1.0])
    merged = KINDS["mean"].merge(item, parts[:2], counts[:2], counts[:2])
    np.testing.assert_allclose(merged["w"], [1.0, 1.0])
    np.testing.assert_allclose(KINDS["mean"].robust(item, parts, counts, counts)["w"], [4.0, 1.0])
    KINDS["mean"].check(item, parts[0], 1, 10.0)
    with pytest.raises(StateError, match="beyond"):
        KINDS["mean"].check(item, parts[2], 1, 10.0)
