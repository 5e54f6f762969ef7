"""Files merged by time, a block of each at a time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.profiles.loaders.inputs import Input
from streamgauge.profiles.loaders.merged import Open, merge_by_time
from streamgauge.profiles.loaders.streamed import stream_tables
from streamgauge.profiles.loaders.table import Table, constant
from streamgauge.profiles.profile import load_profile

TIMES = st.lists(st.one_of(st.integers(0, 50).map(float), st.just(float("nan"))), max_size=30)


def table(times: list[float], name: str) -> Table:
    n = len(times)
    rows = np.array([f"{name}{i}" for i in range(n)], object)
    label = np.zeros(n, np.float32)
    return Table("x", {"row": rows}, label, constant("", n), np.array(times), constant("", n), constant(name, n))


def source(times: list[float], name: str, size: int) -> Open:
    whole = table(times, name)

    def blocks() -> Iterator[Table]:
        for start in range(0, len(times), size):
            yield whole.take(np.arange(start, min(start + size, len(times))))

    return blocks


@given(st.lists(TIMES, max_size=5), st.integers(1, 7))
def test_every_row_comes_once_its_file_in_order_and_times_rise(files: list[list[float]], size: int) -> None:
    names = "abcde"
    parts = list(merge_by_time([source(times, names[i], size) for i, times in enumerate(files)]))
    rows = [row for part in parts for row in part.table.columns["row"]]
    for i, times in enumerate(files):
        assert [row for row in rows if row[0] == names[i]] == [f"{names[i]}{k}" for k in range(len(times))]
    keys = {}
    for i, times in enumerate(files):
        latest = next((time for time in times if not np.isnan(time)), -np.inf)
        for k, time in enumerate(times):
            latest = latest if np.isnan(time) else max(latest, time)
            keys[f"{names[i]}{k}"] = latest
    timed = [i for i, times in enumerate(files) if not np.isnan(times[:size]).all()]
    merged = [keys[row] for row in rows if names.index(row[0]) in timed]
    assert merged == sorted(merged)
    assert [int(n) for part in parts for n in part.sources] == [names.index(row[0]) for row in rows]


def test_files_without_time_come_one_after_the_other() -> None:
    nan = float("nan")
    parts = merge_by_time([source([nan] * 5, "a", 2), source([1.0, 2.0], "b", 2), source([nan] * 3, "c", 2)])
    assert "".join(row[0] for part in parts for row in part.table.columns["row"]) == "aaaaacccbb"


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """In blocks of 16 KiB, a file of 4.3 MB takes no more memory than one of 0.8 MB, and less than its half."""
    profile = load_profile("skab")
    names = ";".join(field.field for field in profile.numeric)
    peaks = []
    for lines in (1_000, 15_000, 80_000):  # the first one's imports take memory too
        path = tmp_path / "valve.csv"
        with path.open("w") as file:
            file.write(f"datetime;{names};anomaly\n")
            for second in range(lines // 1000):
                line = f"2020-03-09 10:{second // 60:02}:{second % 60:02};0.02;0.04;1.5;0.05;79;26;233;32;0\n"
                file.write(line * 1000)
        tracemalloc.start()
        rows = sum(map(len, stream_tables(Input("valve.csv", path), profile, block_bytes=1 << 14)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == lines
    assert peaks[2] < 1.5 * peaks[1]
    assert peaks[2] < path.stat().st_size / 2
