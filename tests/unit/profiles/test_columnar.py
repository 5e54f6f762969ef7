"""Arrow streams: the same records as JSON give the same rows; nothing foreign is believed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.profiles.columnar import ColumnarDecoded, ColumnarDecoder
from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.imputing import Imputer
from streamgauge.profiles.profile import load_profile, parse_profile
from streamgauge.stream.imputation import LastValues
from tests.support.columnar import stream
from tests.unit.profiles.test_decoder import KEYED, PROFILE, Record

FIELDS = ("at", "machine", "flow rate", "pressure", "mode", "state", "operator")
GOOD = {
    "at": "2024-05-01T10:00:00Z",
    "machine": "p1",
    "flow rate": 1.0,
    "pressure": 2.5,
    "mode": "off",
    "state": "ok",
    "operator": "Ann",
}


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    return {name: pa.array([row[name] for row in rows]) for name in FIELDS}


def decode(value: bytes | None, key: bytes | None = None, timestamp: int = 0) -> ColumnarDecoded:
    return ColumnarDecoder(PROFILE, learn_labels=True).decode_messages([Record(value, key, timestamp)])


def reasons(decoded: ColumnarDecoded) -> list[tuple[int | None, str]]:
    return [(row.row, row.reason) for row in decoded.refused]


NUMBERS = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.1, 1e300, -3.4e38, 3.5e38, 5e-324]),
)
ROWS = st.fixed_dictionaries(
    {
        "at": st.one_of(
            st.none(),
            st.sampled_from(["2024-05-01T10:00:00Z", "2024-05-01 11:00", "", "never", "1969-12-31T00:00:00Z"]),
        ),
        "machine": st.one_of(st.none(), st.sampled_from(["p1", "p2", "", "x" * 1001, "n\0"])),
        "flow rate": NUMBERS,
        "pressure": NUMBERS,
        "mode": st.one_of(st.none(), st.sampled_from(["on", "off", "2", "true", "none of them"])),
        "state": st.one_of(st.none(), st.sampled_from(["0", " ok ", "-999", "attack"])),
        "operator": st.one_of(st.none(), st.text(max_size=3)),
    }
)
TYPES = {"flow rate": pa.float64(), "pressure": pa.float64()}


def arrow_of(rows: Sequence[Mapping[str, Any]], dictionary: bool) -> dict[str, pa.Array]:
    columns = {name: pa.array([r[name] for r in rows], TYPES.get(name, pa.string())) for name in FIELDS}
    if dictionary:
        columns |= {name: columns[name].dictionary_encode() for name in FIELDS if name not in TYPES}
    return columns


@given(rows=st.lists(ROWS, min_size=1, max_size=8), batches=st.integers(1, 3), dictionary=st.booleans())
def test_the_same_records_as_json_and_as_arrow_give_the_same(
    rows: list[dict[str, Any]], batches: int, dictionary: bool
) -> None:
    jsons: Decoded = Decoder(PROFILE, learn_labels=True).decode([Record(json.dumps(row).encode()) for row in rows])
    arrow = decode(stream(arrow_of(rows, dictionary), batches))
    assert arrow.good.tolist() == jsons.good.tolist()
    for name in ("values", "codes", "times", "labels"):
        np.testing.assert_array_equal(getattr(arrow, name), getattr(jsons, name))
    assert arrow.entities == jsons.entities
    assert [(r.row, r.reason, r.detail) for r in arrow.refused] == [tuple(r) for r in jsons.rejected]
    assert [arrow.context(i) for i in range(len(arrow))] == [jsons.context(i) for i in range(len(jsons))]
    first, second = (Imputer(PROFILE).impute(each, LastValues()) for each in (jsons, arrow))
    np.testing.assert_array_equal(first.encode(PROFILE.schema), second.encode(PROFILE.schema))
    np.testing.assert_array_equal(first.masked, second.masked)
    assert first.counts == second.counts


@given(rows=st.lists(ROWS, min_size=2, max_size=8), cut=st.integers(1, 7))
def test_messages_equal_the_same_rows_in_one_message(rows: list[dict[str, Any]], cut: int) -> None:
    parts = [part for part in (rows[:cut], rows[cut:]) if part]
    whole = decode(stream(arrow_of(rows, False)))
    several = ColumnarDecoder(PROFILE, learn_labels=True).decode_messages(
        [Record(stream(arrow_of(part, False))) for part in parts]
    )
    starts = np.cumsum([0, *map(len, parts)])
    np.testing.assert_array_equal(several.good + starts[several.message], whole.good)
    np.testing.assert_array_equal(several.values, whole.values)
    assert several.entities == whole.entities
    assert [int(starts[r.message]) + (r.row or 0) for r in several.refused] == [r.row for r in whole.refused]


def test_a_bad_row_is_refused_alone_and_comes_back_as_json() -> None:
    rows = [{**GOOD, "pressure": float(i)} for i in range(5)]
    rows[3] |= {"pressure": None, "operator": "Bob"}
    decoded = decode(stream(columns_of(rows), batches=2))
    assert decoded.good.tolist() == [0, 1, 2, 4]
    (row,) = decoded.refused
    assert (row.row, row.reason) == (3, "missing-field")
    assert row.value is not None
    assert json.loads(row.value) == rows[3]
    assert decoded.context(3) == {"operator": "Ann"}
    assert decoded.only(np.array([False, True, False, False])).good.tolist() == [1]


def test_a_column_named_by_a_path_is_an_object_in_the_dead_letter() -> None:
    text = (
        'name = "p"\ntitle = "P"\n[time]\nfield = "$.head.at"\nformat = "unix_s"\n[entity]\nfield = "$.head.id"\n'
    )
    profile = parse_profile(text + '[[numeric]]\nfield = "$.v"\nmin = 0\nmax = 1\n')
    columns = {"$.head.at": pa.array([1.0, 2.0]), "$.head.id": pa.array(["a", "b"]), "$.v": pa.array([0.5, None])}
    (row,) = ColumnarDecoder(profile).decode_messages([Record(stream(columns))]).refused
    assert json.loads(row.value or b"") == {"head": {"at": 2.0, "id": "b"}, "v": None}


def test_other_types_of_columns_mean_the_same() -> None:
    n = 3
    columns = {
        "at": pa.array([1714557600_000_000] * n, pa.timestamp("us", tz="UTC")),
        "machine": pa.array([7, 8, None], pa.uint16()),
        "flow rate": pa.array([1, None, 3], pa.int32()),
        "pressure": pa.array([0.5, 1.5, 2.5], pa.float32()),
        "mode": pa.array([True, False, None]),
        "state": pa.array([0.0, 1.0, math.nan]),
        "unknown": pa.array([[1], [], None]),
    }
    decoded = decode(stream(columns))
    assert decoded.times.tolist() == [1714557600.0] * 2
    assert decoded.entities == ["7", "8"]
    np.testing.assert_array_equal(decoded.values, [[1, 0.5], [np.nan, 1.5]])
    assert decoded.codes.tolist() == [[3], [4]]
    np.testing.assert_array_equal(decoded.labels, np.array([0, 1], np.float32))
    assert reasons(decoded) == [(2, "missing-entity")]


@pytest.mark.parametrize(("index", "count"), [(pa.int8(), 128), (pa.uint8(), 256)])
def test_a_dictionary_as_long_as_its_indices_reach_may_have_nulls_beside_it(
    index: pa.DataType, count: int
) -> None:
    rows = [{**GOOD, "machine": f"p{i}"} for i in range(3)]
    names = pa.array([f"p{i}" for i in range(count)])  # as of a data frame's categories
    machines = pa.DictionaryArray.from_arrays(pa.array([0, count - 1, None], index), names)
    decoded = decode(stream(columns_of(rows) | {"machine": machines}))
    assert decoded.entities == ["p0", f"p{count - 1}"]
    assert reasons(decoded) == [(2, "missing-entity")]


@pytest.mark.parametrize("index", [pa.int8(), pa.uint8()])
@pytest.mark.parametrize("one_message", [False, True])
def test_dictionaries_of_neighbours_may_have_more_words_together_than_their_indices_reach(
    index: pa.DataType, one_message: bool
) -> None:
    def batch(first: int) -> pa.RecordBatch:
        names = pa.array([f"p{i}" for i in range(first, first + 100)])
        machines = pa.DictionaryArray.from_arrays(pa.array([0, 99, None], index), names)
        return pa.record_batch(columns_of([GOOD] * 3) | {"machine": machines})

    batches = [batch(first) for first in range(0, 300, 100)]
    out = [pa.BufferOutputStream() for _ in batches]
    streams = [[0, 1, 2]] if one_message else [[0], [1], [2]]
    for to, numbers in zip(out, streams, strict=False):
        with pa.ipc.new_stream(to, batches[0].schema) as writer:
            for k in numbers:
                writer.write_batch(batches[k])
    messages = [Record(to.getvalue().to_pybytes(), None, 0) for to, _ in zip(out, streams, strict=False)]
    decoded = ColumnarDecoder(PROFILE).decode_messages(messages)
    assert decoded.entities == ["p0", "p99", "p100", "p199", "p200", "p299"]
    assert [row.reason for row in decoded.refused] == ["missing-entity"] * 3


def test_time_and_entity_of_the_message_count_for_all_rows() -> None:
    value = stream({"v": pa.array([0.1, 0.2])})
    decoder = ColumnarDecoder(KEYED)
    decoded = decoder.decode_messages([Record(value, b"pump", 5000)])
    assert decoded.entities == ["pump", "pump"]
    assert decoded.times.tolist() == [5.0, 5.0]
    assert reasons(decoder.decode_messages([Record(value, None, 5000)])) == [(None, "missing-entity")]
    assert reasons(decoder.decode_messages([Record(value, b"pump", -1)])) == [(None, "missing-time")]


def test_a_row_dated_long_after_its_message_is_refused() -> None:
    decoder = ColumnarDecoder(PROFILE, max_ahead_s=60)
    rows = [{**GOOD, "at": "2024-05-01T10:00:00Z"}, {**GOOD, "at": "2024-05-01T10:02:00Z"}]
    decoded = decoder.decode_messages([Record(stream(columns_of(rows)), None, 1714557600_000)])
    assert reasons(decoded) == [(1, "bad-time")]


PLAIN = columns_of([GOOD] * 3)


@pytest.mark.parametrize(
    ("reason", "said", "value"),
    [
        ("null-value", "no value", None),
        ("malformed-arrow", "cut off", b""),
        ("malformed-arrow", "cut off", b'{"pressure": 1}'),
        ("malformed-arrow", "cut off", stream(PLAIN)[:-9]),
        ("malformed-arrow", "compressed", stream(PLAIN, compression="lz4")),
        ("malformed-arrow", "compressed", stream(arrow_of([GOOD], True), compression="zstd")),
        ("malformed-arrow", "two columns", None),
        ("too-large", "rows", stream({"v": pa.nulls(70_000)})),
        ("too-large", "bytes", b"x" * (1 << 24) + b"y"),
        ("missing-column", "'machine', 'pressure'", stream({"at": PLAIN["at"], "mode": PLAIN["mode"]})),
        ("wrong-type", "'pressure' holds string", stream({**PLAIN, "pressure": PLAIN["mode"]})),
        ("wrong-type", "'mode' holds double", stream({**PLAIN, "mode": PLAIN["pressure"]})),
        ("wrong-type", "'machine' holds list", stream({**PLAIN, "machine": pa.array([[1]] * 3)})),
        ("wrong-type", "'at' holds bool", stream({**PLAIN, "at": pa.array([True] * 3)})),
    ],
)
def test_a_message_that_is_wrong_as_a_whole_says_why(reason: str, said: str, value: bytes | None) -> None:
    if said == "two columns":
        batch = pa.RecordBatch.from_arrays([PLAIN["at"], PLAIN["at"]], ["at", "at"])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        value = sink.getvalue().to_pybytes()
    decoded = decode(value)
    assert len(decoded) == 0
    assert reasons(decoded) == [(None, reason)]
    assert said in decoded.refused[0].detail


def with_delta() -> bytes:
    """Two batches, the second of which adds a word to the first one's dictionary."""
    words = [pa.array(values).dictionary_encode() for values in (["p1"], ["p1", "p2"])]
    batches = [pa.RecordBatch.from_arrays([word], ["machine"]) for word in words]
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


LONG_WORD = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int8()), pa.array(["w" * 200_000]))
BILLION_NULLS = pa.ListArray.from_arrays(pa.array([0, 10**8, 10**9], pa.int32()), pa.nulls(10**9))


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("adds to a dictionary", with_delta()),
        ("bytes of text written out", stream({"at": pa.nulls(100, pa.string()), "unknown": LONG_WORD})),
        ("rows in a message of", stream({"at": pa.nulls(60_500)})),
        ("no column 'at'", stream({**PLAIN, "at": pa.nulls(3)})),
    ],
)
def test_a_message_that_claims_more_than_it_brings_is_refused(said: str, value: bytes) -> None:
    (refused,) = decode(value).refused
    assert refused.row is None
    assert said in refused.detail


@pytest.mark.parametrize(
    "strange",
    [
        pa.array([b"\xff", None]),
        pa.array([1, -5], pa.timestamp("ns", tz="No/Where")),
        pa.array([2**62, 0], pa.timestamp("s")),
        pa.array([5, 7], pa.duration("ns")),
        BILLION_NULLS,
    ],
)
def test_a_column_of_any_type_spoils_neither_dead_letter_nor_alert(strange: pa.Array) -> None:
    columns = columns_of([GOOD, {**GOOD, "pressure": math.nan}])
    decoded = decode(stream({**columns, "operator": strange}))
    assert json.dumps(decoded.context(0))
    (row,) = decoded.refused
    assert (row.row, row.reason) == (1, "missing-field")
    assert json.loads(row.value or b"")["machine"] == "p1"


def test_a_time_beyond_all_calendars_refuses_its_row_only() -> None:
    times = pa.array([1714557600_000_000, 2**62, None], pa.timestamp("us", tz="No/Where"))
    decoded = decode(stream({**columns_of([GOOD] * 3), "at": times}))
    assert decoded.times.tolist() == [1714557600.0]
    assert reasons(decoded) == [(1, "bad-time"), (2, "missing-time")]


def test_too_few_columns_refuse_the_message() -> None:
    profile = load_profile("nsl-kdd")
    time, entity = profile.time.field, profile.entity
    assert entity is not None
    columns = {name: pa.array(["2024-05-01T10:00:00Z"]) for name in (time, entity) if name is not None}
    decoded = ColumnarDecoder(profile).decode_messages([Record(stream(columns), None, 1714557600_000)])
    assert reasons(decoded) == [(None, "missing-column")]


HOSTILE = stream(arrow_of([GOOD, {**GOOD, "flow rate": None}, GOOD], True), batches=2)


@given(
    changes=st.lists(st.tuples(st.integers(0, len(HOSTILE) - 9), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.one_of(st.none(), st.integers(0, len(HOSTILE))),
)
def test_no_change_of_bytes_crashes_it(changes: list[tuple[int, int]], cut: int | None) -> None:
    value = bytearray(HOSTILE)
    for place, byte in changes:
        value[place] = byte
    decoded = decode(bytes(value[:cut]))
    whole = [row for row in decoded.refused if row.row is None]
    assert len(decoded) + len(decoded.refused) <= 3 or not whole
    assert np.isfinite(decoded.times).all()
    assert all(isinstance(name, str) and 0 < len(name) <= 1000 for name in decoded.entities)
    for row in decoded.refused:
        assert row.reason
        assert row.value is None or msgspec.json.decode(row.value)
