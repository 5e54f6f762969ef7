"""Proposals for what collectors and data sets really send: labels, times, tags, files without a header."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile_tools.files import Line, from_file
from streamgauge.errors import DataError
from streamgauge.profiles.checking import check
from streamgauge.profiles.inferring import propose
from streamgauge.profiles.profile import Profile, parse_profile
from tests.support.plant import plant_records, tag_records

Record = dict[str, Any]


def proposed(records: list[Record]) -> tuple[str, Profile]:
    """The proposal, which accepts its own records."""
    text = propose(records, "x").text
    profile = parse_profile(text)
    told, good = check(
        profile, [Line(json.dumps(r).encode(), i, b"key", 1_700_000_000_000) for i, r in enumerate(records)]
    )
    assert good, told
    return text, profile


def fields(profile: Profile) -> set[str]:
    return {f.field for f in profile.numeric} | {f.field for f in profile.categorical}


# -- labels ----------------------------------------------------------------------------------------------


def test_no_second_label_is_a_feature() -> None:
    records = [
        {
            "dur": i / 7,
            "state": "FIN" if i % 3 else "INT",
            "attack_cat": "DoS" if i % 4 else "Normal",
            "label": int(i % 4 > 0),
        }
        for i in range(200)
    ]
    records = [
        {**r, "changepoint": i % 2, "verdict": "benign" if i % 4 == 0 else "ddos"} for i, r in enumerate(records)
    ]
    text, profile = proposed(records)
    assert profile.label is not None
    assert (profile.label.field, profile.label.normal, profile.label.attack_type) == (
        "label",
        ("0",),
        "attack_cat",
    )
    assert fields(profile) == {"dur", "state"}
    for name in ("changepoint", "verdict"):
        assert f"#   {name}: tells the truth, as label does" in text


def test_labels_that_are_floats_or_all_of_one_kind() -> None:
    _, profile = proposed([{"v": i / 7, "anomaly": float(i % 5 == 0)} for i in range(60)])
    assert profile.label is not None
    assert profile.label.normal == ("0",)
    text, profile = proposed([{"v": i / 7, "label": 1, "type": "ddos"} for i in range(60)])
    assert profile.label is not None
    assert (profile.label.normal, profile.label.attack_type) == (("0",), "type")
    assert "# check: none of it among these records" in text
    text, profile = proposed([{"v": i / 7, "label": "smurf." if i % 9 else "normal."} for i in range(60)])
    assert profile.label is not None
    assert profile.label.normal == ("normal.",)


def test_a_field_that_tells_every_label_is_marked() -> None:
    text, _ = proposed(
        [{"v": i % 11, "day": "25th" if i < 50 else "31st", "label": int(i < 50)} for i in range(100)]
    )
    assert '# check: its value alone tells label of every record: leave it out?\nfield = "day"' in text
    assert text.count("its value alone") == 1


# -- times -----------------------------------------------------------------------------------------------


def test_halves_of_a_time_are_named_and_no_features() -> None:
    text, profile = proposed([{"date": "25-Apr-19", "time": f" 19:19:{i:02} ", "v": i % 7 / 3} for i in range(50)])
    assert (profile.time.field, fields(profile)) == (None, {"v"})
    assert "# check: date and time are halves of a time, but a profile reads one field" in text
    assert "#   time: a time of day alone" in text
    _, profile = proposed([{"date": f"2024-05-{1 + i:02}", "v": i % 7 / 3} for i in range(28)])
    assert (profile.time.field, profile.time.format) == ("date", "iso8601")


def test_day_or_month_first_is_told_by_the_order_of_time_or_asked() -> None:
    days = [
        f"0{1 + i // 20}/0{1 + i % 20 // 10}/16 0{i % 10}" for i in range(60)
    ]  # the middle number goes to and fro
    _, profile = proposed([{"DATETIME": at, "v": i % 7 / 3} for i, at in enumerate(days)])
    assert profile.time.format == "strptime:%m/%d/%y %H"
    text, profile = proposed([{"DATETIME": f"05/05/16 {i % 24:02}", "v": i % 7 / 3} for i in range(24)])
    assert profile.time.format == "strptime:%d/%m/%y %H"
    assert "# check: %m/%d/%y %H would fit as well" in text


def test_a_second_time_is_no_feature_and_a_rare_lack_of_time_is_said() -> None:
    records = [{"ts": 1.7e9 + i, "received_at": 1_700_000_000_100 + i * 1000, "v": i % 7 / 3} for i in range(100)]
    text, profile = proposed(records)
    assert (profile.time.field, fields(profile), profile.sampling_period_s) == ("ts", {"v"}, 1.0)
    assert "#   received_at: a time (unix_ms); [time] reads ts" in text
    del records[50]["ts"]
    assert "# check: missing in 1 of 100 records, which are refused" in propose(records, "x").text


# -- what may be a feature -------------------------------------------------------------------------------


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e6), st.integers(2, 50))
def test_a_range_holds_what_was_seen(start: float, width: float, n: int) -> None:
    values = [start + width * i / n for i in range(n + 1)]
    records = [{"v": v, "other": i % 3} for i, v in enumerate(values)]
    for numeric in parse_profile(propose(records, "x").text).numeric:
        if numeric.field == "v":
            assert numeric.feature.minimum <= min(values)
            assert numeric.feature.maximum >= max(values)
            assert numeric.feature.maximum - numeric.feature.minimum <= 2.5 * (max(values) - min(values)) + 1


def test_names_that_a_profile_cannot_have_and_names_that_would_be_equal() -> None:
    records = [
        {"": i % 7, "$.a": 1, "a": {"b.c": i % 5, "t": i % 7 / 3}, "b": {"t": i % 9 / 3}, "u": {}, "w": [{"n": 1}]}
        for i in range(40)
    ]
    text, profile = proposed(records)
    assert {f.feature.name for f in profile.numeric} == {"a.t", "b.t"}
    assert text.count("cannot be named") == 3
    assert "#   w: holds arrays of objects: take them apart, one a message" in text


def test_numbers_in_quotes_codes_and_switches() -> None:
    records = [
        {"load": f"{i / 7:.3f}", "proto": (6, 17, 1)[i % 3], "on": i % 2, "t": i % 13 / 3} for i in range(60)
    ]
    text, profile = proposed(records)
    assert "#   load: numbers in quotes: a number must be sent without them" in text
    assert "# check: 6 (20), 17 (20), 1 (20): a code rather than a measure?" in text
    switch = next(f.feature for f in profile.numeric if f.field == "on")
    assert (switch.minimum, switch.maximum) == (0, 1)


def test_entities_of_numbers_and_addresses() -> None:
    _, profile = proposed([{"machine_id": i % 4, "unit": "bar", "online": "yes", "v": i / 7} for i in range(60)])
    assert profile.entity == "machine_id"
    _, profile = proposed([{"id.orig_h": f"10.0.0.{i % 9}", "proto": "tcp", "v": i / 7} for i in range(60)])
    assert profile.entity == "id.orig_h"
    text, profile = proposed([{"uid": f"C{i * i}", "v": i / 7} for i in range(60)])
    assert profile.entity is None
    assert '# context = ["uid"]  # check: shown in alerts' in text


def test_messages_of_several_kinds_are_accepted_and_said() -> None:
    kinds = {"cpu": ("idle", "user", "system"), "mem": ("used", "free", "cached"), "disk": ("total", "inodes")}
    names = ("cpu", "mem", "disk")
    records = [
        {
            "name": names[i % 3],
            "timestamp": 1458229140 + i,
            "tags": {"host": "a"},
            "fields": dict.fromkeys(kinds[names[i % 3]], 1.5 + i % 7),
        }
        for i in range(90)
    ]
    text, _ = proposed(records)
    assert "# check: messages of several kinds, by name: cpu (30), mem (30), disk (30)" in text
    assert "max_missing_share = 0.67  # check" in text


# -- one tag a message -----------------------------------------------------------------------------------


def test_one_tag_a_message_becomes_the_long_layout() -> None:
    sent = [m for r in plant_records(600) for m in tag_records(r)]
    text, profile = proposed(sent)
    assert profile.long is not None
    assert (profile.long.tag, profile.long.value, profile.entity, profile.time.field) == (
        "tag",
        "value",
        "machine",
        "time",
    )
    assert fields(profile) == {"flow", "level", "pressure", "power", "mode"}
    assert profile.label is not None
    assert (
        "messages taken into"
        in check(profile, [Line(json.dumps(m).encode(), i) for i, m in enumerate(sent)])[0][0]
    )
    assert "a tag came every" in text


COLLECTORS = {
    "telegraf": lambda tag, v, t: {
        "fields": {"value": v},
        "name": "mqtt_consumer",
        "tags": {"host": "gateway", "topic": f"plant/press/{tag}"},
        "timestamp": t,
    },
    "opc": lambda tag, v, t: {
        "NodeId": f"nsu=http://microsoft.com/Opc/OpcPlc/;s={tag}",
        "EndpointUrl": "opc.tcp://opcplc:50000/",
        "ApplicationUri": "urn:OpcPlc:opcplc",
        "DisplayName": tag,
        "Timestamp": f"2022-03-18T12:{t // 60 % 60:02}:{t % 60:02}.137703Z",
        "Value": {"Value": v, "SourceTimestamp": f"2022-03-18T12:{t // 60 % 60:02}:{t % 60:02}.1327544Z"},
        "SequenceNumber": t,
    },
    "sparkplug": lambda tag, v, t: {
        "group_id": "plant",
        "edge_node_id": "line 1",
        "device_id": "press",
        "name": f"Inputs/{tag}",
        "timestamp": t * 1000 + 122,
        "datatype": "Float",
        "value": v,
    },
    "ours": lambda tag, v, t: {"tag": tag, "value": v, "ts": t, "unit": {"a": "bar", "b": "°C"}.get(tag, "mm")},
}
EXPECTED = {
    "telegraf": ("$.tags.topic", "$.fields.value", "timestamp", "$.tags.host"),
    "opc": ("DisplayName", "$.Value.Value", "$.Value.SourceTimestamp", "ApplicationUri"),
    "sparkplug": ("name", "value", "timestamp", "device_id"),
    "ours": ("tag", "value", "ts", None),
}


@pytest.mark.parametrize("collector", COLLECTORS)
def test_collectors_of_one_tag_a_message(collector: str) -> None:
    t0 = 1_700_000_000
    sent = [
        COLLECTORS[collector](tag, (i * 7 % 11) / 3 + j, t0 + 5 * i)
        for i in range(120)
        for j, tag in enumerate("abc")
    ]
    text, profile = proposed(sent)
    assert profile.long is not None
    found = (profile.long.tag, profile.long.value, profile.time.field, profile.entity)
    assert found == EXPECTED[collector]
    assert (len(profile.numeric), profile.long.tick_s) == (3, 5), text
    if collector == "ours":
        assert {f.feature.unit for f in profile.numeric} == {"bar", "°C", "mm"}


# -- files -----------------------------------------------------------------------------------------------


def test_a_file_without_names_of_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kdd.csv").write_text("0,tcp,http,SF,181,normal.\n0,udp,private,SF,105,normal.\n")
    with pytest.raises(
        DataError, match=r"first line is data, not the columns' names: 0, tcp, http, SF, 181, normal"
    ):
        from_file(str(tmp_path / "kdd.csv"), 10)
    (tmp_path / "index.csv").write_text(
        ",year,2019\n0,a,1.5\n1,b,2.5\n"
    )  # an index without a name, a year for a name
    assert len(from_file(str(tmp_path / "index.csv"), 10).records) == 2


def test_odd_csv_files_are_read_as_a_replay_reads_them_and_said(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_bytes(b"a; b; a;name\n1,5;Infinity;9;x\xe9\n-2,25;NaN;9;None\n3;NA;9\n")
    found = from_file(str(tmp_path / "odd.csv"), 10)
    rows = [json.loads(line.value or b"") for line in found.records]
    assert rows[0] == {"a": 1.5, "b": "Infinity", "name": "xé"}
    assert rows[1]["name"] == "None"
    assert found.notes == [
        "column 'a' stands 2 times: the first one counts, as in a replay",
        "1 of 3 lines have more or fewer cells than the header's 4, e.g. line 4",
    ]
    (tmp_path / "flow.csv").write_text("rate,n\nInfinity,1\n2.5,2\nNaN,3\n7,4\n")
    rows = [json.loads(line.value or b"") for line in from_file(str(tmp_path / "flow.csv"), 10).records]
    assert [row["rate"] for row in rows] == [None, 2.5, None, 7]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'[{"a": 1}]\n', "a JSON array; write one object a line"),
        (b'{\n"a": 1\n}\n', "JSON over several lines"),
        (b"a\tb\n1\t2\n", "one column only"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"PK\x03\x04", "workbook or zip"),
        (b"a\0b\n", "is binary"),
        (b"\n\n", "empty"),
        (b"a,b\n", "no records"),
    ],
)
def test_what_is_no_such_file_says_so(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        from_file(str(tmp_path / "x.csv"), 10)


def test_parquet_and_folders(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"at": [datetime(2024, 5, 1, 10, 0, i, tzinfo=UTC) for i in range(3)], "v": [1.5, None, 2.5]})
    parquet.write_table(table, tmp_path / "part-2.parquet")
    parquet.write_table(table, tmp_path / "part-10.parquet")
    found = from_file(str(tmp_path), 2)
    assert found.notes == ["the first of 2 files: part-2.parquet"]
    assert [json.loads(line.value or b"") for line in found.records] == [
        {"at": "2024-05-01T10:00:00+00:00", "v": 1.5},
        {"at": "2024-05-01T10:00:01+00:00", "v": None},
    ]
