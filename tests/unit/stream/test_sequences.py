"""Carried state: the scores are those of one record at a time, wherever batches end, and survive a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.detectors.base import Statistics, Weights
from streamgauge.detectors.lstm import Lstm
from streamgauge.errors import StateError
from streamgauge.layout import initial_weights
from streamgauge.stream.sequences import SequenceStates
from tests.support.examples import examples

WIDTH, GAP_S, SETTLE = 3, 100.0, 2
DETECTOR = Lstm(WIDTH, {"units": 5, "gap_s": GAP_S, "settle": SETTLE})
WEIGHTS = {name: torch.tensor(w) for name, w in initial_weights(DETECTOR.layout, 3).items()}
MODEL: tuple[str, Weights, Statistics] = ("release 1", WEIGHTS, {})


@dataclass(frozen=True)
class Stream:
    """Records of some entities in log order."""

    times: NDArray[np.float64]
    entities: list[str]
    x: NDArray[np.float32]

    def part(self, start: int, end: int) -> Stream:
        return Stream(self.times[start:end], self.entities[start:end], self.x[start:end])

    def parts(self, cuts: Sequence[int]) -> Iterator[Stream]:
        ends = [0, *sorted(cut % (len(self.times) + 1) for cut in cuts), len(self.times)]
        return (self.part(a, b) for a, b in pairwise(ends))


def stream_of(steps: Sequence[tuple[int, float]]) -> Stream:
    """From entities' numbers and seconds since the record before."""
    times = 1000.0 + np.cumsum([seconds for _, seconds in steps], dtype=np.float64)
    x = np.random.default_rng(len(steps)).normal(size=(len(steps), WIDTH)).astype(np.float32)
    return Stream(times, [f"machine {k}" for k, _ in steps], x)


streams = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, 7.0, 40.0, 90.0, 130.0, -20.0])), max_size=60
).map(stream_of)


def scored(states: SequenceStates, stream: Stream) -> NDArray[np.float64]:
    step = states.step(DETECTOR, MODEL, stream.x, stream.times, stream.entities)
    states.commit(step)
    return step.scores


@dataclass
class Plain:
    """The rules, record by record."""

    max_entities: int
    known: dict[str, tuple[int, float, torch.Tensor, int]] = field(default_factory=dict)
    watermark: float = -np.inf
    overflowed: int = 0

    def score(self, time: float, entity: str, x: NDArray[np.float32]) -> float:
        self.watermark = max(self.watermark, time)
        slot, last, state, age = self.known.get(entity, (-1, -np.inf, torch.zeros(1, DETECTOR.state_size), 0))
        if slot < 0:
            slot = self._slot()
        if abs(time - last) > GAP_S:
            state, age = torch.zeros(1, DETECTOR.state_size), 0
        row = torch.from_numpy(x[None])
        forecast, state = DETECTOR.forecast(WEIGHTS, row, torch.ones(1, dtype=torch.int64), state)
        if slot < 0:
            self.overflowed += 1
        else:
            self.known[entity] = (slot, time, state, age + 1)
        return 0.0 if age < SETTLE else float(DETECTOR.score_errors({}, row - forecast))

    def _slot(self) -> int:
        if len(self.known) < self.max_entities:
            return len(self.known)
        name = min(self.known, key=lambda n: (self.known[n][1], self.known[n][0]))
        if self.watermark - self.known[name][1] > GAP_S:
            return self.known.pop(name)[0]
        return -1


@examples(25)
@given(streams, st.lists(st.integers(0, 60), max_size=6), st.integers(1, 7))
def test_scores_are_those_of_one_record_at_a_time_wherever_batches_end(
    stream: Stream, cuts: list[int], max_entities: int
) -> None:
    plain, states = Plain(max_entities), SequenceStates(max_entities)
    columns = zip(stream.times, stream.entities, stream.x, strict=True)
    expected = [plain.score(float(time), entity, x) for time, entity, x in columns]
    scores = [score for part in stream.parts(cuts) for score in scored(states, part).tolist()]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    assert states.overflowed == plain.overflowed
    assert len(states) == len(plain.known) <= max_entities


@examples(25)
@given(streams, st.integers(0, 60), st.integers(1, 7))
def test_a_restart_in_between_changes_nothing(stream: Stream, cut: int, max_entities: int) -> None:
    states = SequenceStates(max_entities)
    head, tail = stream.parts([cut])
    scored(states, head)
    again = SequenceStates.from_state(json.loads(json.dumps(states.to_state())), max_entities)
    assert scored(states, tail).tolist() == scored(again, tail).tolist()
    assert states.to_state() == again.to_state()


def test_a_step_that_is_not_committed_changes_nothing() -> None:
    stream = stream_of([(k % 3, 1.0) for k in range(30)])
    states = SequenceStates()
    scored(states, stream.part(0, 20))
    before = states.to_state()
    first = states.step(DETECTOR, MODEL, *_columns(stream.part(20, 30)))
    assert states.to_state() == before
    assert scored(states, stream.part(20, 30)).tolist() == first.scores.tolist()


def _columns(stream: Stream) -> tuple[NDArray[np.float32], NDArray[np.float64], list[str]]:
    return stream.x, stream.times, stream.entities


def test_states_of_another_model_are_forgotten() -> None:
    stream = stream_of([(0, 1.0)] * 12)
    states = SequenceStates()
    assert (scored(states, stream.part(0, 6)) > 0).tolist() == [False] * SETTLE + [True] * 4
    step = states.step(DETECTOR, ("release 2", WEIGHTS, {}), *_columns(stream.part(6, 12)))
    assert (step.scores > 0).tolist() == [False] * SETTLE + [True] * 4
    states.commit(step)
    fresh = SequenceStates()
    fresh.commit(fresh.step(DETECTOR, ("release 2", WEIGHTS, {}), *_columns(stream.part(6, 12))))
    assert states.to_state() == fresh.to_state()


def test_ten_thousand_entities_take_five_megabytes_at_most() -> None:
    detector = Lstm(WIDTH, {})
    weights = {name: torch.tensor(w) for name, w in initial_weights(detector.layout, 3).items()}
    states, n = SequenceStates(10_000), 12_000
    x = np.random.default_rng(0).normal(size=(n, WIDTH)).astype(np.float32)
    names = [f"machine {k}" for k in range(n)]
    states.commit(states.step(detector, ("m", weights, {}), x, np.zeros(n), names))
    assert (len(states), states.overflowed) == (10_000, 2_000)
    assert len(json.dumps(states.to_state())) < 5_000_000


def test_a_damaged_state_is_refused() -> None:
    states = SequenceStates()
    scored(states, stream_of([(k, 1.0) for k in range(3)]))
    state = states.to_state()
    with pytest.raises(StateError, match="2 entities"):
        SequenceStates.from_state({**state, "entities": state["entities"][:2]})
