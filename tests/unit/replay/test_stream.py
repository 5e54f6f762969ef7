"""Rows, loops, times, splits and resumption, on small files of a plant of our own."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.replay.messages import joined
from services.replay.options import ReplayOptions
from services.replay.position import Position, PositionFile, fingerprint
from services.replay.share import Passed
from services.replay.stream import FileStream
from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.loaders.inputs import Input
from streamgauge.profiles.profile import load_profile
from tests.support.replayed import NOW_S, chunks_of, messages_of, objects_of, options_of

PROFILE = """
name = "pump"
title = "A pump"
missing = "last:60"
{time}
[entity]
field = "pump"
[label]
field = "fault"
normal = ["0"]
attack_type = "fault"
[[numeric]]
field = "FIT101"
min = 0
max = 1000
[[numeric]]
field = "LIT201"
min = 0
max = 1000
[[categorical]]
field = "mode"
categories = ["a", "b"]
missing = "mask"
"""
TIMED, TIMELESS = '[time]\nfield = "t"\nformat = "unix_s"', '[time]\nsource = "message"'


@pytest.fixture
def pump(tmp_path: Path) -> Path:
    """12 records of 3 pumps in two files that overlap in time; FIT101 is the number of the record."""
    (tmp_path / "timed.toml").write_text(PROFILE.format(time=TIMED))
    (tmp_path / "timeless.toml").write_text(PROFILE.format(time=TIMELESS))
    (tmp_path / "unpacked").mkdir()
    for name, numbers in (("b", range(0, 12, 2)), ("a", range(1, 12, 2))):
        rows = [f"{1000 + k},p{k % 3},{k},{10 * k},{'ab'[k % 2]},{k % 4 // 3}" for k in numbers]
        (tmp_path / f"{name}.csv").write_text("\n".join(["t,pump,FIT101,LIT201,mode,fault", *rows, ""]))
    return tmp_path


def options(pump: Path, profile: str = "timed", **changes: Any) -> ReplayOptions:
    return options_of(str(pump / f"{profile}.toml"), [pump / "*.csv"], **changes)


def numbers(pump: Path, **changes: Any) -> list[int]:
    return [int(record["FIT101"]) for record in objects_of(options(pump, **changes), pump / "unpacked")]


def test_files_come_in_order_of_time_and_rows_can_be_chosen(pump: Path) -> None:
    assert numbers(pump) == list(range(12))
    assert numbers(pump, start_row=3, stop_row=7) == [3, 4, 5, 6]
    assert numbers(pump, profile="timeless") == [*range(1, 12, 2), *range(0, 12, 2)], "as the files have them"
    with pytest.raises(DataError, match="no record from --start-row on"):
        numbers(pump, start_row=12)


def times(pump: Path, **changes: Any) -> list[float]:
    return [t for chunk in chunks_of(options(pump, **changes), pump / "unpacked") for t in chunk.times.tolist()]


def test_times_are_the_datas_own_or_shifted_and_go_on_over_loops(pump: Path) -> None:
    assert times(pump) == [1000.0 + k for k in range(12)]
    assert times(pump, times="now") == [NOW_S + k for k in range(12)]
    assert times(pump, times="now-1h", stop_row=2) == [NOW_S - 3600, NOW_S - 3599]
    assert times(pump, times="2026-01-01T00:00:00", stop_row=1) == [1767225600.0]
    assert times(pump, loops=2) == [1000.0 + k for k in range(24)]
    assert times(pump, profile="timeless", rate="4/s", speed="2x", stop_row=3) == [NOW_S, NOW_S + 0.5, NOW_S + 1]
    assert times(pump, profile="timeless", every="10s", stop_row=2, loops=2) == [NOW_S + 10 * k for k in range(4)]


def test_an_entity_keeps_to_a_partition_and_the_time_is_the_messages_too(pump: Path) -> None:
    messages = reduce(joined, messages_of(options(pump), pump / "unpacked"))
    assert len({(key, part) for key, part in zip(messages.keys, messages.partitions, strict=True)}) == 3
    assert messages.stamps_ms[:2] == [1_000_000, 1_001_000]
    assert [dict(h)["sg_truth"] for h in messages.headers[2:4]] == [
        b'{"label": "normal", "attack": false}',
        b'{"label": "1", "attack": true}',
    ]


def by_site(pump: Path, **changes: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for messages in messages_of(options(pump, **changes), pump / "unpacked"):
        for topic, row in zip(messages.topics, messages.rows.tolist(), strict=True):
            found.setdefault(topic, []).append(row)
    return found


def test_split_by_entity(pump: Path) -> None:
    found = by_site(pump, sites="2", split="entity")
    assert found == {
        "site-1.records": [0, 2, 3, 5, 6, 8, 9, 11],
        "site-2.records": [1, 4, 7, 10],
    }, "three pumps in turn"


def test_split_by_stage_gives_every_site_its_tags_of_every_record(pump: Path) -> None:
    chosen = options(pump, sites="two,one", split="stage")
    first, second, *_ = objects_of(chosen, pump / "unpacked")
    assert first == {"t": 1000.0, "pump": "p0", "FIT101": 0.0, "mode": "a"}
    assert second == {"t": 1000.0, "pump": "p0", "LIT201": 0.0, "mode": "a"}
    assert {topic: len(rows) for topic, rows in by_site(pump, sites="2", split="stage").items()} == {
        "site-1.records": 12,
        "site-2.records": 12,
    }
    with pytest.raises(ConfigurationError, match=r"stages 1, 2 .* --sites must be 2, not 3"):
        by_site(pump, sites="3", split="stage")


def test_split_by_time_lets_consecutive_parts_run_side_by_side(pump: Path) -> None:
    chunks = chunks_of(options(pump, sites="3", split="time"), pump / "unpacked")
    sent: list[tuple[int, float, float]] = []
    for chunk in chunks:
        assert chunk.sites is not None
        fields = (chunk.sites, chunk.table.columns["FIT101"], chunk.times)
        sent += zip(*(field.tolist() for field in fields), strict=True)
    for site in range(3):
        of = [(number, time) for s, number, time in sent if s == site]
        assert of == [(4 * site + k, 1000.0 + k) for k in range(4)]
    assert len(times(pump, profile="timeless", sites="3", split="time")) == 12


def test_split_by_dirichlet_is_uneven_by_value_and_the_same_for_a_seed(pump: Path) -> None:
    found = by_site(pump, sites="2", split="dirichlet:0.05:mode", seed=3)
    assert sorted(row for rows in found.values() for row in rows) == list(range(12))
    assert found == by_site(pump, sites="2", split="dirichlet:0.05:mode", seed=3)
    assert any(found != by_site(pump, sites="2", split="dirichlet:0.05:mode", seed=seed) for seed in range(4, 9))
    with pytest.raises(ConfigurationError, match="'modus' is no column"):
        by_site(pump, sites="2", split="dirichlet:0.3:modus")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loops": 3, "times": "now"},
        {"start_row": 2, "stop_row": 9, "loops": 2},
        {"sites": "2", "split": "dirichlet:0.5:fault"},
        {"sites": "3", "split": "time"},
        {"profile": "timeless", "loops": 2},
    ],
)
def test_from_any_position_on_the_rest_is_sent_as_without_the_interruption(
    pump: Path, changes: dict[str, Any]
) -> None:
    chosen, profile = options(pump, **changes), load_profile(options(pump, **changes).profile)
    inputs = [Input(f"{name}.csv", pump / f"{name}.csv") for name in "ab"]

    def sent(stream: FileStream, begin: Position) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for chunk in stream.chunks(begin):
            assert chunk.sites is not None
            fields = (chunk.table.columns["FIT101"], chunk.times, chunk.sites)
            rows += zip(*(field.tolist() for field in fields), strict=True)
        return rows

    def stream(now_s: float) -> FileStream:
        return FileStream(chosen, profile, inputs, now_s, Passed())

    whole = sent(stream(NOW_S), Position())
    for row in range(1, len(whole)):
        before = stream(NOW_S)
        for chunk in before.chunks(Position()):
            if chunk.first_row + len(chunk) > row:
                break
        assert sent(stream(NOW_S + 999), before.position_of(row)) == whole[row:], "now is when it first began"


def test_a_position_is_kept_and_refused_for_other_files(tmp_path: Path, pump: Path) -> None:
    inputs = [Input("a.csv", pump / "a.csv")]
    path, of = tmp_path / "position.json", fingerprint(options(pump), inputs)
    file = PositionFile(path, of)
    assert file.read() == Position()
    file.write(Position(7, 1, 4, 0.5))
    assert PositionFile(path, of).read() == Position(7, 1, 4, 0.5)
    assert not file.all_sent()
    assert fingerprint(options(pump, speed="9x"), inputs) == of, "it may go on at another speed"
    with pytest.raises(ConfigurationError, match="other files or options"):
        PositionFile(path, fingerprint(options(pump, seed=1), inputs)).read()
    path.write_text("[]")
    with pytest.raises(ConfigurationError, match="is no position"):
        file.read()
    file.write(Position(9), done=True)
    assert file.all_sent()
    with pytest.raises(ConfigurationError, match="other files or options"):
        PositionFile(path, fingerprint(options(pump, seed=1), inputs)).all_sent()
    path.unlink()
    assert not file.all_sent()
    assert file.read() == Position()


def test_without_labels_and_with_a_broken_time(pump: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("t,pump,FIT101,LIT201,mode\n1000,p,1,1,a\nx,p,2,,b\n")
    chosen = options_of(str(pump / "timed.toml"), [path])
    records = objects_of(chosen, pump / "unpacked")
    assert [record["t"] for record in records] == [1000.0, None], "the node says that it is missing"
    assert records[1]["LIT201"] is None
    (messages,) = messages_of(chosen, pump / "unpacked")
    assert messages.headers == [(), ()]
    assert messages.stamps_ms == [1_000_000, 1_000_000]


def test_a_columnar_message_holds_what_its_json_records_would(pump: Path) -> None:
    import pyarrow as pa

    messages = reduce(joined, messages_of(options(pump, columnar=5, topic="x"), pump / "unpacked"))
    assert messages.counts.sum() == 12
    assert 1 < messages.counts.max() <= 5
    assert set(messages.headers) == {(("content-type", b"application/vnd.apache.arrow.stream"),)}
    rows: list[dict[str, Any]] = []
    for value in messages.values:
        table = pa.ipc.open_stream(value).read_all()
        assert [str(field.type) for field in table.schema] == ["double", "string", "double", "double", "string"]
        rows += table.to_pylist()
    rows.sort(key=lambda row: float(row["t"]))
    assert rows == objects_of(options(pump), pump / "unpacked")
    assert (np.diff(messages.due) >= 0).all()


LONG = '\nlayout = "long"\n[long]\ntag = "tag"\nvalue = "value"\ntick_s = 1\n[time]'


def test_a_long_profile_sends_one_tag_a_message_from_either_kind_of_file(pump: Path) -> None:
    profile = pump / "long.toml"
    profile.write_text((pump / "timed.toml").read_text().replace("\n[time]", LONG))
    unpacked = pump / "unpacked"
    wide = options_of(str(profile), [pump / "*.csv"], send_labels=True, stop_row=2, topic="x")
    sent = objects_of(wide, unpacked)
    assert sent[:3] == [
        {"t": 1000.0, "pump": "p0", "tag": "FIT101", "value": 0.0, "fault": "0"},
        {"t": 1000.0, "pump": "p0", "tag": "LIT201", "value": 0.0, "fault": "0"},
        {"t": 1000.0, "pump": "p0", "tag": "mode", "value": "a", "fault": "0"},
    ]
    (messages,) = messages_of(wide, unpacked)
    assert messages.rows.tolist() == [0, 0, 0, 1, 1, 1]
    assert messages.counts.tolist() == [1, 0, 0, 1, 0, 0], "a row is one record"
    assert messages.keys == [b"p0"] * 3 + [b"p1"] * 3
    (pump / "long").mkdir()
    lines = [f"{r['t']},{r['pump']},{r['tag']},{r['value']},{r['fault']}" for r in sent]
    (pump / "long" / "a.csv").write_text("\n".join(["t,pump,tag,value,fault", *lines, "1002,p2,other,on,0", ""]))
    long = options_of(str(profile), [pump / "long"], send_labels=True, topic="x")
    assert objects_of(long, unpacked)[:6] == sent
    assert objects_of(long, unpacked)[6]["value"] == "on"
    by_stage = options_of(str(profile), [pump / "long"], sites="2", split="stage")
    assert [r["tag"] for r in objects_of(by_stage, unpacked)] == ["FIT101", "LIT201", "mode", "mode"] * 2
    stuck = options_of(str(profile), [pump / "long"], faults=["stuck:FIT101:0.1:5s"])
    with pytest.raises(ConfigurationError, match=r"--fault stuck: .* hold one tag a line"):
        objects_of(stuck, unpacked)
    with pytest.raises(ConfigurationError, match="some of the files"):
        objects_of(options_of(str(profile), [pump / "*.csv", pump / "long"]), unpacked)
    with pytest.raises(ConfigurationError, match="--columnar 5: profile 'pump' has layout = 'long'"):
        options_of(str(profile), [pump / "long"], columnar=5)
    (pump / "long" / "a.csv").write_text("t,pump,tag,value,fault\n1000,p0,FIT101,wet,0\n")
    with pytest.raises(DataError, match="wet"):
        objects_of(long, unpacked)
