"""Records of a batch grouped into runs of one entity each, packed as a recurrent network wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from streamgauge.detectors.base import Statistics, Weights
    from streamgauge.detectors.sequence import SequenceDetector

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NOBODY = -1
"""Slot of a record whose entity found no place."""


@dataclass(frozen=True)
class Known:
    """What is carried of entities: after their last record.

    Attributes:
        slots: (m,) int64.
        states: (m, size) float32.
        times: (m,) event time, seconds; minus infinity before the first record.
        ages: (m,) int64, records since the empty state.
    """

    slots: Ints
    states: NDArray[np.float32]
    times: Floats
    ages: Ints


@dataclass(frozen=True)
class Runs:
    """m runs of consecutive records of one entity without a gap, longest first; n records.

    Attributes:
        rows: (n,) record of each packed place: the first record of every run, then the second ones, and so on.
        sizes: (longest,) runs that have a record at each step.
        states: (m, size) float32 before each run.
        ages: (n,) records since the empty state before each record, in the order of the records.
        ends: (m,) last record of each run.
    """

    rows: Ints
    sizes: Ints
    states: NDArray[np.float32]
    ages: Ints
    ends: Ints

    def score(
        self, detector: SequenceDetector, weights: Weights, statistics: Statistics, x: NDArray[np.float32]
    ) -> tuple[Floats, NDArray[np.float32], NDArray[np.float32]]:
        """Scores (n,) and forecasts (n, e) in the order of the records x, and the states after each run."""
        if not len(x):
            return np.zeros(0), np.zeros(x.shape, np.float32), self.states
        import torch

        with torch.inference_mode():
            packed = torch.from_numpy(x[self.rows])
            sizes, before = torch.from_numpy(self.sizes), torch.from_numpy(self.states)
            expected, states = detector.forecast(weights, packed, sizes, before)
            raw = detector.score_errors(statistics, detector.compare(packed, expected))
        scores, forecasts = np.empty(len(x)), np.empty(expected.shape, np.float32)
        scores[self.rows], forecasts[self.rows] = raw.numpy(), expected.numpy()
        return scores, forecasts, states.numpy()

    def last(self, slots: Ints, times: Floats, states: NDArray[np.float32]) -> Known:
        """What is carried on: of each slot its last run, given the (m, size) states after the runs."""
        kept = np.flatnonzero(slots[self.ends] != NOBODY)
        kept = kept[np.argsort(self.ends[kept])]
        _, newest = np.unique(slots[self.ends[kept]][::-1], return_index=True)
        kept = kept[::-1][newest]
        ends = self.ends[kept]
        return Known(slots[ends], states[kept], times[ends], self.ages[ends] + 1)


def find_runs(slots: Ints, reused: NDArray[np.bool_], times: Floats, known: Known, gap_s: float) -> Runs:
    """Group records into runs.

    Args:
        slots: (n,) slot of each record's entity or `NOBODY`: such a record is a run of its own.
        reused: (n,) True where a slot has just changed hands.
        times: (n,) event time, seconds.
        known: of slots 0, 1, ... before these records.
        gap_s: a record further from the one before starts a run with an empty state.
    """
    order = np.argsort(slots, kind="stable")
    slot, time = slots[order], times[order]
    head = np.ones(len(slot), bool)
    head[1:] = slot[1:] != slot[:-1]
    before = np.full(len(slot), -np.inf)
    before[1:] = time[:-1]
    before[head] = -np.inf
    earlier = head & (slot >= 0) & (slot < len(known.times))
    before[earlier] = known.times[slot[earlier]]
    empty = (np.abs(time - before) > gap_s) | reused[order] | (slot == NOBODY)
    starts = np.flatnonzero(head | empty)
    sizes = np.diff(np.append(starts, len(slot)))
    longest = np.argsort(-sizes, kind="stable")
    return _packed(order, starts[longest], sizes[longest], empty, slot, known)


def _packed(order: Ints, starts: Ints, sizes: Ints, empty: NDArray[np.bool_], slot: Ints, known: Known) -> Runs:
    """Runs of `sizes` records from the places `starts` of `order`, longest first."""
    carried = ~empty[starts]
    states = np.zeros((len(starts), known.states.shape[1]), np.float32)
    first_ages = np.zeros(len(starts), np.int64)
    states[carried] = known.states[slot[starts[carried]]]
    first_ages[carried] = known.ages[slot[starts[carried]]]
    step = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    records = order[np.repeat(starts, sizes) + step]
    ages = np.empty(len(order), np.int64)
    ages[records] = step + np.repeat(first_ages, sizes)
    packed = np.argsort(step, kind="stable")  # runs are longest first, so their order within a step is right
    return Runs(records[packed], np.bincount(step), states, ages, order[starts + sizes - 1])
