"""The frame of the quality tables: what is kept, summed up and printed; measured tables are no tests."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.quality.__main__ import main, measure
from benchmarks.quality.data import data_directory
from benchmarks.quality.result import paired, spread
from benchmarks.quality.table import (
    TABLES,
    Column,
    Comparison,
    Context,
    Outcome,
    Protocol,
    Row,
    Section,
    Table,
    Target,
)
from streamgauge.errors import ConfigurationError, StateError

PROTOCOL = Protocol("ours", "none", "none", "none", "none", ("a remark",))
OPTIONS = argparse.Namespace(seeds=5, only=None, fresh=False)
QUIET = Console(quiet=True)


def make_table(runs: list[tuple[str, int]], *, fails: str = "", first: float = 0.0) -> Table:
    def row(key: str, bonus: float) -> Row:
        def run(context: Context) -> Outcome:
            runs.append((key, context.seed))
            if key == fails:
                raise StateError("it does not converge")
            f1 = 0.5 + bonus + 0.01 * context.seed
            return Outcome({"f1": f1, "always_alarm_f1": 0.7, "loss": 1.5}, {"curve": [1, 2]})

        return Row(key, key.upper(), run, {"bonus": bonus}, paper={"f1": 0.9}, note=f"note of {key}")

    columns = (Column("f1", "F1"), Column("loss", "loss", ".1f"))
    targets = (Target("b", "f1", 0.6), Target("a", "loss", 1.0, "most"))
    section = Section(
        "Part", PROTOCOL, columns, (row("a", first), row("b", 0.1)), targets, (Comparison("b", "a", "f1"),)
    )
    return Table("tiny", "Tiny", (section,))


def test_a_table_is_measured_written_and_taken_up_again(tmp_path: Path) -> None:
    runs: list[tuple[str, int]] = []
    table = make_table(runs)

    assert measure(table, tmp_path, OPTIONS, QUIET, tmp_path) == 0

    assert runs == [(key, seed) for key in "ab" for seed in range(5)]
    written = json.loads((tmp_path / "docs/results/quality/tiny.json").read_text())
    section = written["sections"][0]
    assert section["rows"][1]["figures"]["f1"]["mean"] == pytest.approx(0.62)
    assert section["rows"][1]["details"] == [{"curve": [1, 2]}] * 5
    assert [t["reached"] for t in section["targets"]] == [True, False]
    assert section["comparisons"][0]["mean"] == pytest.approx(0.1)
    text = (tmp_path / "docs/results/quality/tiny.md").read_text()
    assert "| B | 62.00 ± 1.58 (paper 90.00) | 1.5 ± 0.0 |" in text
    assert 'F1 of "always alarm": 70.00' in text
    assert "**not reached**" in text
    assert "b minus a, F1: 10.00 (95 % interval 10.00 to 10.00, paired over 5 seeds)\n" in text
    assert "note of a" in text
    assert "a remark" in text
    assert (tmp_path / "docs/results/quality/tiny.png").stat().st_size > 1000

    kept = next((tmp_path / "var/quality/tiny").glob("b-*-3.json"))
    kept.unlink()
    runs.clear()
    measure(table, tmp_path, OPTIONS, QUIET, tmp_path)
    assert runs == [("b", 3)]

    runs.clear()
    measure(table, tmp_path, argparse.Namespace(seeds=5, only="a", fresh=True), QUIET, tmp_path)
    assert runs == [("a", seed) for seed in range(5)]


def test_a_changed_configuration_is_run_anew(tmp_path: Path) -> None:
    runs: list[tuple[str, int]] = []
    measure(make_table(runs), tmp_path, OPTIONS, QUIET, tmp_path)
    runs.clear()
    table = make_table(runs, first=0.3)

    measure(table, tmp_path, OPTIONS, QUIET, tmp_path)

    assert runs == [("a", seed) for seed in range(5)]


def test_a_failed_row_stays_in_the_table_and_is_tried_again(tmp_path: Path) -> None:
    runs: list[tuple[str, int]] = []
    assert measure(make_table(runs, fails="a"), tmp_path, OPTIONS, QUIET, tmp_path) == 1
    text = (tmp_path / "docs/results/quality/tiny.md").read_text()
    assert "A failed: it does not converge" in text
    assert "not measured" in text
    runs.clear()

    assert measure(make_table(runs), tmp_path, OPTIONS, QUIET, tmp_path) == 0
    assert {key for key, _ in runs} == {"a"}


@pytest.mark.parametrize("change", [{"seeds": 4}, {"only": "b"}])
def test_few_seeds_or_missing_rows_replace_no_result(tmp_path: Path, change: dict[str, object]) -> None:
    options = argparse.Namespace(**{**vars(OPTIONS), **change})
    measure(make_table([]), tmp_path, options, QUIET, tmp_path)
    assert not (tmp_path / "docs").exists()
    assert (tmp_path / "var/quality/tiny.md").exists()


def test_an_f1_needs_that_of_always_alarm_beside_it(tmp_path: Path) -> None:
    row = Row("a", "A", lambda context: Outcome({"f1": 0.5}))
    table = Table("tiny", "Tiny", (Section("Part", PROTOCOL, (Column("f1", "F1"),), (row,)),))
    with pytest.raises(ConfigurationError, match="always_alarm_f1"):
        measure(table, tmp_path, OPTIONS, QUIET, tmp_path)


def test_a_figure_that_is_not_finite_is_a_failed_run(tmp_path: Path) -> None:
    row = Row("a", "A", lambda context: Outcome({"loss": float("nan")}))
    table = Table("tiny", "Tiny", (Section("Part", PROTOCOL, (Column("loss", "loss"),), (row,)),))
    assert measure(table, tmp_path, OPTIONS, QUIET, tmp_path) == 1
    json.loads((tmp_path / "docs/results/quality/tiny.json").read_text(), parse_constant=pytest.fail)


def test_tables_are_checked() -> None:
    row = Row("a", "A", lambda context: Outcome({}))
    columns = (Column("f1", "F1"),)
    with pytest.raises(ConfigurationError, match="same key"):
        Table("tiny", "Tiny", (Section("Part", PROTOCOL, columns, (row, row)),))
    with pytest.raises(ConfigurationError, match="no row of it"):
        Table("tiny", "Tiny", (Section("Part", PROTOCOL, columns, (row,), (Target("b", "f1", 1.0),)),))


def test_spread_and_paired_differences() -> None:
    assert spread([2.0])["std"] == 0.0
    found = paired({0: 1.0, 1: 3.0, 2: 2.0, 7: 9.0}, {0: 0.5, 1: 1.5, 2: 1.0})
    assert found["mean"] == pytest.approx(1.0)
    assert found["high"] - found["mean"] == pytest.approx(4.302653 * 0.5 / np.sqrt(3), rel=1e-5)
    with pytest.raises(ConfigurationError, match="two seeds"):
        paired({0: 1.0}, {0: 1.0})


def test_data_must_be_named_and_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMGAUGE_DATA", raising=False)
    with pytest.raises(ConfigurationError, match="set STREAMGAUGE_DATA"):
        data_directory(None)
    monkeypatch.setenv("STREAMGAUGE_DATA", str(tmp_path / "not"))
    with pytest.raises(ConfigurationError, match="is no folder"):
        data_directory(None)
    assert data_directory(tmp_path) == tmp_path
    assert main(["no-such-table"]) == 2


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_states_its_protocol(name: str) -> None:
    table = TABLES[name]()
    assert table.name == name
    assert table.rows
    for section in table.sections:
        stated = section.protocol
        assert all((stated.split, stated.labels, stated.threshold, stated.tuning))
        json.dumps([row.config for row in section.rows])
