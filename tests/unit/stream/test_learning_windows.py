"""Windows to learn from: consecutive records of one entity and minute, none near an abnormal one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.stream.learning import Learner, LearningPolicy
from tests.support.examples import examples

POLICY = LearningPolicy(
    bucket_s=10, delay_s=30, guard_buckets=1, rows_per_bucket=3, holdout_every=3, holdout_rows_per_bucket=6,
    max_entities=2, window=3,
)  # fmt: skip
CENTRE = np.zeros(2)
Records = list[tuple[int, bool, float]]
"""Entity, whether scored abnormal, label."""


def learned(records: Records, cuts: list[int], policy: LearningPolicy = POLICY) -> Learner:
    """One record a second; its row tells its number."""
    learner = Learner(policy, CENTRE, seed=0)
    ends = sorted({0, len(records), *(cut % (len(records) + 1) for cut in cuts)})
    for start, end in pairwise(ends):
        rows = np.arange(start, end)
        names = [f"machine {records[i][0]}" for i in rows]
        x = np.stack([rows, -rows], axis=1).astype(np.float32)
        abnormal = np.array([records[i][1] for i in rows], bool)
        labels = np.array([records[i][2] for i in rows], np.float32)
        learner.observe("p", rows.astype(np.float64), names, rows, x, abnormal, labels, float(end - 1))
        state = learner.to_state()
        learner = Learner.from_state(state, policy, CENTRE, seed=0)
        learner.settle({"p": float(end - 1)})
    learner.observe("p", np.array([1e6]), ["machine 0"], np.array([10**6]), np.zeros((1, 2), np.float32),
                    np.zeros(1, bool), np.full(1, np.nan), 1e6)  # fmt: skip
    learner.settle({"p": 1e6})
    return learner


def numbers(x: NDArray[np.float32]) -> list[list[int]]:
    """The records of each window."""
    seen: list[list[int]] = x.reshape(len(x), x.shape[1] // 2, 2)[:, :, 0].astype(int).tolist()
    return seen


records = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([False] * 30 + [True]),
        st.sampled_from([np.nan] * 30 + [1.0]),
    ),
    max_size=150,
)


@examples(15)
@given(records, st.lists(st.integers(0, 150), max_size=4))
def test_windows_are_whole_and_wherever_batches_end_the_same(seen: Records, cuts: list[int]) -> None:
    learner = learned(seen, cuts)
    (x, y), held = learner.training_rows(), learner.holdout()
    presumed = x[np.isnan(y)]
    for window in (*numbers(presumed), *numbers(held.x)):
        (entity,) = {seen[i][0] for i in window}
        (minute,) = {i // 10 for i in window}
        assert [i for i in range(window[0], window[-1] + 1) if seen[i][0] == entity] == window
        near = [i for i in range(len(seen)) if abs(i // 10 - minute) <= 1 and seen[i][0] == entity]
        assert not any(seen[i][1] or seen[i][2] == 1.0 for i in near)
    assert all(window[-1] // 10 % 3 for window in numbers(presumed))
    labelled = [i for i in range(len(seen)) if not np.isnan(seen[i][2])]
    for window in numbers(x[y == 1]):
        assert seen[window[-1]][2] == 1.0
        records_of = [i for i in range(labelled[0], window[-1] + 1) if seen[i][0] == seen[window[-1]][0]]
        assert window == records_of[-3:]
    assert held.times.tolist() == [window[-1] for window in numbers(held.x)]
    whole = learned(seen, [])
    assert np.array_equal(whole.training_rows()[0], x)
    assert np.array_equal(whole.holdout().x, held.x)


def test_entities_that_share_a_number_give_no_windows() -> None:
    learner = learned([(k % 3, False, np.nan) for k in range(300)], [])
    x, _ = learner.training_rows()
    assert {window[0] % 3 for window in numbers(x)} == {0, 1}
    assert learner.records_learned == 300


def test_no_window_spans_a_labelled_attack_among_trusted_records() -> None:
    seen: Records = [(0, False, 1.0 if k == 13 else 0.0) for k in range(60)]
    x, y = learned(seen, []).training_rows()
    assert numbers(x[y == 1]) == [[11, 12, 13]]
    assert {window[0] // 10 for window in numbers(x[y == 0])} == {2, 4, 5}


def test_a_labelled_attack_gives_a_window_only_if_its_records_follow_each_other() -> None:
    seen: Records = [(0, k == 9, 1.0 if k in (1, 9) else np.nan) for k in range(12)]
    x, y = learned(seen, [5, 9]).training_rows()
    assert numbers(x[y == 1]) == [[7, 8, 9]]  # record 1 has too few before it; a score does not matter

    learner = Learner(POLICY, CENTRE, seed=0)
    times = np.array([0.0, 1.0, 12.0, 13.0])
    no, labels = np.zeros(4, bool), np.array([0.0, 0.0, 0.0, 1.0])
    learner.observe("p", times, ["m"] * 4, np.arange(4), np.zeros((4, 2), np.float32), no, labels, 13.0)
    assert not (learner.training_rows()[1] == 1).any()  # a gap longer than a bucket


def test_of_too_many_entities_the_one_silent_longest_is_forgotten() -> None:
    labels = [np.nan, np.nan, np.nan, np.nan, np.nan, 1.0, 1.0]
    entities = [0, 0, 1, 1, 2, 0, 1]  # 2 takes the place of 0, 0 that of 1
    seen: Records = [(0, False, 0.0), *((e, False, y) for e, y in zip(entities, labels, strict=True))]
    assert not (learned(seen, []).training_rows()[1] == 1).any()
    alone: Records = [(0, False, 0.0), (0, False, np.nan), (0, False, np.nan), (0, False, 1.0)]
    assert numbers(learned(alone, []).training_rows()[0]) == [[1, 2, 3]]


def test_a_window_longer_than_what_is_kept_of_a_bucket_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="window=7 must be from 1 to holdout_rows_per_bucket=6"):
        replace(POLICY, window=7)
