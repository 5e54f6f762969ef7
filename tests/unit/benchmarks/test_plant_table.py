"""The table `plant`: its streams, what is learned when, its figures and page; measured runs are no tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.__main__ import main
from benchmarks.quality.plant.learning import Known, Score, alarm_line, normal_part, pooled_baseline, with_stream
from benchmarks.quality.plant.report import extra, plot
from benchmarks.quality.plant.run import RETRAINED, Margins, along_the_stream, outcome
from benchmarks.quality.plant.streams import BLOCK, EVERY_S, NORMAL, PURPOSES, Stream, plants
from benchmarks.quality.plant.twins import Twins
from benchmarks.quality.result import result_of
from benchmarks.quality.runs import Run
from benchmarks.quality.table import TABLES
from streamgauge.plant.attacks import CLASSES, Attack
from streamgauge.plant.plant import Plant

FIRST = BLOCK * len(PURPOSES)


def stream(attacked: int = 240) -> Stream:
    """Made by hand: a normal part, then attacks of 10 records every 20, class after class."""
    n = FIRST + attacked
    kind, number = np.full(n, NORMAL), np.full(n, -1)
    for i, start in enumerate(range(FIRST + 5, n - 10, 20)):
        kind[start : start + 10], number[start : start + 10] = i % len(CLASSES), i
    x = np.random.default_rng(0).normal(size=(n, 51)).astype(np.float32)
    return Stream("by-hand", x, kind, number, (kind != NORMAL) & (np.arange(n) % 2 == 0), FIRST)


def test_the_normal_part_has_no_attack_and_a_seed_makes_the_same_streams() -> None:
    known = plants(7, 2, 30, 60)
    assert [s.name for s in known] == ["plant-700", "plant-701"]
    for s in known:
        assert s.x.shape == (90, 51)
        assert not s.truth[: s.normal].any()
        assert s.truth[s.normal]
        assert not s.shows[~s.truth].any()
        assert ((s.number >= 0) == s.truth).all()
    plants.cache_clear()
    np.testing.assert_array_equal(plants(7, 2, 30, 60)[1].x, known[1].x)


def test_a_window_ends_with_its_row_and_stays_in_its_half_hour() -> None:
    s = stream()
    rows = s.within(s.purpose == "train", 16)
    assert (rows % BLOCK >= 15).all()
    assert len(rows) > 0
    ends = s.windows(rows[:3], 16).reshape(3, 16, 51)
    np.testing.assert_array_equal(ends[:, -1], s.x[rows[:3]])
    np.testing.assert_array_equal(ends[:, 0], s.x[rows[:3] - 15])
    np.testing.assert_array_equal(s.windows(np.array([0]), 3).reshape(3, 51), np.repeat(s.x[:1], 3, axis=0))


def test_a_record_is_used_when_its_verdict_has_come_and_not_before() -> None:
    s, late_s = stream(), 300
    now = s.normal + 100
    known = with_stream(s, now, late_s)
    assert known.usable[: now - late_s // EVERY_S].all()
    assert not known.usable[now - late_s // EVERY_S :].any()
    assert np.isnan(known.y[: s.normal]).all()
    np.testing.assert_array_equal(known.y[s.normal :] == 1, s.truth[s.normal :])
    presumed = with_stream(s, now, None)
    assert presumed.usable.sum() == now
    assert np.isnan(presumed.y).all()
    np.testing.assert_array_equal(with_stream(s, s.normal, late_s).usable, normal_part(s).usable)


def test_one_in_a_hundred_held_out_records_is_above_the_line() -> None:
    s = stream()
    known = normal_part(s)
    held = known.usable & (s.purpose == "line")

    def score(_: Stream, rows: np.ndarray) -> np.ndarray:
        assert held[rows].all()
        return rows.astype(np.float64)

    line = alarm_line(score, s, known)
    assert (np.flatnonzero(held) > line).mean() == pytest.approx(0.01, abs=1 / held.sum())
    rows = np.flatnonzero(held)
    abnormal = Known(known.usable, np.where(np.arange(len(s.kind)) == rows[-1], 1, np.nan).astype(np.float32))
    assert alarm_line(score, s, abnormal) < line


def test_figures_of_one_who_knows_and_of_one_who_never_alarms() -> None:
    s = stream()
    knowing, silent = Margins([s]), Margins([s])
    known = [normal_part(s)]
    for margins, score in (
        (knowing, lambda st, rows: st.truth[rows] - 0.5),
        (silent, lambda st, rows: np.full(len(rows), -1.0)),
    ):
        margins.score(score, known, 0, 1)
    right, quiet = outcome(knowing), outcome(silent)
    assert all(right.figures[f"recall_{name}"] == 1.0 for name in CLASSES)
    assert right.figures["recall_shown_timing"] == right.figures["found_timing"] == 1.0
    assert right.figures["attacks_replay"] == 2.0
    assert right.figures["false_alarms"] == 0.0
    assert right.details["balanced"] == right.details["accuracy"] == [1.0] * RETRAINED
    assert quiet.details["accuracy"] == quiet.details["never"]
    assert quiet.details["balanced"] == [0.5] * RETRAINED


@pytest.mark.parametrize(("once", "learned"), [(False, RETRAINED), (True, 1)])
def test_every_stretch_is_decided_by_what_was_known_before_it(once: bool, learned: int) -> None:
    s, known_rows = stream(), []

    def learn(_: Sequence[Stream], known: Sequence[Known], __: int) -> Score:
        (part,) = known
        known_rows.append(int(part.usable.sum()))
        return lambda st, rows: st.truth[rows].astype(np.float64)

    along_the_stream([s], learn, None, 0, once=once)
    every = (len(s.kind) - s.normal) // RETRAINED
    assert known_rows == [s.normal + i * every for i in range(learned)]


def test_an_attack_shows_where_the_plant_differs_from_one_without_it() -> None:
    plant = Plant(3)
    start = 40
    plant.attack(Attack("data-injection", ("LIT101",), start, 20, offset=2.0))  # 3 standard deviations
    plant.attack(Attack("data-injection", ("LIT301",), start + 60, 20, offset=20.0))
    plant.attack(Attack("control-logic", ("MV101",), start + 120, 20, set={"t101_high": 1290.0}))
    twins = Twins(plant)
    shown = [twins.step()[1] for _ in range(start + 160)]
    assert not any(shown[: start + 60])
    assert all(shown[start + 60 : start + 80])
    assert not any(shown[start + 80 :]), "the set point is not reached in so short a time"


def test_without_verdicts_on_attacks_trees_do_not_alarm() -> None:
    s = stream()
    score = pooled_baseline("gradient_boosted_trees")([s], [normal_part(s)], 0)
    assert not score(s, np.arange(5)).any()


def test_the_page_prints_the_papers_figures_and_needs_no_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STREAMGAUGE_DATA", raising=False)
    table, s = TABLES["plant"](), stream()
    assert not table.needs_data
    assert main(["plant", "--list"]) == 0
    margins = Margins([s])
    margins.score(lambda st, rows: st.x[rows, 0].astype(np.float64), [normal_part(s)], 0, 1)
    found = outcome(margins)
    runs = {
        row.key: [Run(seed, dict(found.figures), dict(found.details), 1.0, "abc") for seed in (0, 1)]
        for row in table.rows
    }
    result = result_of(table, runs, 2, {})
    page = "\n".join(extra(result))
    assert "88-90 | 88-90 | below 88 | below 88 | not stated" in page
    assert "never alarm" in page
    assert page.count("Why not more: ") == len(CLASSES)
    assert 'F1 below that of "always alarm"' in page
    assert plot(result, tmp_path / "plant.png") == ["plant.png"]
    assert (tmp_path / "plant.png").stat().st_size > 0
