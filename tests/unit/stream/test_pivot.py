"""The pivot: records of messages, wherever batches end and whatever the order within a tick."""

from __future__ import annotations

import itertools
import json
import math
import random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.errors import StateError
from streamgauge.stream.pivot import IDLE_TICKS, Pivot
from streamgauge.stream.ticks import TagBatch, TickRule, Ticks

TAGS = 3
RULE = TickRule(TAGS, 1.0)
NAN = math.nan


class Message(NamedTuple):
    """One tag of one entity."""

    time: float
    entity: str
    column: int
    value: float
    label: float = NAN


def batch(messages: list[Message], first: int = 0) -> TagBatch:
    n = len(messages)
    return TagBatch(
        np.array([m.time for m in messages], np.float64),
        [m.entity for m in messages],
        [m.column for m in messages],
        [m.value for m in messages],
        np.array([m.label for m in messages], np.float32),
        np.arange(first, first + n),
        np.arange(n),
        [f"{first + i}".encode() for i in range(n)],
    )


def take(pivot: Pivot, messages: list[Message], rule: TickRule = RULE, first: int = 0) -> Ticks:
    return pivot.take(batch(messages, first), rule)


def plain(ticks: Ticks) -> list[tuple[object, ...]]:
    """All but the place within a batch."""
    rows = zip(ticks.entities, ticks.times.tolist(), ticks.offsets.tolist(), ticks.values.tolist(), strict=True)
    more = zip(ticks.labels.tolist(), ticks.complete.tolist(), ticks.raw, strict=True)
    return [(*row, *rest) for row, rest in zip(rows, more, strict=True)]


def wide(seed: int, n: int = 20) -> list[tuple[float, str, list[float]]]:
    chance = random.Random(seed)
    return [(100.0 + i, entity, [chance.random() for _ in range(TAGS)]) for i in range(n) for entity in "ab"]


@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.25, 1.0, 60.0]), st.sampled_from([0.0, 2.5]))
def test_shuffled_within_their_tick_messages_give_the_wide_records(
    seed: int, tick_s: float, wait_s: float
) -> None:
    chance, records, messages = random.Random(seed), wide(seed), []
    for _, same in itertools.groupby(records, lambda record: record[0]):
        part = [Message(t * tick_s, e, j, v) for t, e, cells in same for j, v in enumerate(cells)]
        chance.shuffle(part)
        messages += part
    ticks = take(Pivot(), messages, TickRule(TAGS, tick_s, wait_s))
    made = {(t, e): cells for t, e, cells in zip(ticks.times, ticks.entities, ticks.values.tolist(), strict=True)}
    assert made == {(t * tick_s, e): cells for t, e, cells in records}
    assert len(ticks) == len(records)
    assert ticks.complete.all()
    assert Pivot().first_offset is None


MESSAGES = st.lists(
    st.builds(
        Message,
        st.one_of(st.integers(0, 40), st.floats(0, 40)).map(float),
        st.sampled_from("abcde"),
        st.integers(0, TAGS - 1),
        st.one_of(st.just(NAN), st.integers(0, 9).map(float)),
        st.sampled_from([0.0, 1.0, NAN]),
    ),
    max_size=60,
)


@given(MESSAGES, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 4), st.sampled_from([0.0, 1.0, 3.0]))
def test_a_state_saved_at_any_cut_gives_the_same_ticks(
    messages: list[Message], cuts: list[int], most: int, wait_s: float
) -> None:
    rule = TickRule(TAGS, 1.0, wait_s)
    whole = Pivot(most, most_ticks=4)
    expected = plain(take(whole, messages, rule)) + plain(whole.finish())
    pivot, made = Pivot(most, most_ticks=4), []
    edges = [0, *sorted(c % (len(messages) + 1) for c in cuts), len(messages)]
    for start, stop in itertools.pairwise(edges):
        made += plain(take(pivot, messages[start:stop], rule, start))
        pivot = Pivot.from_state(json.loads(json.dumps(pivot.to_state())), most)
        pivot.most_ticks = 4
    made += plain(pivot.finish())
    assert repr(made) == repr(expected)  # NaN equals no NaN


@given(MESSAGES, st.integers(1, 4), st.sampled_from([0.0, 2.0]))
def test_no_message_is_lost_or_counted_twice(messages: list[Message], most: int, wait_s: float) -> None:
    pivot, late, ticks, newest = Pivot(most, most_ticks=6), 0, [], {}
    for i, message in enumerate(messages):
        closed = take(pivot, [message], TickRule(TAGS, 1.0, wait_s), i)
        late += pivot.late
        ticks += plain(closed)
        if not pivot.late:
            newest[message.entity, math.floor(message.time + 1e-3)] = i
        assert pivot.first_offset is None or pivot.first_offset <= i
    ticks += plain(pivot.finish())
    offsets = [offset for _, _, offset, *_ in ticks]
    assert len(set(offsets)) == len(offsets)  # ids never repeat
    assert set(newest.values()) <= set(offsets)
    assert late + len(newest) <= len(messages)
    assert pivot.open_ticks == 0


def test_a_tick_closes_when_all_tags_were_seen_or_its_entity_went_on() -> None:
    pivot = Pivot()
    first = [Message(1.0, "a", 0, 1.0), Message(1.2, "a", 1, 2.0), Message(1.1, "b", 0, 9.0)]
    assert plain(take(pivot, first)) == []
    assert pivot.first_offset == 0
    (full,) = plain(take(pivot, [Message(1.4, "a", 2, 3.0)], first=3))
    assert full[:4] == ("a", 1.4, 3, [1.0, 2.0, 3.0])
    assert (pivot.first_offset, pivot.open_ticks) == (2, 1)
    closed = take(pivot, [Message(5.0, "a", 0, 1.0), Message(2.0, "b", 0, 8.0)], first=4)
    assert repr(plain(closed)) == repr([("b", 1.1, 2, [9.0, NAN, NAN], NAN, False, b"2")])
    assert closed.closed_by.tolist() == [1]


def test_what_comes_for_a_closed_tick_is_late() -> None:
    pivot = Pivot()
    take(pivot, [Message(1.0, "a", 0, 1.0), Message(2.0, "a", 0, 2.0)])
    assert plain(take(pivot, [Message(1.0, "a", 1, 5.0)], first=2)) == []
    assert pivot.late == 1
    waiting = Pivot()
    rule = TickRule(TAGS, 1.0, wait_s=1.0)
    messages = [Message(1.0, "a", 0, 1.0), Message(2.0, "a", 0, 2.0), Message(1.0, "a", 1, 5.0)]
    assert plain(take(waiting, messages, rule)) == []
    (tick,) = plain(take(waiting, [Message(3.0, "a", 0, 3.0)], rule, 3))
    assert (tick[2], waiting.late) == (2, 0)


def test_an_entity_that_fell_silent_is_closed_and_holds_no_offset() -> None:
    pivot = Pivot()
    take(pivot, [Message(1.5, "silent", 0, 1.0)])
    assert plain(take(pivot, [Message(1.2 + IDLE_TICKS, "a", 0, 1.0)], first=1)) == []
    (tick,) = plain(take(pivot, [Message(1.6 + IDLE_TICKS, "a", 1, 1.0)], first=2))
    assert tick[0] == "silent"
    assert pivot.first_offset == 1


def test_a_source_that_lags_behind_the_others_is_not_late() -> None:
    pivot = Pivot()
    ticks = []
    for i in range(40):
        both = [Message(1000.0 + i, "a", j, 1.0) for j in range(TAGS)]
        both += [Message(100.0 + i, "b", j, 2.0) for j in range(TAGS)]
        ticks += plain(take(pivot, both, first=6 * i))
        assert pivot.late == 0
    assert len(ticks) == 80


def test_beyond_the_most_entities_the_one_silent_for_longest_is_closed() -> None:
    pivot = Pivot(2)
    (tick,) = plain(take(pivot, [Message(1.0, name, 0, 1.0) for name in ("a", "b", "c")]))
    assert tick[0] == "a"


def test_beyond_the_most_open_ticks_the_entity_silent_for_longest_is_closed() -> None:
    pivot, rule = Pivot(most_ticks=3), TickRule(TAGS, 1.0, 5.0)
    first = [Message(9.0, "a", 0, 1.0), Message(9.0, "b", 0, 2.0), Message(10.0, "a", 0, 3.0)]
    assert not len(take(pivot, first, rule))
    restored = Pivot.from_state(pivot.to_state())
    restored.most_ticks = 3
    for one in (pivot, restored):
        ticks = take(one, [Message(10.0, "c", 0, 4.0), Message(11.0, "a", 0, 5.0)], rule, first=3)
        assert (ticks.entities, ticks.offsets.tolist()) == (["b", "c"], [1, 3])
        assert one.open_ticks == 3


def test_the_newest_value_of_a_tag_counts_and_any_label_of_an_attack() -> None:
    pivot = Pivot()
    messages = [Message(1.5, "a", 0, 1.0, 0.0), Message(1.2, "a", 0, 2.0, 1.0), Message(1.6, "a", 1, NAN, 0.0)]
    take(pivot, messages)
    (tick,) = plain(pivot.finish())
    assert repr(tick[3:5]) == repr(([1.0, NAN, NAN], 1.0))


def test_ticks_of_another_length_or_width_are_forgotten() -> None:
    for rule in (TickRule(TAGS, 2.0), TickRule(TAGS + 1, 1.0)):
        pivot = Pivot()
        take(pivot, [Message(1.0, "a", 0, 1.0)])
        take(pivot, [Message(9.0, "b", 0, 1.0)], rule, 1)
        assert (pivot.open_ticks, pivot.first_offset) == (1, 1)


def test_a_state_that_does_not_fit_is_refused() -> None:
    pivot = Pivot()
    take(pivot, [Message(1.0, "a", 0, 1.0)])
    state = pivot.to_state()
    with pytest.raises(StateError, match="1 open ticks have 0 cells"):
        Pivot.from_state({**state, "cells": Pivot().to_state()["cells"]})


def test_dropped_ticks_do_not_come_again() -> None:
    pivot = Pivot()
    take(pivot, [Message(1.0, "a", 0, 1.0), Message(1.0, "b", 0, 1.0)])
    assert pivot.drop_open() == 2
    assert plain(take(pivot, [Message(1.0, "a", 1, 1.0)], first=2)) == []
    assert pivot.late == 1
