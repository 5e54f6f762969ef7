"""Rows rendered a column at a time read as they would one by one."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.profiles.loaders import rendering
from streamgauge.profiles.loaders.rendering import json_objects

NUMBER = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 1e22, -1e21, 123456789012345680.0, 1e-7]),
)
TEXT = st.one_of(st.none(), st.text())
INTEGER = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
ROWS = st.lists(st.tuples(NUMBER, TEXT, NUMBER, INTEGER), max_size=20)


@given(ROWS, st.lists(st.text(), min_size=4, max_size=4, unique=True))
def test_what_is_sent_is_what_json_reads(rows: list[tuple[Any, ...]], names: list[str]) -> None:
    kinds = (pa.float64(), pa.string(), pa.float64(), pa.int64())
    columns = [pa.array([row[j] for row in rows], kind) for j, kind in enumerate(kinds)]
    sent = json_objects(pa.RecordBatch.from_arrays(columns, names))
    assert len(sent) == len(rows)
    for text, row in zip(sent, rows, strict=True):
        assert list(json.loads(text)) == names
        for read in (json.loads(text), msgspec.json.decode(text)):
            assert list(read.values()) == list(row)
            for was, value in zip(row[::2], list(read.values())[::2], strict=True):
                assert was is None or _bits(float(value)) == _bits(was) or was == 0 == value


def _bits(number: float) -> bytes:
    assert math.isfinite(number)
    return struct.pack("<d", number)


def test_many_rows_and_none(monkeypatch: Any) -> None:
    monkeypatch.setattr(rendering, "_ROWS", 3)
    batch = pa.RecordBatch.from_arrays([pa.array([0.5 * k for k in range(10)])], ["x"])
    assert [json.loads(text) for text in json_objects(batch)] == [{"x": 0.5 * k} for k in range(10)]
    assert json_objects(batch.slice(4, 0)) == []
    assert json_objects(pa.RecordBatch.from_arrays([pa.nulls(2, pa.string())], ["x"])) == [b'{"x":null}'] * 2
