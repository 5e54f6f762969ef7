"""The decoder: good rows, reasons of the others, and that neighbours never matter."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.profiles.decoder import Decoded, Decoder
from streamgauge.profiles.profile import Profile, load_profile, parse_profile

PROFILE = parse_profile("""
name = "pump"
title = "A pump"
missing = "mask"
max_missing_share = 0.6
context = ["operator", "tags"]
[time]
field = "at"
format = "iso8601"
[entity]
field = "machine"
[label]
field = "state"
normal = ["0", "ok"]
unlabelled = ["-999"]
[[numeric]]
field = "flow rate"
min = 0
max = 10
[[numeric]]
field = "pressure"
min = 0
max = 10
missing = "reject"
[[categorical]]
field = "mode"
categories = ["on", "off", "2", "true"]
""")
KEYED = parse_profile("""
name = "keyed"
title = "Entity and time from the message"
missing = "mask"
[time]
source = "message"
[entity]
source = "key"
[[numeric]]
field = "v"
min = 0
max = 1
""")
GOOD = {"at": "2024-05-01T10:00:00Z", "machine": "p1", "flow rate": 1, "pressure": 2.5, "mode": "off"}
T0 = 1714557600.0


@dataclass(frozen=True)
class Record:
    value: bytes | None
    key: bytes | None = b"k"
    timestamp: int = 1_714_557_600_000


def record(**changes: Any) -> Record:
    fields = {name.replace("_", " "): value for name, value in changes.items()}
    return Record(json.dumps(GOOD | fields).encode())


def without(field: str) -> Record:
    return Record(json.dumps({k: v for k, v in GOOD.items() if k != field}).encode())


def decode(records: Sequence[Record], profile: Profile = PROFILE, **options: Any) -> Decoded:
    return Decoder(profile, **options).decode(records)


def test_a_good_batch() -> None:
    decoded = decode([record(), record(machine=7, flow_rate=None, mode="idle"), without("mode")])
    np.testing.assert_array_equal(decoded.good, [0, 1, 2])
    np.testing.assert_array_equal(decoded.values, [[1, 2.5], [math.nan, 2.5], [1, 2.5]])
    np.testing.assert_array_equal(decoded.codes, [[1], [4], [-1]])
    np.testing.assert_array_equal(decoded.times, [T0] * 3)
    assert decoded.entities == ["p1", "7", "p1"]
    assert np.isnan(decoded.labels).all()
    assert decoded.rejected == []


def test_an_empty_batch() -> None:
    decoded = decode([])
    assert (len(decoded), decoded.values.shape, decoded.codes.shape) == (0, (0, 2), (0, 1))


BAD = {
    "malformed-json": [Record(b'{"at": '), Record(b""), Record(b'{"x":' + b"[" * 200_000)],
    "wrong-encoding": [
        Record(json.dumps(GOOD).encode("utf-16")),
        Record(json.dumps(GOOD).encode("utf-16-le")),
        Record(json.dumps(GOOD | {"machine": "Gerät"}, ensure_ascii=False).encode("latin-1")),
        Record(json.dumps(GOOD | {"machine": "\ud800"}).encode()),
    ],
    "wrong-type": [
        record(pressure="2.5"),
        record(pressure=True),
        record(pressure=[1]),
        record(mode={}),
        record(machine=1.5),
        Record(b"[1, 2]"),
        Record(b"null"),
        Record(b"3"),
    ],
    "null-value": [Record(None)],
    "too-large": [Record(b" " * 2_000_000)],
    "missing-time": [without("at"), record(at=None), record(at="")],
    "bad-time": [record(at="yesterday"), record(at=12), record(at="0001-01-01T00:00:00"), record(at="2222-01-01")],
    "missing-entity": [without("machine"), record(machine=None), record(machine="")],
    "bad-entity": [record(machine="x" * 1001), record(machine="a\0b")],
    "missing-field": [without("pressure"), record(pressure=None), record(pressure=math.nan)],
    "not-finite": [record(pressure=1e39), record(pressure=-1e300), record(pressure=10**400)],
    "too-many-missing": [Record(json.dumps({"at": "2024-05-01", "machine": "p", "pressure": 1}).encode())],
}
CASES = [(reason, bad) for reason, all_bad in BAD.items() for bad in all_bad]


@pytest.mark.parametrize(("reason", "bad"), CASES, ids=[f"{reason}-{i}" for i, (reason, _) in enumerate(CASES)])
def test_a_bad_record_is_rejected_with_its_reason_and_its_neighbours_are_not(reason: str, bad: Record) -> None:
    decoded = decode([record(), bad, record(machine="p2")])
    np.testing.assert_array_equal(decoded.good, [0, 2])
    assert decoded.entities == ["p1", "p2"]
    assert len(decoded.values) == len(decoded.codes) == len(decoded.times) == len(decoded.labels) == 2
    [(position, given_reason, detail)] = decoded.rejected
    assert (position, given_reason) == (1, reason)
    assert detail


def test_no_record_is_lost_and_the_rejected_are_in_order() -> None:
    batch = [bad for _, bad in CASES] + [record()]
    decoded = decode(batch)
    assert [r.position for r in decoded.rejected] == list(range(len(CASES)))
    assert [r.reason for r in decoded.rejected] == [reason for reason, _ in CASES]
    np.testing.assert_array_equal(decoded.good, [len(CASES)])


def test_nan_literals_and_a_byte_order_mark_are_borne() -> None:
    for literal in ("NaN", "Infinity", "-Infinity"):
        text = json.dumps(GOOD).replace('"flow rate": 1', f'"flow rate": {literal}')
        decoded = decode([Record(b"\xef\xbb\xbf" + text.encode())])
        np.testing.assert_array_equal(decoded.values, [[math.nan, 2.5]])


def test_unknown_fields_are_ignored() -> None:
    assert len(decode([record(extra={"deep": [1, "x"]})])) == 1


@pytest.mark.parametrize(
    ("timestamp", "key", "reason"),
    [
        (-1, b"k", "missing-time"),
        (0, b"k", "bad-time"),
        (1, None, "missing-entity"),
        (1, b"", "missing-entity"),
        (1, b"\xff", "wrong-encoding"),
        (1, b"k" * 1001, "bad-entity"),
    ],
)
def test_time_and_entity_of_the_message(timestamp: int, key: bytes | None, reason: str) -> None:
    good = Record(b'{"v": 0.5}', "küche".encode(), 1500)
    decoded = decode([good, Record(b'{"v": 0.5}', key, timestamp)], KEYED)
    assert [r.reason for r in decoded.rejected] == [reason]
    assert decoded.entities == ["küche"]
    np.testing.assert_array_equal(decoded.times, [1.5])


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        ("unix_s", T0),
        ("unix_s", str(int(T0))),
        ("unix_ms", int(T0 * 1000)),
        ("unix_us", int(T0) * 10**6),
        ("unix_ns", str(int(T0) * 10**9)),
        ("iso8601", "2024-05-01 12:00:00+02:00"),
        ("iso8601", "2024-05-01T10:00:00"),
        ("strptime:%d/%m/%Y %I:%M:%S %p", "01/05/2024 10:00:00 AM"),
    ],
)
def test_time_formats(format_: str, value: object) -> None:
    profile = parse_profile(
        f'name="x"\ntitle="x"\n[time]\nfield="at"\nformat="{format_}"\n[entity]\nsource="key"\n'
        '[[numeric]]\nfield="v"\nmin=0\nmax=1\n'
    )
    records = [Record(json.dumps({"at": value, "v": 1}).encode()), Record(b'{"at": "?", "v": 1}')]
    decoded = decode(records, profile)
    np.testing.assert_array_equal(decoded.times, [T0])
    assert [r.reason for r in decoded.rejected] == ["bad-time"]


def test_numbers_and_booleans_name_categories_by_their_text() -> None:
    decoded = decode([record(mode=2), record(mode=True), record(mode=False), record(mode=3)])
    np.testing.assert_array_equal(decoded.codes[:, 0], [2, 3, 4, 4])


def test_labels_are_read_only_where_they_may_be_learned() -> None:
    states = [0, 0.0, "0", "ok", 1, "jam", None, -999, "-999", False]
    records = [record(state=state) for state in states] + [record(state={"not": "looked at"})]
    assert np.isnan(decode(records).labels).all()
    decoded = decode(records, learn_labels=True)
    expected = [0, 0, 0, 0, 1, 1, math.nan, math.nan, math.nan, 1]
    np.testing.assert_array_equal(decoded.labels, np.array(expected, np.float32))
    assert [r.reason for r in decoded.rejected] == ["wrong-type"]


def test_context_is_plain_and_short() -> None:
    decoded = decode([Record(b"{"), record(operator="x" * 900, tags=["a", 1], secret=1)])
    context = decoded.context(0)
    assert context == {"operator": "x" * 500, "tags": '["a", 1]'}
    assert decode([Record(b'{"v": 1}')], KEYED).context(0) == {}


def test_nsl_kdd_service_is_entity_and_category() -> None:
    profile = load_profile("nsl-kdd")
    row: dict[str, Any] = {f.field: 0 for f in profile.numeric}
    row |= {"protocol_type": "tcp", "service": "http", "flag": "SF", "label": "neptune"}
    decoded = decode([Record(json.dumps(row).encode())], profile, learn_labels=True)
    assert decoded.entities == ["http"]
    assert decoded.labels.tolist() == [1.0]
    service = profile.categorical[1].feature.categories
    assert decoded.codes[0, 1] == service.index("http")


CELLS = st.one_of(
    st.none(), st.floats(allow_nan=False), st.integers(), st.booleans(), st.text("a1\0é", max_size=3), st.just([1])
)
ROWS = st.fixed_dictionaries(
    {"at": st.one_of(st.just("2024-05-01T10:00:00Z"), CELLS), "machine": st.one_of(st.just("p1"), CELLS)},
    optional={"flow rate": CELLS, "pressure": CELLS, "mode": CELLS, "x": CELLS},
)


@given(st.lists(st.one_of(ROWS.map(lambda row: json.dumps(row).encode()), st.binary(max_size=20)), max_size=8))
def test_any_batch_equals_its_records_one_by_one(values: list[bytes]) -> None:
    decoder, records = Decoder(PROFILE), [Record(value) for value in values]
    whole = decoder.decode(records)
    single = [decoder.decode([r]) for r in records]
    assert sorted([*whole.good.tolist(), *(r.position for r in whole.rejected)]) == list(range(len(records)))
    assert whole.good.tolist() == [i for i, one in enumerate(single) if len(one)]
    assert [(r.reason, r.detail) for r in whole.rejected] == [
        (r.reason, r.detail) for o in single for r in o.rejected
    ]
    for row, i in enumerate(whole.good.tolist()):
        np.testing.assert_array_equal(whole.values[row], single[i].values[0])
        np.testing.assert_array_equal(whole.codes[row], single[i].codes[0])
        assert (whole.times[row], whole.entities[row]) == (single[i].times[0], single[i].entities[0])


@given(st.lists(st.tuples(*[st.floats(-1e30, 1e30)] * 2), min_size=1, max_size=8))
def test_numbers_equal_those_of_the_json_module(rows: list[tuple[float, float]]) -> None:
    texts = [json.dumps(GOOD | {"flow rate": a, "pressure": b}) for a, b in rows]
    decoded = decode([Record(text.encode()) for text in texts])
    expected = [[json.loads(text)[name] for name in ("flow rate", "pressure")] for text in texts]
    np.testing.assert_array_equal(decoded.values, expected)
