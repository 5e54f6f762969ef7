"""Where the alarm line lies: an allowed rate of false-alarm events, or the best F-beta where labels exist."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError, StateError
from streamgauge.evaluation.metrics import event_ids

Floats = NDArray[np.float64]
DAY_S = 86_400.0
FEWEST_EVENTS = 10
"""With fewer events allowed in the held-out time, the threshold is an extrapolation: it says so."""
LEAST_ALLOWED = 0.05
"""Events still allowed where more were dropped than the rate allows, as in a flood of attacks."""
TAIL_EVENTS = 50
"""The tail is fitted above a level with at most so many events."""
MARGIN = 1e-6
"""How far, relatively, the extrapolated line is above the highest score; more than float32 rounds away."""
MINIMUM = 1e-9
"""Smallest threshold: a score is divided by it."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The alarm line for raw scores; a record is abnormal from ``raw_score >= value``.

    Attributes:
        value: positive, finite.
        method: how it was found; `tail` is the fit for less than one allowed event.
        allowed_events: false-alarm events that the rate allows among the held-out records, after those that were
            dropped with an alarm; None for F-beta.
        events: events that the held-out records would have made at `value`; for F-beta, false positives.
        extrapolated: fewer than `FEWEST_EVENTS` events were allowed, so the value rests on few or no events.
        held_out: presumed-normal records that `above` was taken from; 0: unknown.
        above: their raw scores from `value` on up, rising.
    """

    value: float
    method: Literal["event_rate", "tail", "fbeta"]
    allowed_events: float | None
    events: int
    extrapolated: bool
    held_out: int = 0
    above: tuple[float, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Threshold:
        """From its fields as JSON has them."""
        return cls(**{**plain, "above": tuple(plain.get("above", ()))})

    def beside(self, scores: NDArray[np.floating]) -> Threshold:
        """The same line, knowing the raw scores (n,) of held-out, presumed-normal records."""
        above = np.sort(scores[scores >= self.value]).tolist()
        return replace(self, held_out=len(scores), above=tuple(above))

    def p_value(self, raw: float) -> float | None:
        """Probability that a normal record scores at least `raw`; None below the line or where it is unknown.

        ``(1 + held-out records that score at least raw) / (1 + held-out records)``: the conformal p-value (Vovk et
        al. 2005), right as long as normal records are exchangeable with the held-out ones. Records above the line
        in force are never held out, so it is too small by about the rate of false alarms.
        """
        if not self.held_out or raw < self.value:
            return None
        at_least = len(self.above) - bisect.bisect_left(self.above, raw)
        return (1 + at_least) / (1 + self.held_out)


def by_event_rate(
    scores: NDArray[np.floating],
    times: Floats,
    entities: Sequence[str],
    exposure_s: float,
    events_per_day: float,
    gap_s: float,
    max_share: float = 0.05,
    dropped_events: float = 0.0,
) -> Threshold:
    """The lowest held-out score from which on up the events stay within the allowed rate.

    Held-out records with at least that score are grouped into events as alerts are (by gap). Going down from the
    highest score, the search stops before the events first exceed the allowed number: further down, events grow
    together and would be fewer again, up to one endless alert. It also stops before more than `max_share` of the
    records would be abnormal.

    Where less than one event is allowed, held-out records cannot show the line. Then the tail is extrapolated:
    above a level u with at most `TAIL_EVENTS` events, the events' peaks are taken as exponential with their mean
    excess b, and the line is ``u + b * ln(events at u / allowed)``, always above the highest score seen.

    A record above the line in force is never held out, nor what is near. Without those events every recalibration
    would allow the full rate again, on top of what the last one allowed, and the line would sink from release to
    release. So they are taken from the allowed number; at least `LEAST_ALLOWED` is left.

    Args:
        scores: (n,) raw scores of held-out, presumed-normal records; finite, at least one.
        times: (n,) event time in seconds, any order.
        entities: n names.
        exposure_s: entity-seconds that the records stand for.
        events_per_day: allowed false-alarm events per day and entity, positive.
        gap_s: as in the grouping policy.
        max_share: in (0, 1].
        dropped_events: alarms in the held-out time whose records are not among `scores`; shares of minutes count.
    Raises:
        StateError: no scores, or one that is not finite.
        ConfigurationError: rate, exposure or share out of range.
    """
    scores = _checked(scores)
    allowed = events_per_day * exposure_s / DAY_S
    if not (np.isfinite(allowed) and allowed > 0 and 0 < max_share <= 1):
        raise ConfigurationError(
            f"events_per_day={events_per_day}, exposure_s={exposure_s}, max_share={max_share}: "
            "rate and exposure must be positive, the share in (0, 1]"
        )
    allowed = max(allowed - dropped_events, min(allowed, LEAST_ALLOWED))
    levels = _descend(scores, times, entities, gap_s, int(max_share * len(scores)), allowed)
    if allowed < 1 or not levels:
        return _by_tail(scores, times, entities, allowed, gap_s)
    value = max(levels[-1], MINIMUM)
    return Threshold(
        value, "event_rate", allowed, _events_at(value, scores, times, entities, gap_s), allowed < FEWEST_EVENTS
    )


def _descend(
    scores: Floats, times: Floats, entities: Sequence[str], gap_s: float, most: int, allowed: float
) -> list[float]:
    """Distinct scores from the highest down, as long as events and records stay within the limits."""
    order = np.argsort(-scores, kind="stable")[: most + 1]
    active: dict[str, list[float]] = {}
    levels: list[float] = []
    events, k = 0, 0
    while k < len(order):
        level = scores[order[k]]
        while k < len(order) and scores[order[k]] == level:
            i = int(order[k])
            events += _joins(active.setdefault(entities[i], []), float(times[i]), gap_s)
            k += 1
        if k > most or events > allowed:
            break
        levels.append(float(level))
    return levels


def _joins(active: list[float], time: float, gap_s: float) -> int:
    """Add a record to an entity's sorted times; by how much the number of events changes: +1, 0 or -1."""
    at = bisect.bisect(active, time)
    before = at > 0 and not active[at - 1] + gap_s < time
    after = at < len(active) and not time + gap_s < active[at]
    joined = at > 0 and at < len(active) and not active[at - 1] + gap_s < active[at]
    active.insert(at, time)
    return 1 - before - after + joined


def _events_at(value: float, scores: Floats, times: Floats, entities: Sequence[str], gap_s: float) -> int:
    rows = np.flatnonzero(scores >= value)
    return len(np.unique(event_ids(times[rows], [entities[i] for i in rows.tolist()], gap_s)))


def _by_tail(scores: Floats, times: Floats, entities: Sequence[str], allowed: float, gap_s: float) -> Threshold:
    top = float(scores.max())
    levels = _descend(scores, times, entities, gap_s, max(2, len(scores) // 10), TAIL_EVENTS)
    level = levels[-1] if levels else top
    rows = np.flatnonzero(scores >= level)
    ids = event_ids(times[rows], [entities[i] for i in rows.tolist()], gap_s)
    peaks = np.full(ids.max() + 1, level)
    np.maximum.at(peaks, ids, scores[rows])
    # Without any spread above the level (one event, or ties) a tenth of the highest score stands for it.
    excess = float((peaks - level).mean()) or 0.1 * max(top, MINIMUM)
    value = max(level + excess * float(np.log(max(1.0, len(peaks) / allowed))), top * (1.0 + MARGIN))
    return Threshold(max(value, MINIMUM), "tail", allowed, 0, True)


def by_fbeta(scores: NDArray[np.floating], labels: NDArray[np.floating], beta: float = 1.0) -> Threshold:
    """The score that gives the best F-beta on labelled records; of equals, the highest.

    Args:
        scores: (n,) raw scores, finite.
        labels: (n,) 1 abnormal, 0 normal, NaN unknown (left out).
        beta: recall counts beta times as much as precision; positive.
    Raises:
        StateError: not both classes are there.
        ConfigurationError: beta out of range.
    """
    if not (np.isfinite(beta) and beta > 0):
        raise ConfigurationError(f"beta={beta} must be positive and finite")
    known = ~np.isnan(labels)
    truth = labels[known] == 1
    if not truth.any() or truth.all():
        raise StateError(
            f"F-beta needs both classes; got {int(truth.sum())} abnormal of {len(truth)} labelled records"
        )
    values = _checked(scores[known])
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    found = np.cumsum(truth[order])
    last = np.append(ranked[:-1] != ranked[1:], True)  # ties are called together
    weight = beta * beta
    f = (1 + weight) * found / (weight * truth.sum() + np.arange(1, len(ranked) + 1))
    best = int(np.argmax(np.where(last & (ranked > 0), f, -1.0)))
    return Threshold(max(float(ranked[best]), MINIMUM), "fbeta", None, int(best + 1 - found[best]), False)


def _checked(scores: NDArray[np.floating]) -> Floats:
    values = np.asarray(scores, np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise StateError(f"a threshold needs finite scores, got {len(values)}; wait for held-out records")
    return values
