"""What the alerts and scores are worth beside the truth: by record, by event, by attack; counted while they pass.

Memory grows with attacks, alerts and entities, not with records.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.backtest.attacks import Attack, AttackList, Events, telling
from services.backtest.chain import Piece, Poll
from services.backtest.histogram import Curve, ScoreHistogram
from services.backtest.score_line import ScoreLine, moment
from streamgauge.evaluation.metrics import Quality, quality
from streamgauge.profiles.profile import Profile
from streamgauge.stream.alerts import AlertChange

_DAY_S = 86_400.0
_WORST_ALERTS = 50


@dataclass(frozen=True)
class Measured:
    """The result.

    Attributes:
        numbers: of the whole tested part, JSON-able.
        attacks: in order of their begin.
        telling: feature -> mean share in the scores of explained records.
        curve: precision and recall; None without abnormal records.
        line: the scores over the records.
        worst_alerts: those with the highest scores, the worst first.
    """

    numbers: dict[str, Any]
    attacks: list[Attack]
    telling: dict[str, float]
    curve: Curve | None
    line: ScoreLine
    worst_alerts: list[AlertChange]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the curve only by its area."""
        return {**self.numbers, "telling": self.telling, "attacks": [asdict(attack) for attack in self.attacks]}


class Measuring:
    """Counts what the chain makes of the tested rows; without a label one is neither normal nor abnormal.

    Args:
        profile: names the features.
        rows: that are tested.
        gap_s: abnormal records of one type and entity closer than this are one attack.
    """

    def __init__(self, profile: Profile, rows: int, gap_s: float) -> None:
        self._names = [f.feature.name for f in profile.numeric] + [f.feature.name for f in profile.categorical]
        self.rows, self._gap_s = rows, gap_s
        self._scored = self._above = self._alerts = 0
        self._rejected: Counter[str] = Counter()
        self._times = np.inf, -np.inf
        self._counts = Quality(0, 0, 0, 0)
        self._histogram, self._line = ScoreHistogram(), ScoreLine(rows)
        self._real, self._alarms = Events(gap_s), Events(gap_s)
        self._attacks = AttackList(gap_s, self._names)
        self._covered_s, self._last_normal = 0.0, np.nan
        self._shares, self._explained = np.zeros(len(self._names)), 0
        self._worst: list[tuple[float, int, AlertChange]] = []

    def take(self, poll: Poll) -> None:
        """Count the next records."""
        self._rejected += poll.rejected
        for piece in poll.pieces:
            self._take_alerts(piece.alerts)
            if len(piece.scores):
                self._take(piece)

    def _take(self, piece: Piece) -> None:
        labels, times = piece.truth.labels, piece.times
        known, truth, called = ~np.isnan(labels), labels == 1, piece.scores >= 1.0
        self._scored += len(labels)
        self._above += int(called.sum())
        self._times = min(self._times[0], float(times.min())), max(self._times[1], float(times.max()))
        self._counts = _sum(self._counts, quality(called[known], truth[known]))
        self._histogram.add(piece.scores[known], truth[known])
        self._line.add(piece.truth.rows, times, piece.scores)
        self._cover(times[known & ~truth])
        for i in np.flatnonzero(known & (truth | called)).tolist():
            if truth[i]:
                self._real.add(piece.entities[i], float(times[i]), bool(called[i]))
            if called[i]:
                self._alarms.add(piece.entities[i], float(times[i]), bool(truth[i]))
        self._attacks.add(piece)
        self._shares += piece.shares.sum(axis=0)
        self._explained += len(piece.shares)

    def _cover(self, times: NDArray[np.float64]) -> None:
        """Time that normal records stand for; holes longer than the gap do not count."""
        if not len(times):
            return
        steps = np.diff(np.fmax.accumulate(np.concatenate([[self._last_normal], times])))
        self._covered_s += float(np.nansum(steps[~(steps > self._gap_s)]))
        self._last_normal = float(np.fmax(self._last_normal, times.max()))

    def _take_alerts(self, alerts: Sequence[AlertChange]) -> None:
        for alert in alerts:
            self._alerts += 1
            heapq.heappush(self._worst, (alert.worst.score, -self._alerts, alert))
            if len(self._worst) > _WORST_ALERTS:
                heapq.heappop(self._worst)

    def result(self) -> Measured:
        """Of all that was taken."""
        counts = self._counts
        abnormal = counts.true_positives + counts.false_negatives
        normal = counts.false_positives + counts.true_negatives
        numbers: dict[str, Any] = {
            "records": self.rows,
            "scored": self._scored,
            "labelled": abnormal + normal,
            "abnormal": abnormal,
            "above": self._above,
            "alerts": self._alerts,
            "rejected": dict(self._rejected),
            "from": moment(self._times[0]) if self._scored else None,
            "until": moment(self._times[1]) if self._scored else None,
        }
        curve = self._histogram.curve() if abnormal else None
        if abnormal + normal:
            numbers |= self._rates(counts)
        if curve is not None:
            numbers["average_precision"] = curve.average_precision
        means = self._shares / max(1, self._explained)
        worst = [alert for *_, alert in sorted(self._worst, key=lambda each: each[:2], reverse=True)]
        return Measured(
            numbers, self._attacks.result(), telling(means, self._names), curve, self._line.finished(), worst
        )

    def _rates(self, counts: Quality) -> dict[str, Any]:
        abnormal = counts.true_positives + counts.false_negatives
        normal = counts.false_positives + counts.true_negatives
        days = self._covered_s / _DAY_S
        false_events = self._alarms.count - self._alarms.hit
        numbers: dict[str, Any] = {
            "false_alarm_rate": counts.false_alarm_rate,
            "false_events": false_events,
            "false_events_per_day": false_events / days if days else None,
        }
        if abnormal:
            numbers |= {
                "precision": counts.precision,
                "recall": counts.recall,
                "f1": counts.f1,
                "always_alarm_f1": counts.always_alarm_f1,
                "events": self._real.count,
                "events_found": self._real.hit,
            }
        if abnormal and normal:
            numbers["auc"] = self._histogram.auc()
        return numbers


def _sum(one: Quality, other: Quality) -> Quality:
    names = one.__dataclass_fields__
    return Quality(*(getattr(one, name) + getattr(other, name) for name in names))
