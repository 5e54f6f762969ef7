"""A profile proposed for unknown records, and what a profile makes of records."""

from __future__ import annotations

import csv
import gzip
import json
import runpy
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services.cli
from services.profile_tools.command import check_source, from_topic, infer
from services.profile_tools.files import Line, from_file
from services.runtime.errors import TopicError
from services.runtime.log import Outgoing
from services.runtime.memory import MemoryBroker
from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.checking import check
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.inferring import propose
from streamgauge.profiles.profile import load_profile, parse_profile
from tests.support.columnar import columnar_messages
from tests.support.plant import LONG_PROFILE, PROFILE, plant_profile, plant_records, tag_records, write_profile
from tests.unit.edge_node.kit import good

RECORDS: list[dict[str, Any]] = [
    {
        **r,
        "site": "north",
        "serial": 1000 + i,
        "ticket": f"T-{i}-{i * i}",
        "tags": [1],
        "nothing": None,
        "env": {"t": i % 7},
    }
    for i, r in enumerate(plant_records(300))
]


def lines(records: list[Any]) -> list[Line]:
    return [Line(json.dumps(r).encode(), i) for i, r in enumerate(records, 1)]


def test_a_proposal_reads_its_own_records_and_says_why() -> None:
    text = propose(RECORDS, "plant").text
    profile = parse_profile(text)
    assert (profile.time.field, profile.time.format, profile.entity) == ("time", "unix_s", "machine")
    assert {f.field for f in profile.numeric} == {"flow", "level", "pressure", "power", "$.env.t"}
    assert {f.field: f.feature.categories for f in profile.categorical} == {
        "asset": ("hall 0", "hall 1"),
        "mode": ("auto", "manual"),
    }
    assert profile.label is not None
    assert (profile.label.field, profile.label.normal) == ("label", ("ok",))
    assert "#   site: constant: north" in text
    assert "#   serial: like an id or a counter" in text
    assert "#   ticket: like an id: 300 different texts" in text
    assert "#   tags: holds arrays" in text
    assert "#   nothing: always null" in text
    assert "# auto (" in text
    decoded = Decoder(profile).decode(lines(RECORDS))
    assert decoded.rejected == []
    for j, numeric in enumerate(profile.numeric):
        column = decoded.values[:, j]
        assert not ((column < numeric.feature.minimum) | (column > numeric.feature.maximum)).any()


TIMES = [
    ("2024-05-01T10:00:{:02}Z", "iso8601"),
    ("01/05/2024 10:00:{:02}", "strptime:%d/%m/%Y %H:%M:%S"),
    ("13/05/2024 10:00:{:02} AM", "strptime:%d/%m/%Y %I:%M:%S %p"),
    ("05/13/2024 10:00:{:02}", "strptime:%m/%d/%Y %H:%M:%S"),
    ("13-May-24 10:00:{:02}", "strptime:%d-%b-%y %H:%M:%S"),
    ("2024/05/01 10:00:{:02}.250", "strptime:%Y/%m/%d %H:%M:%S.%f"),
]


@pytest.mark.parametrize(("written", "format_"), TIMES)
def test_formats_of_time(written: str, format_: str) -> None:
    records = [{"Timestamp": written.format(i), "host": "a", "v": i % 7 / 3} for i in range(50)]
    assert parse_profile(propose(records, "x").text).time.format == format_
    for units, unix in ((1, "unix_s"), (10**3, "unix_ms"), (10**6, "unix_us"), (10**9, "unix_ns")):
        epochs = [{"ts": (1_700_000_000 + i) * units, "host": "a", "v": i % 7 / 3} for i in range(50)]
        assert parse_profile(propose(epochs, "x").text).time.format == unix
    numbers = [{"ts": str(1_700_000_000_000 + i), "host": "a", "v": i % 7 / 3} for i in range(50)]
    assert parse_profile(propose(numbers, "x").text).time.format == "unix_ms"
    assert parse_profile(propose([{"v": i % 7} for i in range(50)], "x").text).time.field is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.floats(-1e9, 1e9), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=5), min_size=1, max_size=12))
def test_whatever_the_records_the_proposal_is_a_profile(records: list[dict[str, Any]]) -> None:
    try:
        text = propose(records, "any").text
    except DataError:  # nothing that could be a feature
        return
    parse_profile(text)


def test_check_says_what_becomes_of_records() -> None:
    odd = [good(1, flow=99), good(2, mode="chaos"), good(3, flow=None), good(4, power=None), good(5, time="soon")]
    told, accepted = check(plant_profile(), lines([good(0), *odd, {"x": 1}]))
    text = "\n".join(told)
    assert not accepted
    assert told[0] == "4 of 7 records accepted"
    assert "rejected: 1 missing-field\n    line 5: 'power' is missing and its rule is 'reject'" in text
    assert "rejected: 1 bad-time\n    line 6: 'soon'" in text
    assert "imputed by last: flow in 1 of 4, e.g. line 4" in text
    assert "clipped: flow in 1 of 4, e.g. line 2; seen 0.1 to 99, allowed -10 to 10" in text
    assert "labels: 4 normal, 0 abnormal, 0 without" in text
    assert "other: mode in 1: chaos (1)" in text
    assert "entities: 1: machine-0 (4)" in text
    assert "ignored fields: x" in text
    assert check(plant_profile(), lines([good(0)]))[1]


def test_check_of_a_topic_refuses_what_a_node_refuses_as_ahead() -> None:
    sent = [(good(i), int(good(i)["time"] * 1000) - 7_200_000) for i in range(3)]
    ahead = [Line(json.dumps(record).encode(), i, b"k", at) for i, (record, at) in enumerate(sent)]
    assert check(plant_profile(), ahead)[1]
    told, accepted = check(plant_profile(), ahead, max_ahead_s=3600.0)
    assert not accepted
    assert "rejected: 3 bad-time" in told
    assert "7200 s after the message's own timestamp; allowed: 3600 (3 times)" in told[2]


def test_check_of_one_tag_a_message() -> None:
    sent = [m for r in plant_records(50) for m in tag_records(r)]
    sent += [{**sent[0], "tag": "else"}, {**sent[-1], "value": [1]}]
    text = "\n".join(check(parse_profile(LONG_PROFILE), lines(sent))[0])
    assert f"of {len(sent)} messages taken into 50 ticks; 0 late, 1 of tags that the profile does not name" in text
    assert "rejected: 1 wrong-type" in text
    assert "ignored tags: else (1)" in text


def test_a_topic_of_arrow_streams_is_looked_at_by_its_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broker = MemoryBroker()
    broker.create_topic("records", 2, 1 << 24)
    bad = {**plant_records(1)[0], "power": None}
    broker.producer().deliver(columnar_messages("records", [*plant_records(300), bad], 2, 50))
    monkeypatch.setenv("STREAMGAUGE_EDGE_RECORDS__BOOTSTRAP_SERVERS", "here:1")
    monkeypatch.setattr("services.profile_tools.command.open_consumer", lambda *_, **__: broker.consumer(None))
    assert infer("records", 1000, None, None) == 0
    (tmp_path / "proposed.toml").write_text(capsys.readouterr().out)
    assert check_source(str(tmp_path / "proposed.toml"), "records", 1000, None) == 0
    assert capsys.readouterr().out.startswith("301 of 301 rows accepted, in ")
    (tmp_path / "plant.toml").write_text(PROFILE)
    assert check_source(str(tmp_path / "plant.toml"), "records", 1000, None) == 1
    told = capsys.readouterr().out
    assert "300 of 301 rows accepted, in " in told
    assert "rejected: 1 missing-field\n    partition " in told


def test_check_of_a_topic_reads_each_partition_by_itself() -> None:
    broker = MemoryBroker()
    broker.create_topic("records", 2, 1 << 20)
    one = [m for r in plant_records(60) for m in tag_records(r)]
    lacking = [{**tag_records(good(1000))[0], "time": 1_760_000_000.0}]
    by_partition = [(0, r) for r in one] + [(1, {**r, "machine": "other"}) for r in (*one, *lacking)]
    sent = [Outgoing("records", b"k", json.dumps(r).encode(), (), number) for number, r in by_partition]
    broker.producer().deliver([*sent, Outgoing("records", b"k", b"{", (), 1)])
    profile = parse_profile(LONG_PROFILE.replace('missing = "last:600"', "").replace('missing = "mask"', ""))
    told, accepted = check(profile, from_topic(broker.consumer(None), "records", 5000))
    text = "\n".join(told)
    assert not accepted
    assert "taken into 121 ticks; 0 late" in text
    assert "    other at 2025-10-09T08:53:20.000: lacks " in text
    assert f"partition 1, offset {len(one) + 1}: " in text


def test_all_mistakes_at_once() -> None:
    wrong = PROFILE.replace('format = "unix_s"', 'format = "unix"').replace("min = 0", 'min = "0"')
    wrong = wrong.replace('categories = ["auto", "manual"]', "categories = 3") + "\n[more]\n[most]\n"
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(wrong, "plant.toml")
    said = str(caught.value).splitlines()
    assert len(said) == 5
    for part in ("format = 'unix'", "min = '0'", "categories = 3", "unknown key 'more'", "unknown key 'most'"):
        assert any(part in line for line in said), part


def test_files_of_lines_and_csv_and_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonl = tmp_path / "press.jsonl.gz"
    jsonl.write_bytes(gzip.compress(b"\n".join(line.value or b"" for line in lines(RECORDS)) + b"\n{broken\n"))
    assert infer(str(jsonl), 301, None, None) == 0
    proposal = tmp_path / "press.toml"
    told = capsys.readouterr()
    proposal.write_text(told.out)
    assert told.err.splitlines()[:2] == [
        "note: 1 of 301 records are no JSON objects",
        "note: only the first 301 records were looked at; --limit takes more",
    ]
    assert told.err.splitlines()[2].startswith(
        "proposed from 300 records: 5 numeric and 2 categorical features; time time"
    )
    assert load_profile(proposal).name == "press"
    assert check_source(str(proposal), str(jsonl), 1000, None) == 1
    checked = capsys.readouterr().out
    assert "300 of 301 records accepted" in checked
    assert "line 301: " in checked
    table = tmp_path / "t.csv"
    table.write_text("\ufefftime;host; level;code\n2024-05-01 10:00:00;a;1.5;007\n2024-05-01 10:00:01;a;;008\n")
    first, second = (json.loads(line.value or b"") for line in from_file(str(table), 10).records)
    assert first == {"time": "2024-05-01 10:00:00", "host": "a", "level": 1.5, "code": "007"}
    assert second["level"] is None
    assert infer(str(tmp_path / "none.csv"), 10, None, None) == 2
    assert "no such file" in capsys.readouterr().err
    (tmp_path / "bad.toml").write_text("name = 1\n")
    assert check_source(str(tmp_path / "bad.toml"), str(table), 10, None) == 1
    assert len(capsys.readouterr().err.splitlines()) == 5  # name, title, time, entity, no features


def test_one_bad_cell_of_a_csv_is_one_bad_record_as_in_json_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = write_profile(tmp_path)
    records = plant_records(50)
    records[38]["pressure"] = "n/a"  # line 39 of JSON lines, 40 below a header
    for bad in (1, 40):  # few or most of a column that the profile reads as numbers
        for record in records[:bad]:
            record["level"] = "" if bad == 1 else "1,234.5"
        names = list(records[0])
        with (tmp_path / "p.csv").open("w", newline="") as file:
            csv.DictWriter(file, names).writeheader()
            csv.DictWriter(file, names).writerows(records)
        jsonl = [{k: None if v == "" else v for k, v in record.items()} for record in records]
        (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, jsonl)))
        assert check_source(str(profile), str(tmp_path / "p.csv"), 100, None) == 1
        of_csv = capsys.readouterr().out
        assert check_source(str(profile), str(tmp_path / "p.jsonl"), 100, None) == 1
        of_json = capsys.readouterr().out
        assert of_csv.splitlines()[0] == of_json.splitlines()[0]
        if bad == 1:
            assert of_csv.startswith("49 of 50 records accepted")
            assert "line 40: " in of_csv
        else:
            assert of_csv.startswith("10 of 50 records accepted")


def test_a_few_bad_cells_of_a_csv_leave_their_columns_what_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = plant_records(1000)
    for record in records:
        record["time"] = datetime.fromtimestamp(record["time"], UTC).strftime("%d/%m/%Y %H:%M:%S")
        record["label"] = "attack" if record["label"] != "ok" else "0"
    for i in range(32, 1000, 200):
        records[i]["pressure"] = "n/a"  # lines 34, 234, ...
    records[7]["flow"], records[8]["flow"], records[9]["level"] = "1,234.5", "", ""
    records[499]["time"] = "2024-05-01T10:00:00Z"
    with (tmp_path / "messy.csv").open("w", newline="") as file:
        csv.DictWriter(file, list(records[0])).writeheader()
        csv.DictWriter(file, list(records[0])).writerows(records)
    assert infer(str(tmp_path / "messy.csv"), 1000, None, None) == 0
    text = capsys.readouterr().out
    profile = parse_profile(text)
    assert {f.field for f in profile.numeric} == {"flow", "level", "pressure", "power"}
    assert (profile.time.field, profile.time.format) == ("time", "strptime:%d/%m/%Y %H:%M:%S")
    assert profile.label is not None
    assert (profile.label.field, profile.label.normal) == ("label", ("0",))
    assert "# check: 5 of 1000 are not numbers: n/a, e.g. line 34;" in text
    assert "# check: 1 of 1000 are not numbers: 1,234.5, e.g. line 9;" in text
    assert "# check: 1 of 1000 are not such times: 2024-05-01T10:00:00Z, e.g. line 501;" in text
    lacking = sum(record.get("pressure") in ("", None) for record in records)
    assert f", missing in {lacking} of 1000; check the range: what the sensor can show\n# check: 5 of" in text
    (tmp_path / "messy.toml").write_text(text)
    assert check_source(str(tmp_path / "messy.toml"), str(tmp_path / "messy.csv"), 1000, None) == 1
    assert capsys.readouterr().out.startswith("993 of 1000 records accepted")


def test_codes_with_a_few_texts_among_them_are_no_measures() -> None:
    codes = [{"host": "a", "v": i / 7, "code": i % 5 if i % 50 else "x"} for i in range(500)]
    assert "#   code: holds number (490), text (10)" in propose(codes, "x").text
    measures = [{"host": "a", "v": i / 7 if i % 50 else "x"} for i in range(500)]
    assert "# check: 10 of 500 are not numbers: x, e.g. record 1;" in propose(measures, "x").text
    labels = [{**r, "label": i if i % 50 else "x"} for i, r in enumerate(codes)]
    assert not any(f.field == "label" for f in parse_profile(propose(labels, "x").text).numeric)


def test_many_categories_are_some_and_too_many_are_none() -> None:
    some = [{"host": "a", "v": i / 7, "service": f"s{i % 58}", "id": f"{i % 150}x"} for i in range(500)]
    text = propose(some, "x").text
    (category,) = parse_profile(text).categorical
    assert len(category.feature.categories) == 58
    assert "#   id: 150 different texts are too many for categories" in text


def test_the_module_run_as_a_program_knows_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (("profile", "infer"), ("profile", "check"), ("dead-letters", "replay")):
        monkeypatch.setattr(sys, "argv", ["streamgauge", *command, "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(services.cli.__file__), run_name="__main__")
        assert ended.value.code == 0


def test_a_topic_gives_its_newest_records() -> None:
    broker = MemoryBroker()
    broker.create_topic("records", 2, 1 << 20)
    sent = [Outgoing("records", b"k", line.value, (), i % 2) for i, line in enumerate(lines(RECORDS))]
    broker.producer().deliver(sent)
    found = from_topic(broker.consumer(None), "records", 100)
    assert [record.value for record in found] == [r.value for r in (*sent[200::2], *sent[201::2])]
    with pytest.raises(TopicError, match="no topic"):
        from_topic(broker.consumer(None), "other", 100)


def test_all_mistakes_of_one_table_and_between_tables_at_once() -> None:
    wrong = PROFILE.replace(
        'field = "flow"\nmin = -10\nmax = 10', 'field = "flow"\nmin = "x"\nmaxx = 10\nunit = 3'
    )
    wrong = wrong.replace('field = "mode"\n', 'field = "time"\n').replace(
        'missing = "constant:0"', 'missing = "constant:no"'
    )
    wrong = wrong.replace('field = "pressure"', 'field = "power"').replace('normal = ["ok"]', 'normal = "ok"')
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(wrong, "plant.toml")
    said = str(caught.value).splitlines()
    parts = ["min = 'x'", "'max' is missing", "unknown key 'maxx'", "unit = 3", "normal = 'ok'"]
    parts += ["field 'power' feeds two features", "'time' is the time and a feature", "missing = 'constant:no'"]
    assert len(said) == len(parts), said
    for part in parts:
        assert sum(part in line for line in said) == 1, part
