"""Files as their owners publish them, sent by the replay, come out of their profile's decoder as they were."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from services.replay.main import SAMPLE
from services.replay.samples import make_nsl_kdd
from streamgauge.errors import ConfigurationError, DataError
from streamgauge.profiles.decoder import Decoder
from streamgauge.profiles.loaders import load
from streamgauge.profiles.profile import load_profile
from tests.support.dataset_files import FILES, SKAB_RUN, SWAT_ATTACK, SWAT_NORMAL, write_dataset
from tests.support.replayed import assert_without_loss, chunks_of, messages_of, objects_of, options_of, sent_of


@pytest.mark.parametrize("name", sorted(FILES))
def test_records_survive_the_way_through_json(name: str, tmp_path: Path) -> None:
    assert_without_loss(load(name, write_dataset(name, tmp_path)), load_profile(name))


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_folder_is_read_a_block_at_a_time_as_its_loader_reads_it_whole(name: str, tmp_path: Path) -> None:
    folder, unpacked = tmp_path / "data", tmp_path / "unpacked"
    folder.mkdir()
    unpacked.mkdir()
    whole = load(name, write_dataset(name, folder))
    tables = [chunk.table for chunk in chunks_of(options_of(name, [folder]), unpacked)]
    assert sum(map(len, tables)) == len(whole)
    assert sorted(k for t in tables for k in t.attack_types) == sorted(whole.attack_types)
    assert {e for t in tables for e in t.entities} == set(whole.entities)


def test_swat_as_its_owner_publishes_it_comes_in_order_and_decodes(tmp_path: Path) -> None:
    (tmp_path / "SWaT_Dataset_Attack_v0.csv").write_bytes(SWAT_ATTACK)
    (tmp_path / "SWaT_Dataset_Normal_v1.csv.gz").write_bytes(gzip.compress(SWAT_NORMAL))
    options = options_of("swat", [tmp_path], send_labels=True)
    (unpacked := tmp_path / "unpacked").mkdir()
    sent = [each for messages in messages_of(options, unpacked) for each in sent_of(messages)]
    decoded = Decoder(load_profile("swat"), learn_labels=True).decode(sent)
    assert decoded.rejected == []
    assert decoded.labels.tolist() == [0, 0, 0, 1, 1]
    assert (np.diff(decoded.times) > 0).all(), (
        "the normal week comes before the attacks, whatever the files' names"
    )
    assert decoded.values[:, :2].tolist() == [[0.25, 1.25]] * 5, "decimal commas and all"


OWN = """
name = "own"
title = "Own data"
missing = "mask"
time = { field = "t", format = "unix_s" }
entity = { field = "who" }
label = { field = "bad", normal = ["0"] }
numeric = [{ field = "x", min = 0, max = 1 }, { field = "y", min = -10, max = 10 }]
categorical = [{ field = "mode", categories = ["a", "b"] }]
"""


def _tar(text: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as archive:
        info = tarfile.TarInfo("valve.csv")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


def _zip(text: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/valve.csv", text)
    return out.getvalue()


def _parquet(text: bytes) -> bytes:
    table = arrow_csv.read_csv(io.BytesIO(text), parse_options=arrow_csv.ParseOptions(delimiter=";"))
    assert pa.types.is_timestamp(table["datetime"].type)
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("ending", "packed"),
    [
        ("csv", bytes),
        ("csv.gz", gzip.compress),
        ("csv.xz", lzma.compress),
        ("zip", _zip),
        ("tar.xz", _tar),
        ("parquet", _parquet),
    ],
)
@pytest.mark.parametrize("given", ["file", "folder", "pattern"])
def test_every_kind_of_file_gives_the_same_records(
    ending: str, packed: Callable[[bytes], bytes], given: str, tmp_path: Path
) -> None:
    (unpacked := tmp_path / "unpacked").mkdir()
    path = tmp_path / "data" / f"valve.{ending}"
    path.parent.mkdir()
    path.write_bytes(packed(SKAB_RUN))
    files = {"file": path, "folder": path.parent, "pattern": path.parent / "v*"}
    first, second = objects_of(options_of("skab", [files[given]]), unpacked)
    assert first["datetime"] == "2020-03-09T10:14:33.000Z"
    assert first["Current"] == 1.5
    assert second["Pressure"] == -0.6


def test_parquet_keeps_its_numbers_and_gives_what_the_same_csv_does(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "unpacked").mkdir()
    text = "t,who,x,y,mode,bad\n1000.5,1,0.1,7,a,0\nNA,2,,NaN,b,1\n1002,,inf,-3,,\n"
    (tmp_path / "own.csv").write_text(text)
    columns = {
        "t": pa.array([1000.5, None, 1002.0]),
        "who": pa.array([1, 2, None]),
        "x": pa.array([0.1, None, float("inf")]),
        "y": pa.array(["7", " NaN ", "-3"]),
        "mode": pa.array(["a", "b", None]).dictionary_encode(),
        "bad": pa.array([0, 1, None], pa.int8()),
    }
    parquet.write_table(pa.table(columns), tmp_path / "own.parquet")
    sent = [
        objects_of(
            options_of(str(tmp_path / "own.toml"), [tmp_path / name], send_labels=True), tmp_path / "unpacked"
        )
        for name in ("own.csv", "own.parquet")
    ]
    assert sent[0] == sent[1]
    assert [(r["t"], r["who"], r["x"], r["y"], r["mode"], r["bad"]) for r in sent[0]] == [
        (1000.5, "1", 0.1, 7.0, "a", "0"),
        (None, "2", None, None, "b", "1"),
        (1002.0, None, None, -3.0, None, None),
    ]
    columns["y"] = pa.array(["7", "seven", "8"])
    parquet.write_table(pa.table(columns), tmp_path / "own.parquet")
    with pytest.raises(DataError, match=r"own.csv: column 'y': .*seven"):
        chunks_of(options_of(str(tmp_path / "own.toml"), [tmp_path / "own.parquet"]), tmp_path / "unpacked")


def test_the_bundled_sample(tmp_path: Path) -> None:
    tables = [chunk.table for chunk in chunks_of(options_of("nsl-kdd", [SAMPLE], start_row=200), tmp_path)]
    kinds = np.concatenate([table.attack_types for table in tables])
    assert len(set(kinds)) == 23
    assert 0 <= make_nsl_kdd.NORMAL - int((kinds == "normal").sum()) <= 200


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace(b";1.5;", b";n/a;", 1).replace(b"n/a", b"x"), "column 'Current'"),
        (lambda text: text.replace(b";Current", b";Currant"), "lacks the columns Current"),
        (lambda text: text.replace(b";233", b"", 1), "Expected 11 columns, got 10"),
        (lambda text: b"", "is empty"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    change: Callable[[bytes], bytes], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "valve.csv"
    path.write_bytes(change(SKAB_RUN))
    with pytest.raises(DataError) as caught:
        chunks_of(options_of("skab", [path]), tmp_path)
    assert said in str(caught.value)
    assert "valve.csv" in str(caught.value)


def test_what_is_not_there_and_what_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        chunks_of(options_of("skab", [tmp_path / "no*.csv"]), tmp_path)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(SKAB_RUN)[:-20])
    with pytest.raises(DataError, match="cannot be read or unpacked"):
        chunks_of(options_of("skab", [tmp_path / "a.csv.gz"]), tmp_path)
