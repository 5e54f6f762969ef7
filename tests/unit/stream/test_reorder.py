"""Records in order again: against a record-by-record model, at any cut, and through its state."""

from __future__ import annotations

import itertools
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.stream.reorder import Held, Reorder

times_st = st.lists(st.integers(0, 30), max_size=40)
cuts_st = st.lists(st.integers(0, 40), max_size=5)


def held(times: list[int], first: int = 0) -> list[Held]:
    return [
        Held(
            "t",
            3,
            i,
            float(t),
            1000 * t,
            b"k" if i % 2 else None,
            b"\xff%d" % i,
            (("h", b"\x80"),) if i % 3 else (),
        )
        for i, t in enumerate(times, first)
    ]


def one_by_one(times: list[int], window: int, most: int) -> tuple[list[int], int, int]:
    """What the docstring of `Reorder` says, record by record: offsets in order; late; moved."""
    waiting: list[tuple[int, int]] = []
    out, late, moved, newest = [], 0, 0, -1000
    for offset, time in enumerate(times):
        late += time < newest - window
        moved += newest - window <= time < newest
        newest = max(newest, time)
        waiting.append((time, offset))
        waiting.sort()
        ready = [w for w in waiting if w[0] + window <= newest]
        waiting = [w for w in waiting if w not in ready]
        while len(waiting) > most:
            ready.append(waiting.pop(0))
        out += [offset for _, offset in ready]
    return out + [offset for _, offset in waiting], late, moved


@given(times_st, cuts_st, st.integers(0, 10), st.sampled_from([3, 1000]))
def test_it_is_the_record_by_record_model_wherever_batches_and_lives_end(
    times: list[int], cuts: list[int], window: int, most: int
) -> None:
    reorder, late, moved = Reorder(most), 0, 0
    out: list[Held] = []
    edges = sorted({0, len(times), *(c for c in cuts if c < len(times))})
    for start, stop in itertools.pairwise(edges):
        out += reorder.take(held(times[start:stop], start), float(window))
        late += reorder.late
        moved += reorder.moved
        handled = {record.offset for record in out}
        assert reorder.first_offset == min((i for i in range(stop) if i not in handled), default=None)
        reorder = Reorder.from_state(json.loads(json.dumps(reorder.to_state())), most)
    out += reorder.drop()
    assert ([record.offset for record in out], late, moved) == one_by_one(times, window, most)
    assert sorted(out, key=lambda record: record.offset) == held(times)


def test_what_waits_is_bounded_in_bytes() -> None:
    reorder = Reorder(most_bytes=1000)
    records = [Held("t", 0, i, float(i), 0, b"k", b"v" * 299) for i in range(5)]
    out = reorder.take(records, 100.0)
    assert [record.offset for record in out] == [0, 1]
    restored = Reorder.from_state(reorder.to_state())
    restored.most_bytes = 1000
    assert [record.offset for record in restored.take([records[0]], 100.0)] == [0]
    assert [record.offset for record in restored.drop()] == [2, 3, 4]


def test_with_enough_window_any_shuffle_within_it_is_undone() -> None:
    generator = np.random.default_rng(0)
    times = np.argsort(np.arange(200) + generator.uniform(0, 8, 200)).tolist()
    reorder = Reorder()
    out = reorder.take(held(times), 9.0)
    assert (reorder.late, reorder.moved > 0) == (0, True)
    assert [record.time for record in out + reorder.drop()] == sorted(times)
