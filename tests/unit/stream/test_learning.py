"""What is learned, held out and dropped, against a plain reference; state and batches change nothing."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError, StateError
from streamgauge.stream.grouping import OTHER_ENTITIES
from streamgauge.stream.learning import Learner, LearningPolicy, Settled
from tests.support.examples import examples

CENTRE = np.array([1.0, -2.0, 0.5])
POLICY = LearningPolicy(
    bucket_s=10, delay_s=30, rows_per_bucket=2, holdout_every=3, holdout_rows_per_bucket=2, reservoir_rows=12,
    holdout_rows=9, labelled_rows=5, keep_positions=True,
)  # fmt: skip
NAN = float("nan")


@dataclass(frozen=True)
class Record:
    time: float
    entity: str = "a"
    abnormal: bool = False
    label: float = NAN


def x_of(offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows that tell their offset; some cells masked."""
    x = np.stack([offsets, offsets % 7, -offsets], axis=1).astype(np.float32)
    x[offsets % 5 == 0, 1] = np.nan
    return x


def observe(learner: Learner, records: Sequence[Record], start: int = 0, partition: str = "p") -> None:
    offsets = np.arange(start, start + len(records))
    times = np.array([r.time for r in records], np.float64)
    learner.observe(
        partition,
        times,
        [r.entity for r in records],
        offsets,
        x_of(offsets),
        np.array([r.abnormal for r in records], bool),
        np.array([r.label for r in records], np.float32),
        float(times.max()) if len(times) else 0.0,
    )


def expected_learned(records: Sequence[Record], top: float) -> set[int]:
    """Offsets learned once the watermark is `top`, by the plain rules."""

    def final_at(minute: int) -> float:
        return (minute + 1) * POLICY.bucket_s + POLICY.delay_s

    poisoned: set[tuple[str, int]] = set()
    buckets: dict[tuple[str, int, bool], set[int]] = defaultdict(set)
    mark = -np.inf
    for i, r in enumerate(records):
        mark = max(mark, r.time)
        minute = int(r.time // POLICY.bucket_s)
        if r.label == 1 or (r.abnormal and r.label != 0):
            poisoned |= {(r.entity, m) for m in range(minute - 1, minute + 2) if final_at(m) > mark}
        elif final_at(minute) > mark:
            buckets[r.entity, minute, r.label == 0].add(i)
    good = [
        offsets
        for (entity, minute, trusted), offsets in buckets.items()
        if final_at(minute) <= top and (trusted or (entity, minute) not in poisoned)
    ]
    return set().union(*good)


records_st = st.lists(
    st.builds(
        Record,
        time=st.integers(0, 12).map(float),  # step
        entity=st.sampled_from("abc"),
        abnormal=st.sampled_from([False] * 9 + [True]),
        label=st.sampled_from([NAN] * 8 + [0.0, 1.0]),
    ),
    min_size=1,
    max_size=80,
).flatmap(
    lambda steps: st.lists(
        st.sampled_from([0.0] * 8 + [15.0, 60.0]), min_size=len(steps), max_size=len(steps)
    ).map(
        lambda late: [
            Record(float(t) - d, r.entity, r.abnormal, r.label)
            for t, d, r in zip(np.cumsum([r.time for r in steps]), late, steps, strict=True)
        ]
    )
)


def run_split(
    records: Sequence[Record], cuts: Sequence[int], settle: bool, policy: LearningPolicy = POLICY
) -> tuple[Learner, list[Settled]]:
    learner, settled = Learner(policy, CENTRE, 7), []
    edges = [0, *sorted(c % (len(records) + 1) for c in cuts), len(records)]
    for start, stop in itertools.pairwise(edges):
        observe(learner, records[start:stop], start)
        if settle:
            settled += learner.settle({"p": 1e9})
        learner = Learner.from_state(learner.to_state(), policy, CENTRE, 7)
    return learner, settled + learner.settle({"p": 1e9})


def assert_same_state(one: Any, other: Any) -> None:
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, array in one[1].items():
        if name == "sums" or name.endswith((".total", ".squares")):
            np.testing.assert_allclose(other[1][name], array, rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_array_equal(other[1][name], array, err_msg=name)


@given(records_st)
def test_learns_what_the_plain_rules_say(records: list[Record]) -> None:
    learner, settled = run_split(records, (), settle=False)
    expected = expected_learned(records, max(r.time for r in records))
    learned = [int(o) for s in settled if s.learned for o in s.offsets]
    assert sorted(learned) == sorted(expected)
    assert learner.records_learned == len(expected)
    x = x_of(np.array(sorted(expected), np.int64)).astype(np.float64) - CENTRE
    np.testing.assert_array_equal(learner.moments.n, (~np.isnan(x)).sum(0))
    np.testing.assert_allclose(learner.moments.sum, np.nansum(x, 0), rtol=1e-9)
    np.testing.assert_allclose(learner.moments.sumsq, np.nansum(x * x, 0), rtol=1e-9)


@examples(15)
@given(records_st, st.lists(st.integers(0, 80), max_size=5), st.booleans())
def test_batches_and_saved_state_change_nothing(records: list[Record], cuts: list[int], settle: bool) -> None:
    whole, _ = run_split(records, (), settle=False)
    parts, _ = run_split(records, cuts, settle)
    np.testing.assert_allclose(parts.moments.sum, whole.moments.sum, rtol=1e-9, atol=1e-9)
    assert parts.records_learned == whole.records_learned
    for mine, theirs in zip(parts.training_rows(), whole.training_rows(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(parts.holdout().x, whole.holdout().x)
    np.testing.assert_array_equal(parts.holdout().row_exposure_s, whole.holdout().row_exposure_s)


@given(records_st)
def test_a_state_that_was_taken_stays_as_it_was_while_the_learner_goes_on(records: list[Record]) -> None:
    learner, half = Learner(POLICY, CENTRE, 7), len(records) // 2
    observe(learner, records[:half], 0)
    learner.settle({"p": 1e9})
    values, arrays = learner.to_state()
    before = json.dumps(values), {name: array.copy() for name, array in arrays.items()}
    observe(learner, records[half:], half)
    learner.settle({"p": 1e9})
    assert_same_state((json.loads(before[0]), before[1]), (json.loads(json.dumps(values)), arrays))


@given(records_st)
def test_state_round_trip_is_exact(records: list[Record]) -> None:
    learner, _ = run_split(records, (len(records) // 2,), settle=True)
    assert_same_state(learner.to_state(), Learner.from_state(learner.to_state(), POLICY, CENTRE, 7).to_state())


CROWDED = replace(POLICY, max_entities=2)
crowd_st = records_st.flatmap(
    lambda records: st.lists(st.sampled_from("abcde"), min_size=len(records), max_size=len(records)).map(
        lambda names: [replace(r, entity=name) for r, name in zip(records, names, strict=True)]
    )
)


@examples(25)
@given(crowd_st, st.lists(st.integers(0, 80), max_size=5), st.booleans())
def test_who_shares_a_quarantine_depends_on_the_log_alone(
    records: list[Record], cuts: list[int], settle: bool
) -> None:
    whole, settled = run_split(records, (), False, CROWDED)
    parts, in_parts = run_split(records, cuts, settle, CROWDED)
    assert fates(in_parts) == fates(settled)
    for mine, theirs in zip(parts.training_rows(), whole.training_rows(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(parts.holdout().x, whole.holdout().x)


def fates(settled: list[Settled]) -> dict[int, tuple[str, bool]]:
    return {int(o): (s.entity, s.learned) for s in settled for o in s.offsets}


@examples(25)
@given(crowd_st)
def test_sharing_a_quarantine_never_learns_more(records: list[Record]) -> None:
    _, settled = run_split(records, (), False, CROWDED)
    learned = {offset for offset, (_, good) in fates(settled).items() if good}
    assert learned <= expected_learned(records, max(r.time for r in records))


def test_entities_that_have_gone_make_room_for_others() -> None:
    learner, settled = Learner(CROWDED, CENTRE, 0), []
    for k, pair in enumerate(["ab", "cd", "ef", "gh"]):  # each pair when the quarantine of the one before is over
        observe(learner, [Record(100.0 * k, pair[0]), Record(100.0 * k, pair[1]), Record(100.0 * k, "z")], 3 * k)
        settled += learner.settle({"p": 100.0 * k})
        learner = Learner.from_state(learner.to_state(), CROWDED, CENTRE, 0)
    names = [fates(settled)[offset][0] for offset in sorted(fates(settled))]
    assert names == ["a", "b", OTHER_ENTITIES, "c", "d", OTHER_ENTITIES, "e", "f", OTHER_ENTITIES]
    (partition,) = learner.to_state()[0]["partitions"]
    assert len(partition["entities"]) == 3


def minutes(*numbers: int, per: int = 5) -> list[Record]:
    return [Record(m * 10 + k * 10 / per) for m in numbers for k in range(per)]


def test_hold_out_is_chosen_by_minute_and_never_trained_on() -> None:
    learner = Learner(POLICY, CENTRE, 0)
    observe(learner, minutes(*range(12)))
    learner.settle({"p": 115.0})  # minutes 0 to 7 are final
    held = learner.holdout()
    assert held.times.tolist() == [0, 2, 30, 32, 60, 62]  # the first two rows of minutes 0, 3, 6
    assert held.row_exposure_s.tolist() == [2.0] * 6
    assert held.half.tolist() == [False, False, True, True, False, False]
    assert held.part(True).exposure_s == 4.0
    x, y = learner.training_rows()
    assert len(x) == 2 * 5
    assert not set(x[:, 0] // 5) & {0, 3, 6}
    assert np.isnan(y).all()
    assert learner.records_learned == 40  # the moments count held-out records too


def test_an_alert_drops_its_minute_and_the_neighbours_of_its_entity_only() -> None:
    learner = Learner(POLICY, CENTRE, 0)
    records = [*minutes(1, 2, 3, 4), Record(49, "b"), Record(49, abnormal=True), Record(200)]
    observe(learner, records)
    settled = {(s.entity, s.offsets[0]): s for s in learner.settle({"p": 1e9})}
    assert [s.learned for s in settled.values()] == [True, True, False, False, True]
    assert [s.entity for s in settled.values()] == ["a", "a", "a", "a", "b"]
    assert learner.records_dropped == 10


def test_labels_are_learned_as_labelled() -> None:
    learner = Learner(POLICY, CENTRE, 0)
    observe(learner, [Record(11, label=0, abnormal=True), Record(12, label=1), Record(13), Record(100)])
    assert learner.training_rows()[1].tolist() == [1.0]  # at once
    learner.settle({"p": 1e9})
    assert sorted(learner.training_rows()[1].tolist()) == [0.0, 1.0]
    assert learner.records_learned == 1  # the unlabelled record beside the attack is doubtful


def test_memory_is_bounded() -> None:
    policy = LearningPolicy(
        bucket_s=10, delay_s=30, reservoir_rows=20, holdout_rows=10, labelled_rows=5, max_entities=3
    )
    learner = Learner(policy, CENTRE, 0)
    for k in range(40):
        observe(
            learner, [Record(k * 10 + i / 10, f"e{i}", label=1.0 if i == 9 else NAN) for i in range(10)], k * 10
        )
        learner.settle({"p": k * 10.0})
    values, arrays = learner.to_state()
    assert len(arrays["reservoir.x"]) == 20
    assert len(arrays["holdout.x"]) == 10
    assert len(arrays["labelled.x"]) == 5
    assert len(arrays["quarantine.0.table"]) <= 4 * 7
    assert len(values["partitions"][0]["entities"]) == 4  # three and the shared one


def test_partitions_are_apart_and_can_be_forgotten() -> None:
    learner = Learner(POLICY, CENTRE, 0)
    for partition in "pq":
        observe(learner, [*minutes(1, 2), Record(200)], partition=partition)
    learner.forget("q")
    assert {s.partition for s in learner.settle({"p": 200.0, "q": 200.0})} == {"p"}


def test_wrong_policy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="holdout_every=1"):
        LearningPolicy(holdout_every=1)
    with pytest.raises(ConfigurationError, match="delay_s=5"):
        LearningPolicy(delay_s=5)


def test_state_of_other_columns_is_refused() -> None:
    state = Learner(POLICY, CENTRE, 0).to_state()
    with pytest.raises(StateError, match="3 columns, expected 2"):
        Learner.from_state(state, POLICY, CENTRE[:2], 0)


@pytest.mark.parametrize(("window", "per_minute"), [(1, 20), (1, 600), (16, 20), (16, 600)])
def test_alarms_count_over_the_time_that_held_out_rows_stand_for(window: int, per_minute: int) -> None:
    """One alarm in every fifth held-out minute: so many per held-out minute, whatever share of it has rows."""
    minutes = 200
    learner = Learner(LearningPolicy(window=window, delay_s=60, guard_buckets=0), np.zeros(1), 0)
    times = np.repeat(np.arange(minutes) * 60.0, per_minute) + np.tile(np.linspace(0, 59, per_minute), minutes)
    n = len(times)
    abnormal = np.zeros(n, bool)
    abnormal[:: 20 * per_minute] = True
    learner.observe(
        "p",
        times,
        ["e"] * n,
        np.arange(n),
        np.zeros((n, 1), np.float32),
        abnormal,
        np.full(n, np.nan, np.float32),
        float(times[-1]),
    )
    learner.settle({"p": float(times[-1])})
    holdout = learner.holdout()
    share = holdout.alarms / (holdout.exposure_s / 60 + holdout.alarms)
    # With 20 records a minute the one that is abnormal costs a fifth of the windows.
    assert share == pytest.approx(1 / 5, rel=0.25)


@pytest.mark.parametrize("window", [1, 2])
def test_a_state_that_was_taken_does_not_change_while_the_learner_goes_on(window: int) -> None:
    """A thread writes it meanwhile (docs/adr/040-checkpoint-beside-the-loop.md)."""
    learner, offset = Learner(replace(POLICY, window=window), CENTRE, 7), 0
    for _ in range(12):
        kept: list[tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]] = []
        for _ in range(3):
            arrays = learner.to_state()[1]
            kept.append((arrays, {name: array.copy() for name, array in arrays.items()}))
            records = [
                Record(offset + k, "ab"[k % 2], offset + k == 7, 1.0 if offset + k == 37 else NAN)
                for k in range(20)
            ]
            observe(learner, records, offset)
            offset += len(records)
            learner.settle({"p": float(offset)})
            if window == 1:
                learner.judged.add(f"alert {offset}", 1, 1.0, learner._reservoir.rows())
        for arrays, copies in kept:
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, copies[name], err_msg=name)
    assert learner.records_learned
    assert learner.holdout_count
