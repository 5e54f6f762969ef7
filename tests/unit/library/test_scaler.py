"""Standardisation from additive moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.scaler import CLIP, Scaler, scaler_from_moments

Floats = NDArray[np.float64]
VALUES = st.floats(-1e4, 1e4)


def moments(x: Floats, centre: Floats) -> tuple[Floats, Floats, Floats]:
    shifted = x - centre
    return np.full(x.shape[1], float(len(x))), shifted.sum(0), (shifted**2).sum(0)


@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.just(3)), elements=VALUES), VALUES)
def test_it_equals_mean_and_standard_deviation(x: Floats, middle: float) -> None:
    centre, floor = np.full(3, middle), np.full(3, 0.01)
    scaler = scaler_from_moments(moments(x, centre), centre, floor)
    np.testing.assert_allclose(scaler.mean, x.mean(0), rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(scaler.scale, np.maximum(x.std(0), 0.01), rtol=1e-3, atol=0.05)


@given(arrays(np.float64, st.tuples(st.integers(2, 20), st.just(2)), elements=VALUES), st.integers(1, 19))
def test_moments_of_parts_add_up_to_those_of_the_whole(x: Floats, cut: int) -> None:
    centre, floor = np.zeros(2), np.full(2, 0.1)
    cut = min(cut, len(x) - 1)
    pairs = zip(moments(x[:cut], centre), moments(x[cut:], centre), strict=True)
    n, total, squares = (a + b for a, b in pairs)
    whole = scaler_from_moments(moments(x, centre), centre, floor)
    merged = scaler_from_moments((n, total, squares), centre, floor)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(merged.scale, whole.scale, rtol=1e-4, atol=1e-4)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 10), st.just(3)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32) | st.just(float("nan")),
    )
)
def test_applied_rows_are_finite_clipped_and_new(x: Any) -> None:
    before = x.copy()
    z = Scaler(np.array([0, 1, -5], np.float32), np.array([1, 1e-3, 1e3], np.float32)).apply(x)
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    assert (np.abs(z) <= CLIP).all()
    assert (z[np.isnan(x)] == 0).all()
    assert np.array_equal(before, x, equal_nan=True)


def test_a_constant_column_is_divided_by_the_floor() -> None:
    x = np.full((50, 1), 3.0)
    scaler = scaler_from_moments(moments(x, np.zeros(1)), np.zeros(1), np.array([0.5]))
    assert scaler.scale.tolist() == [0.5]
    assert scaler.apply(np.array([[4.0]], np.float32)).tolist() == [[2.0]]


def test_rounding_never_makes_a_variance_negative() -> None:
    """n * mean^2 above sum of squares by rounding: the floor counts, not NaN."""
    n, total = np.array([3.0]), np.array([0.3])
    squares = np.nextafter(total**2 / n, 0)
    assert scaler_from_moments((n, total, squares), np.zeros(1), np.array([0.1])).scale.tolist() == pytest.approx(
        [0.1]
    )


def test_no_records_are_an_error_not_a_division_by_zero() -> None:
    zero = np.zeros(2)
    with pytest.raises(StateError, match="moments of no records"):
        scaler_from_moments((zero, zero, zero), zero, np.ones(2))


@pytest.mark.parametrize("scale", [[0.0], [-1.0], [float("nan")], [float("inf")], [1.0, 1.0]])
def test_a_scale_is_finite_and_positive(scale: list[float]) -> None:
    with pytest.raises(StateError, match="finite and positive"):
        Scaler(np.zeros(1, np.float32), np.array(scale, np.float32))
