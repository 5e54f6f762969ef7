"""Events and attacks as their records pass: one entity's records no more than a gap apart in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.backtest.chain import Piece
from services.backtest.score_line import moment
from streamgauge.profiles.loaders.table import NORMAL

_TELLING = 8


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


class Events:
    """Counts events; a record late within its entity belongs to the event that is open."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._open: dict[str, tuple[float, bool]] = {}
        self.count = self.hit = 0

    def add(self, entity: str, time: float, hit: bool) -> None:
        """The next record; an event counts as hit if one of its records is."""
        last, was_hit = self._open.get(entity, (-np.inf, False))
        # As the grouper decides it, so that rounding falls the same way.
        if last + self._gap_s < time:
            self.count += 1
            was_hit = False
        self.hit += hit and not was_hit
        self._open[entity] = max(last, time), hit or was_hit


@dataclass
class _Open:
    kind: str
    entity: str
    first_row: int
    start: float
    shares: NDArray[np.float64]
    last_row: int = 0
    end: float = -np.inf
    rows: int = 0
    above: int = 0
    first_above: float | None = None
    peak: float = 0.0
    explained: int = 0


@dataclass
class AttackList:
    """All attacks, in the order of their first rows; memory of each, not of its records.

    Attributes:
        gap_s: see `Events`.
        names: of the features.
    """

    gap_s: float
    names: Sequence[str]
    _all: list[_Open] = field(default_factory=list)
    _open: dict[tuple[str, str], _Open] = field(default_factory=dict)

    def add(self, piece: Piece) -> None:
        """The next records."""
        rows = np.flatnonzero(piece.truth.labels == 1)
        places = {int(i): k for k, i in enumerate(piece.explained.tolist())} if len(rows) else {}
        for i in rows.tolist():
            attack = self._of(piece, i)
            score, time = float(piece.scores[i]), float(piece.times[i])
            attack.rows += 1
            attack.last_row, attack.end = int(piece.truth.rows[i]), max(attack.end, time)
            attack.peak = max(attack.peak, score)
            if score >= 1.0:
                attack.above += 1
                if attack.first_above is None:
                    attack.first_above = time
            if i in places:
                attack.shares += piece.shares[places[i]]
                attack.explained += 1

    def _of(self, piece: Piece, i: int) -> _Open:
        # One tag a message: the abnormal one need not be the last of its record.
        kind = str(piece.truth.kinds[i]).replace(NORMAL, "attack", 1) or "attack"
        key, time = (piece.entities[i], kind), float(piece.times[i])
        attack = self._open.get(key)
        if attack is None or attack.end + self.gap_s < time:
            row = int(piece.truth.rows[i])
            attack = self._open[key] = _Open(kind, piece.entities[i], row, time, np.zeros(len(self.names)))
            self._all.append(attack)
        return attack

    def result(self) -> list[Attack]:
        """Those so far."""
        return [
            Attack(
                type=a.kind,
                entity=a.entity,
                rows=a.rows,
                above=a.above,
                first_row=a.first_row,
                last_row=a.last_row,
                start=moment(a.start),
                end=moment(a.end),
                found=a.above > 0,
                delay_s=None if a.first_above is None else a.first_above - a.start,
                peak=a.peak,
                features=dict(list(telling(a.shares / max(1, a.explained), self.names).items())[:3]),
            )
            for a in sorted(self._all, key=lambda attack: attack.first_row)
        ]


def telling(means: NDArray[np.float64], names: Sequence[str]) -> dict[str, float]:
    """The features with the largest mean shares, largest first."""
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
