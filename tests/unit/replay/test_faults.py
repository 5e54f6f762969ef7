"""Faults on demand: how many, which, and the same ones for the same seed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from services.replay.chunks import Chunk
from services.replay.faults import Faults
from services.replay.messages import Composer, Messages, joined
from services.replay.options import ReplayOptions, read_fault
from streamgauge.errors import ConfigurationError
from streamgauge.profiles.loaders.table import Table, constant
from streamgauge.profiles.profile import load_profile

SKAB = load_profile("skab")
N = 600


def sent(*texts: str, chunk: int = 50, seed: int = 1) -> tuple[Messages, Faults]:
    """600 records, a second apart, whose `Current` is their number."""
    composer = Composer(ReplayOptions("skab", ("x",), "t"), SKAB, [2])
    faults = Faults([read_fault(text) for text in texts], seed, SKAB)
    found: list[Messages] = []
    for first in range(0, N, chunk):
        n = min(chunk, N - first)
        times = np.arange(1000.0 + first, 1000.0 + first + n, dtype=np.float64)
        columns = {field.field: first + np.arange(float(n)) for field in SKAB.numeric}
        table = Table(
            "skab",
            columns,
            np.zeros(n, np.float32),
            constant("normal", n),
            times,
            constant("a", n),
            constant("f", n),
        )
        whole = Chunk(table, times, times, np.zeros(n, np.int64), first)
        found.append(faults.on_messages(composer.messages(faults.on_chunk(whole))))
        assert (table.columns["Current"] == first + np.arange(n)).all(), "the given chunk is not changed"
    rest = faults.rest()
    every = found[0]
    for messages in [*found[1:], *([rest] if rest is not None else [])]:
        every = joined(every, messages)
    return every, faults


def records(messages: Messages) -> list[dict[str, Any]]:
    return [json.loads(value) for value in messages.values]


def test_drop_and_duplicate() -> None:
    dropped, faults = sent("drop:0.1")
    assert 30 < N - len(dropped) < 90
    assert faults.counts == {"drop": N - len(dropped)}
    twice, _ = sent("duplicate:0.1")
    rows, counts = np.unique(twice.rows, return_counts=True)
    assert len(rows) == N
    assert set(counts) == {1, 2}
    assert (np.diff(twice.rows) >= 0).all()


def test_late_records_come_so_much_later_with_their_own_time() -> None:
    messages, _ = sent("late:0.05:60s")
    assert sorted(messages.rows) == list(range(N))
    assert (np.diff(messages.due) >= 0).all()
    late = messages.due - 1000 - messages.rows
    assert set(late) == {0.0, 60.0}
    assert [r["Current"] for r in records(messages)] == messages.rows.tolist()
    assert [s // 1000 - 1000 for s in messages.stamps_ms] == messages.rows.tolist()


def test_reordered_records_stay_within_the_time() -> None:
    messages, _ = sent("reorder:0.5:10s")
    assert sorted(messages.rows) == list(range(N))
    assert (np.diff(messages.rows) < 0).any()
    assert ((messages.due - 1000 - messages.rows) < 10).all()


def test_corrupt_records_are_no_json() -> None:
    messages, faults = sent("corrupt:0.1")
    bad = 0
    for value in messages.values:
        try:
            json.loads(value)
        except ValueError:
            bad += 1
    assert bad == faults.counts["corrupt"] > 30


def test_a_stuck_sensor_shows_one_value_for_so_long_and_the_others_go_on() -> None:
    messages, faults = sent("stuck:Current:0.003:30s")
    shown = [(r["Current"], r["Voltage"]) for r in records(messages)]
    stuck = [(c, v) for c, v in shown if c != v]
    assert 25 < len(stuck) == faults.counts["stuck"]
    assert all(0 < v - c <= 30 for c, v in stuck)
    assert [v for _, v in shown] == list(range(N))


def test_a_record_on_which_several_stuck_stretches_show_counts_once() -> None:
    messages, faults = sent("stuck:Current:0.1:60s", "stuck:Voltage:0.1:60s")
    shown = [(r["Current"], r["Voltage"]) for r in records(messages)]
    changed = sum((c, v) != (row, row) for row, (c, v) in enumerate(shown))
    assert N / 2 < changed == faults.counts["stuck"] < N


@pytest.mark.parametrize(
    "texts", [("drop:0.1", "late:0.1:20s"), ("duplicate:0.2", "corrupt:0.2"), ("stuck:Current:0.01:9s",)]
)
def test_the_same_seed_gives_the_same_faults_however_the_rows_are_cut(texts: tuple[str, ...]) -> None:
    whole, _ = sent(*texts)
    parts, _ = sent(*texts, chunk=7)
    assert whole.values == parts.values
    other, _ = sent(*texts, seed=2)
    assert whole.values != other.values


def test_without_faults_nothing_is_touched() -> None:
    messages, faults = sent()
    assert messages.rows.tolist() == list(range(N))
    assert not faults.counts
    with pytest.raises(ConfigurationError, match="stuck:Speed: write a numeric field of skab"):
        sent("stuck:Speed:0.1:1s")
