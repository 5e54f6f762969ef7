"""Last values: ages, order, room, and independence of batches."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.stream.imputation import LastValues

NAN = np.nan
AGES = np.array([5.0, 20.0, NAN])
Row = tuple[float, str, tuple[float, float, float]]


def fill_rows(last: LastValues, rows: list[Row]) -> NDArray[np.float64]:
    values = np.array([r[2] for r in rows], np.float64).reshape(-1, 3)
    return last.fill(values, np.array([r[0] for r in rows]), [r[1] for r in rows], AGES).values


def reference(rows: list[Row]) -> NDArray[np.float64]:
    memory: dict[tuple[str, int], tuple[float, float]] = {}
    out = np.array([r[2] for r in rows], np.float64).reshape(-1, 3)
    for i, (time, entity, values) in enumerate(rows):
        for j in (0, 1):
            if not np.isnan(values[j]):
                memory[entity, j] = (time, values[j])
            elif (entity, j) in memory and abs(time - memory[entity, j][0]) <= AGES[j]:
                out[i, j] = memory[entity, j][1]
    return out


cell = st.sampled_from([NAN, NAN, 1.0, 2.0, 3.0])
rows_st = st.lists(st.tuples(st.floats(0, 60).map(round), st.sampled_from("abc"), st.tuples(cell, cell, cell)))


@given(rows_st, st.lists(st.integers(0, 30), max_size=4), st.sampled_from([2, 10]))
def test_splits_and_saved_state_change_nothing(rows: list[Row], cuts: list[int], room: int) -> None:
    rows = [(float(t), e, v) for t, e, v in rows]
    whole = fill_rows(LastValues(room), rows)
    last, parts = LastValues(room), []
    edges = [0, *sorted(c % (len(rows) + 1) for c in cuts), len(rows)]
    for start, stop in itertools.pairwise(edges):
        parts.append(fill_rows(last, rows[start:stop]))
        last = LastValues.from_state(json.loads(json.dumps(last.to_state())), room)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    if room == 10:
        np.testing.assert_array_equal(whole, reference(rows))


def test_imputed_and_unfilled_are_told() -> None:
    values = np.array([[1.0, NAN, NAN], [NAN, NAN, NAN], [NAN, 4.0, 1.0]])
    filled = LastValues().fill(values, np.array([0.0, 3.0, 9.0]), ["a", "a", "a"], AGES)
    np.testing.assert_array_equal(filled.values, [[1, NAN, NAN], [1, NAN, NAN], [NAN, 4, 1]])
    np.testing.assert_array_equal(filled.imputed, [[0, 0, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(filled.unfilled, [[0, 1, 0], [0, 1, 0], [1, 0, 0]])
    assert np.isnan(values[1, 0])  # the argument is not modified


def test_room_is_made_by_entities_long_unseen() -> None:
    last = LastValues(2)
    fill_rows(last, [(0.0, "a", (1, 1, 1)), (1.0, "b", (2, 2, 2)), (2.0, "c", (3, 3, 3))])
    assert last.overflowed == 1
    out = fill_rows(last, [(30.0, "c", (3, 3, 3)), (31.0, "c", (NAN, NAN, NAN)), (31.0, "a", (NAN, 1, 1))])
    np.testing.assert_array_equal(out[1:], [[3, 3, NAN], [NAN, 1, 1]])
    assert last.overflowed == 1


def test_other_width_is_refused() -> None:
    last = LastValues()
    fill_rows(last, [(0.0, "a", (1, 1, 1))])
    with pytest.raises(StateError, match="do not fit 1 columns"):
        last.fill(np.ones((1, 1)), np.zeros(1), ["a"], np.ones(1))


def test_nothing_to_fill_keeps_nothing() -> None:
    last = LastValues()
    values = np.array([[NAN]])
    assert np.isnan(last.fill(values, np.zeros(1), ["a"], np.array([NAN])).values).all()
    assert last.to_state()["entities"] == []


@given(rows_st, rows_st, st.sampled_from([2, 10]))
def test_a_fill_can_be_undone(rows: list[Row], undone: list[Row], room: int) -> None:
    last = LastValues(room)
    fill_rows(last, rows)
    before = last.to_state()
    mark = last.mark([entity for _, entity, _ in undone])
    fill_rows(last, undone)
    last.restore(mark)
    assert last.to_state() == before
    again = LastValues.from_state(before, room)
    np.testing.assert_array_equal(fill_rows(last, undone), fill_rows(again, undone))
