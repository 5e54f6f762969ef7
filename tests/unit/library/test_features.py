"""The feature schema: encoding within bounds, a hash that follows what decides numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import ConfigurationError
from streamgauge.features import OTHER, CategoricalFeature, FeatureSchema, NumericFeature

BOUND = st.floats(-1e9, 1e9, allow_nan=False)


@st.composite
def schemas(draw: st.DrawFn) -> FeatureSchema:
    numeric = []
    for i in range(draw(st.integers(0, 4))):
        low = draw(BOUND)
        high = low + draw(st.floats(1e-3, 1e9)) * max(1.0, abs(low) * 1e-6)
        transform: Any = draw(st.sampled_from(["none", "log1p"]))
        numeric.append(NumericFeature(f"n{i}", low, high, transform=transform))
    least = 0 if numeric else 1
    lists = draw(
        st.lists(
            st.sets(st.text(min_size=1).filter(lambda s: s != OTHER), min_size=1, max_size=4),
            min_size=least,
            max_size=3,
        )
    )
    categorical = [CategoricalFeature(f"c{i}", tuple(sorted(names))) for i, names in enumerate(lists)]
    return FeatureSchema(tuple(numeric), tuple(categorical))


@st.composite
def encodings(draw: st.DrawFn) -> tuple[FeatureSchema, Any, Any]:
    schema = draw(schemas())
    n = draw(st.integers(0, 5))
    wild = st.floats(allow_nan=False)
    values = [[draw(wild) for _ in schema.numeric] for _ in range(n)]
    codes = [[draw(st.integers(0, len(f.categories))) for f in schema.categorical] for _ in range(n)]
    return (
        schema,
        np.array(values, np.float64).reshape(n, len(schema.numeric)),
        np.array(codes, np.int64).reshape(n, len(schema.categorical)),
    )


@given(encodings())
def test_encoded_rows_are_finite_bounded_and_one_hot(case: tuple[FeatureSchema, Any, Any]) -> None:
    schema, values, codes = case
    before = values.copy(), codes.copy()
    x = schema.encode(values, codes)
    assert x.shape == (len(values), schema.width) == (len(values), len(schema.columns))
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    centre, half = schema.centre(), schema.half_range()
    assert (np.abs(x - centre) <= half * (1 + 1e-5) + np.abs(centre) * 1e-6 + 1e-6).all()
    groups = schema.groups()
    for j, feature in enumerate(schema.categorical):
        columns = x[:, groups == len(schema.numeric) + j]
        assert columns.shape[1] == len(feature.categories) + 1
        assert (columns.sum(axis=1) == 1).all()
        assert (columns.argmax(axis=1) == codes[:, j]).all()
    assert np.array_equal(before[0], values)
    assert np.array_equal(before[1], codes)


@given(schemas())
def test_shapes_fit_and_scales_are_positive(schema: FeatureSchema) -> None:
    for vector in (schema.centre(), schema.half_range(), schema.scale_floor(), schema.groups()):
        assert vector.shape == (schema.width,)
        assert np.isfinite(vector).all()
    assert (schema.half_range() > 0).all()
    assert (schema.scale_floor() > 0).all()
    assert (np.diff(schema.groups()) >= 0).all()
    assert len(set(schema.columns)) == schema.width


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_log1p_keeps_order_and_sign(a: float, b: float) -> None:
    schema = FeatureSchema((NumericFeature("x", -1e6, 1e6, transform="log1p"),))
    low, high = schema.encode(np.array([[min(a, b)], [max(a, b)]]), np.zeros((2, 0), np.int64))[:, 0]
    assert low <= high
    assert np.sign(high) == np.sign(np.float32(max(a, b))) or abs(high) < 1e-6


SCHEMA = FeatureSchema(
    (NumericFeature("flow", 0, 10, "l/s"), NumericFeature("level", 0, 1)),
    (CategoricalFeature("mode", ("auto", "manual")),),
    (("flow", "last:60"),),
)


def _changes() -> dict[str, FeatureSchema]:
    flow, level = SCHEMA.numeric
    return {
        "name": replace(SCHEMA, numeric=(replace(flow, name="flux"), level)),
        "range": replace(SCHEMA, numeric=(replace(flow, maximum=11), level)),
        "unit": replace(SCHEMA, numeric=(replace(flow, unit="m3/s"), level)),
        "transform": replace(SCHEMA, numeric=(replace(flow, transform="log1p"), level)),
        "order": replace(SCHEMA, numeric=(level, flow)),
        "categories": replace(SCHEMA, categorical=(CategoricalFeature("mode", ("manual", "auto")),)),
        "missing": replace(SCHEMA, missing=(("flow", "last:61"),)),
    }


@pytest.mark.parametrize("what", _changes())
def test_the_hash_changes_with_whatever_decides_numbers(what: str) -> None:
    assert _changes()[what].hash != SCHEMA.hash


def test_the_hash_is_pinned() -> None:
    """Sites compare it: if this fails, every running federation needs a new lineage."""
    assert SCHEMA.hash == "eaf064f62c30b507ba2b133a0656f811b6b99c6f5278303e9618d9550fd7a06a"


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf")), (-1e39, 0), (0, 1e39)]
)
def test_a_range_must_be_finite_rising_and_fit_float32(low: float, high: float) -> None:
    with pytest.raises(ConfigurationError, match=r"feature 'x' has min .* and max"):
        NumericFeature("x", low, high)


@pytest.mark.parametrize("categories", [(), ("a", "a"), ("a", OTHER)])
def test_categories_are_distinct_and_leave_other_to_us(categories: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="feature 'c' needs a list of distinct categories"):
        CategoricalFeature("c", categories)


def test_a_schema_needs_features_with_distinct_names() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        FeatureSchema(())
    with pytest.raises(ConfigurationError, match="same canonical name"):
        FeatureSchema((NumericFeature("a", 0, 1),), (CategoricalFeature("a", ("x",)),))
