"""Rows of the newest alerts, kept until a person says what an alert was (ADR 038)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.stream.reservoir import Rows, empty_rows

MAX_BYTES = 1 << 20
"""Of encoded rows of one partition: 2,148 rows of 122 columns."""
MAX_ALERTS = 4096
"""Of one partition, also those whose rows were taken."""

First = tuple[int, int]
"""Position (offset, row) of an alert's first record; identifies the alert within the partition."""


class EvidenceRow(NamedTuple):
    """One abnormal record: its position, event time in seconds, entity, and (d,) float32 encoded columns."""

    offset: int
    row: int
    time: float
    entity: str
    x: NDArray[np.float32]


@dataclass
class _Kept:
    rows: list[EvidenceRow] = field(default_factory=list)
    worst: EvidenceRow | None = None
    taken: str = ""
    state: dict[str, Any] | None = None
    """As `to_state` made it, until it changes: most alerts are over, and a checkpoint is taken in the loop."""

    def all(self) -> list[EvidenceRow]:
        """Without the worst where it is among the others."""
        if self.worst is None or any(row[:2] == self.worst[:2] for row in self.rows):
            return self.rows
        return [*self.rows, self.worst]


class Evidence:
    """Of each of a partition's newest alerts the records numbered 1, 2, 4, 8, ... and the worst: 15 at most.

    The oldest alerts go when the rows are more than `MAX_BYTES` or the alerts more than `MAX_ALERTS`. Cost: a copy
    of each kept row; a flood in one alert of 10,000 records keeps 15. The numbered records do not depend on where
    batches end; which alerts had to go may.
    """

    def __init__(self) -> None:
        self._alerts: dict[First, _Kept] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._alerts)

    def open(self, first: EvidenceRow) -> None:
        """An alert begins with this record."""
        self._alerts[first[:2]] = _Kept()
        self.add(first[:2], first)

    def add(self, first: First, row: EvidenceRow) -> None:
        """Keep one more record of an alert; ignored where the alert has gone, or its rows were taken."""
        kept = self._alerts.get(first)
        if kept is None or kept.taken:
            return
        kept.rows.append(row)
        kept.state = None
        self._grow(row.x.nbytes)

    def worst(self, first: First, row: EvidenceRow) -> None:
        """The worst record of an alert so far; takes the place of the one before."""
        kept = self._alerts.get(first)
        if kept is None or kept.taken:
            return
        before, kept.worst, kept.state = kept.worst, row, None
        self._grow(row.x.nbytes - (before.x.nbytes if before is not None else 0))

    def _grow(self, nbytes: int) -> None:
        self._bytes += nbytes
        while self._bytes > MAX_BYTES or len(self._alerts) > MAX_ALERTS:
            oldest = next(iter(self._alerts))
            self._bytes -= _nbytes(self._alerts.pop(oldest))

    def taker(self, first: First) -> str | None:
        """Who took an alert's rows, empty if nobody; None if the alert is not known (any more)."""
        kept = self._alerts.get(first)
        return None if kept is None else kept.taken

    def take(self, first: First, by: str, partition: str) -> Rows:
        """Give the rows of a known alert away; what is kept of it from then on is that `by` has them."""
        kept = self._alerts[first]
        taken = kept.all()
        rows = empty_rows(len(taken), len(taken[0].x) if taken else 0)
        for i, row in enumerate(taken):
            rows["x"][i], rows["time"][i] = row.x, row.time
            rows["offset"][i], rows["entity"][i] = row.offset, row.entity
        rows["partition"][:] = partition
        self._bytes -= _nbytes(kept)
        self._alerts[first] = _Kept(taken=by)
        return rows

    def clear(self) -> None:
        """Forget all: the rows mean nothing to another profile."""
        self._alerts.clear()
        self._bytes = 0

    def to_state(self) -> list[dict[str, Any]]:
        """All state as JSON-able values."""
        for first, kept in self._alerts.items():
            kept.state = kept.state or _to_state(first, kept)
        return [kept.state for kept in self._alerts.values() if kept.state is not None]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]]) -> Evidence:
        """The inverse of `to_state`."""
        evidence = cls()
        for item in state:
            kept = _from_state(item)
            evidence._alerts[(int(item["first"][0]), int(item["first"][1]))] = kept
            evidence._bytes += _nbytes(kept)
        return evidence


def _nbytes(kept: _Kept) -> int:
    return sum(row.x.nbytes for row in kept.rows) + (kept.worst.x.nbytes if kept.worst is not None else 0)


def _to_state(first: First, kept: _Kept) -> dict[str, Any]:
    """Numbers in base64: as JSON they would cost several times as much to write."""
    rows = kept.rows if kept.worst is None else [*kept.rows, kept.worst]
    return {
        "first": list(first),
        "taken": kept.taken,
        "worst": kept.worst is not None,
        "positions": _text(np.array([row[:2] for row in rows], np.int64)),
        "times": _text(np.array([row.time for row in rows], np.float64)),
        "entities": [row.entity for row in rows],
        "x": _text(np.array([row.x for row in rows], np.float32)),
    }


def _from_state(item: Mapping[str, Any]) -> _Kept:
    names = [str(name) for name in item["entities"]]
    positions, times = _array(item["positions"], np.int64), _array(item["times"], np.float64)
    if not len(names) * 2 == len(positions) == 2 * len(times):
        raise ValueError(f"evidence has {len(names)} entities, {len(positions)} positions and {len(times)} times")
    x = _array(item["x"], np.float32).reshape(len(names), -1) if names else np.empty((0, 0), np.float32)
    rows = [
        EvidenceRow(offset, number, time, name, row)
        for (offset, number), time, name, row in zip(
            positions.reshape(-1, 2).tolist(), times.tolist(), names, x, strict=True
        )
    ]
    worst = rows.pop() if item["worst"] else None
    return _Kept(rows, worst, str(item["taken"]))


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _array(text: str, dtype: type[Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype).copy()
