"""What is said of a mistake in a user's own CSV file: file, line, value, and what to do."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from streamgauge.errors import DataError
from streamgauge.profiles.loaders.base import load
from streamgauge.profiles.loaders.inputs import Input
from streamgauge.profiles.loaders.streamed import stream_tables
from tests.support.plant import plant_profile, plant_records


def write(path: Path, n: int, bad: int | None = None, before: str = "") -> None:
    """Records as a CSV; `before` stands above the header, and cell `bad` of the pressures is ``n/a``."""
    records = plant_records(n, attacks=False)
    if bad is not None:
        records[bad]["pressure"] = " n/a"
    with path.open("w", newline="") as file:
        file.write(before)
        csv.DictWriter(file, list(records[0])).writeheader()
        csv.DictWriter(file, list(records[0])).writerows(records)


def said(path: Path) -> str:
    with pytest.raises(DataError) as error:
        list(stream_tables(Input("messy.csv", path), plant_profile(), block_bytes=1 << 14))
    return str(error.value)


@pytest.mark.parametrize("bad", [0, 32, 5800], ids=["first line", "first block", "a later block"])
@pytest.mark.parametrize("before", ["", "\ufeff"], ids=["plain", "byte-order mark"])
def test_a_cell_that_is_no_number_is_told_with_its_line(tmp_path: Path, bad: int, before: str) -> None:
    path = tmp_path / "messy.csv"
    write(path, 6000, bad, before)
    assert path.read_bytes().splitlines()[bad + 1].count(b" n/a") == 1
    assert said(path) == (
        f"file messy.csv: line {bad + 2}, column 'pressure': 'n/a' is not a number; mend the cell, or leave it "
        "empty (an empty cell follows the profile's `missing` rule); `streamgauge profile check` counts such "
        "records"
    )
    assert path.stat().st_size > 3 << 17  # so that the last one is of a later block


def test_empty_lines_and_lines_within_quotes_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "messy.csv"
    write(path, 20, 10)
    lines = path.read_text().splitlines()
    lines[3] = "\n\n" + lines[3].replace("hall", '"hall\n').replace("\n 0", '\n 0"').replace("\n 1", '\n 1"')
    path.write_text("\n".join(lines))
    at = next(i for i, line in enumerate(path.read_text().split("\n"), 1) if "n/a" in line)
    assert at == 15
    assert said(path).startswith(f"file messy.csv: line {at}, column 'pressure': 'n/a' is not a number; mend ")


def test_a_line_that_is_too_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "messy.csv"
    write(path, 20)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:7], "1,2", *lines[7:]]))
    message = said(path)
    assert message.startswith(f"file messy.csv: line 8: Expected {len(lines[0].split(','))} columns, got 2")
    assert message.endswith("; mend the line, or take it out")


def test_a_published_file_is_to_be_fetched_again(tmp_path: Path) -> None:
    names = "datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;Voltage"
    row = "2020-03-09 10:00:0{};0.02;0.04;1.5;{};79;26;233;32;0;0\n"
    text = names + ";Volume Flow RateRMS;anomaly;changepoint\n" + row.format(0, "0.05") + row.format(1, "bad")
    (tmp_path / "valve.csv").write_text(text)
    with pytest.raises(
        DataError, match=r"line 3, column 'Pressure': 'bad' is not a number; fetch the file again$"
    ):
        load("skab", tmp_path / "valve.csv")
