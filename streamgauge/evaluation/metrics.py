"""How well scores tell abnormal from normal, by record and by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError

Floats = NDArray[np.floating]


def auc(normal: Floats, abnormal: Floats) -> float:
    """Probability that an abnormal record scores higher than a normal one; ties count half.

    Args:
        normal: (n,) scores, at least one, finite.
        abnormal: (m,) scores, at least one, finite.
    Raises:
        StateError: one of them is empty.

    >>> auc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    if not len(normal) or not len(abnormal):
        raise StateError(f"AUC of {len(normal)} normal and {len(abnormal)} abnormal scores; both are needed")
    ranked = np.sort(normal)
    below = np.searchsorted(ranked, abnormal, "left").astype(np.float64)
    up_to = np.searchsorted(ranked, abnormal, "right").astype(np.float64)
    return float((below + up_to).sum() / (2.0 * len(normal) * len(abnormal)))


@dataclass(frozen=True, slots=True)
class Quality:
    """Counts of decisions against the truth; rates that would divide by zero are 0."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float:
        """Share of alarms that were right."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of abnormal records that were found."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal records that were called abnormal."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.fbeta(1.0)

    def fbeta(self, beta: float) -> float:
        """F-beta: recall counts beta times as much as precision."""
        weight = beta * beta
        found = (1.0 + weight) * self.true_positives
        return _ratio(found, found + weight * self.false_negatives + self.false_positives)

    @property
    def always_alarm_f1(self) -> float:
        """F1 of calling every record abnormal; print it beside."""
        share = self.true_positives + self.false_negatives
        return _ratio(2 * share, 2 * share + self.false_positives + self.true_negatives)


def quality(decided: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Quality:
    """Count decisions against the truth; both (n,) bool."""
    return Quality(
        int((decided & truth).sum()),
        int((decided & ~truth).sum()),
        int((~decided & truth).sum()),
        int((~decided & ~truth).sum()),
    )


def event_ids(times: NDArray[np.float64], entities: Sequence[str], gap_s: float) -> NDArray[np.int64]:
    """Number the events that records form: one entity's records no more than `gap_s` apart in time.

    Args:
        times: (n,) event time in seconds, any order.
        entities: n names.
    Returns:
        (n,) int64 from 0, without holes; equal numbers, same event.
    """
    if not len(times):
        return np.empty(0, np.int64)
    codes: dict[str, int] = {}
    entity = np.array([codes.setdefault(name, len(codes)) for name in entities], np.int64)
    order = np.lexsort((times, entity))
    # As the grouper decides it, last + gap < next, so that rounding falls the same way.
    begins = (np.diff(entity[order]) != 0) | (times[order][:-1] + gap_s < times[order][1:])
    ids = np.empty(len(times), np.int64)
    ids[order] = np.concatenate([[0], np.cumsum(begins)])
    return ids


@dataclass(frozen=True, slots=True)
class EventQuality:
    """Alarms as events against true events.

    Attributes:
        events: true events.
        found: true events with at least one record called abnormal.
        false_events: alarm events without any truly abnormal record.
    """

    events: int
    found: int
    false_events: int

    @property
    def recall(self) -> float:
        """Share of true events that were found."""
        return _ratio(self.found, self.events)


def event_quality(
    decided: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    times: NDArray[np.float64],
    entities: Sequence[str],
    gap_s: float,
) -> EventQuality:
    """Compare alarm events with true events; all arguments of n records."""
    real, alarms = np.flatnonzero(truth), np.flatnonzero(decided)
    real_ids = event_ids(times[real], [entities[i] for i in real.tolist()], gap_s)
    alarm_ids = event_ids(times[alarms], [entities[i] for i in alarms.tolist()], gap_s)
    right = np.unique(alarm_ids[truth[alarms]])
    return EventQuality(
        len(np.unique(real_ids)),
        len(np.unique(real_ids[decided[real]])),
        len(np.unique(alarm_ids)) - len(right),
    )


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
