"""What the alerts and scores are worth beside the truth: by record, by event, by attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.backtest.chain import Run
from streamgauge.evaluation.curves import PrecisionRecall, precision_recall
from streamgauge.evaluation.metrics import auc, event_ids, event_quality, quality
from streamgauge.profiles.loaders.table import Table
from streamgauge.profiles.profile import Profile

_TELLING = 8
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Attack:
    """A true event: abnormal records of one type and entity, close together.

    Attributes:
        rows: abnormal records, of which `above` are on or above the alarm line.
        first_row, last_row: in the data.
        start, end: ISO 8601.
        found: an alert has at least one of them.
        delay_s: from the first of them to the first above the line; None where none is.
        peak: highest score; 1 is the alarm line.
        features: the most telling ones of the explained records, with their shares.
    """

    type: str
    entity: str
    rows: int
    above: int
    first_row: int
    last_row: int
    start: str
    end: str
    found: bool
    delay_s: float | None
    peak: float
    features: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """The result.

    Attributes:
        numbers: of the whole tested part, JSON-able; see `measure`.
        attacks: in order of their begin.
        telling: feature -> mean share in the scores of explained records.
        curve: precision and recall; None without abnormal records.
    """

    numbers: dict[str, Any]
    attacks: list[Attack]
    telling: dict[str, float]
    curve: PrecisionRecall | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the curve only by its area."""
        return {**self.numbers, "telling": self.telling, "attacks": [asdict(attack) for attack in self.attacks]}


def measure(table: Table, profile: Profile, run: Run, gap_s: float) -> Measured:
    """Compare.

    Args:
        table: the tested rows; those without a label count neither as normal nor as abnormal.
        profile: names the features.
        run: what the chain made of them.
        gap_s: abnormal records of one type and entity closer than this are one attack.
    """
    scored = ~np.isnan(run.scores)
    known = scored & ~np.isnan(table.labels)
    truth, decided = table.labels == 1, scored & (np.nan_to_num(run.scores) >= 1.0)
    names = [f.feature.name for f in profile.numeric] + [f.feature.name for f in profile.categorical]
    numbers: dict[str, Any] = {
        "records": len(table),
        "scored": int(scored.sum()),
        "labelled": int(known.sum()),
        "abnormal": int((known & truth).sum()),
        "above": int(decided.sum()),
        "alerts": len(run.alerts),
        "rejected": dict(run.rejected),
        "from": moment(float(np.nanmin(table.times))),
        "until": moment(float(np.nanmax(table.times))),
    }
    attacks = _attacks(table, run, decided, names, gap_s)
    curve = None
    if known.any():
        rows = np.flatnonzero(known)
        numbers |= _rates(table, run, decided, rows, gap_s)
        if truth[rows].any():
            curve = precision_recall(run.scores[rows], truth[rows])
            numbers["average_precision"] = curve.average_precision
    return Measured(numbers, attacks, _telling(run.shares, names), curve)


def moment(seconds: float) -> str:
    """Seconds since the epoch in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _rates(
    table: Table, run: Run, decided: NDArray[np.bool_], rows: NDArray[np.int64], gap_s: float
) -> dict[str, Any]:
    truth, called, scores = table.labels[rows] == 1, decided[rows], run.scores[rows]
    counts = quality(called, truth)
    entities = [table.entities[row] for row in rows.tolist()]
    events = event_quality(called, truth, table.times[rows], entities, gap_s)
    days = _covered_s(table.times[rows][~truth], gap_s) / _DAY_S
    numbers: dict[str, Any] = {
        "false_alarm_rate": counts.false_alarm_rate,
        "false_events": events.false_events,
        "false_events_per_day": events.false_events / days if days else None,
    }
    if truth.any():
        numbers |= {
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
            "always_alarm_f1": counts.always_alarm_f1,
            "events": events.events,
            "events_found": events.found,
        }
    if truth.any() and not truth.all():
        numbers["auc"] = auc(scores[~truth], scores[truth])
    return numbers


def _covered_s(times: NDArray[np.float64], gap_s: float) -> float:
    """Time that normal records stand for; holes longer than the gap do not count."""
    steps = np.diff(np.unique(times))
    return float(steps[steps <= gap_s].sum())


def _attacks(table: Table, run: Run, decided: NDArray[np.bool_], names: list[str], gap_s: float) -> list[Attack]:
    rows = np.flatnonzero(table.labels == 1)
    kinds = [str(kind) for kind in table.attack_types[rows]]
    owners = [f"{table.entities[row]}\0{kind}" for row, kind in zip(rows.tolist(), kinds, strict=True)]
    times = np.fmax.accumulate(np.nan_to_num(table.times))[rows]
    ids = event_ids(times, owners, gap_s)
    return sorted(
        (
            _attack(table, run, decided, rows[ids == number], names)
            for number in range(int(ids.max(initial=-1)) + 1)
        ),
        key=lambda attack: attack.first_row,
    )


def _attack(
    table: Table, run: Run, decided: NDArray[np.bool_], rows: NDArray[np.int64], names: list[str]
) -> Attack:
    above, times = rows[decided[rows]], table.times[rows]
    start = float(np.nanmin(times))
    explained = np.isin(run.explained, rows)
    return Attack(
        type=str(table.attack_types[rows[0]]),
        entity=str(table.entities[rows[0]]),
        rows=len(rows),
        above=len(above),
        first_row=int(rows[0]),
        last_row=int(rows[-1]),
        start=moment(start),
        end=moment(float(np.nanmax(times))),
        found=bool(len(above)),
        delay_s=float(np.nanmin(table.times[above])) - start if len(above) else None,
        peak=float(np.nan_to_num(run.scores[rows]).max()),
        features=dict(list(_telling(run.shares[explained], names).items())[:3]),
    )


def _telling(shares: NDArray[np.float64], names: list[str]) -> dict[str, float]:
    if not len(shares):
        return {}
    means = shares.mean(axis=0)
    order = np.argsort(-means, kind="stable")[:_TELLING]
    return {names[j]: round(float(means[j]), 4) for j in order.tolist() if means[j] > 0}


def by_type(attacks: Sequence[Attack]) -> dict[str, dict[str, float]]:
    """Attack type -> attacks, found ones, records and those above the line."""
    found: dict[str, dict[str, float]] = {}
    for attack in attacks:
        row = found.setdefault(attack.type, dict.fromkeys(("attacks", "found", "rows", "above"), 0.0))
        row["attacks"] += 1
        row["found"] += attack.found
        row["rows"] += attack.rows
        row["above"] += attack.above
    return found
