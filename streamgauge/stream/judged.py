"""Rows of alerts that people judged: labelled, until the label is changed or newer ones need the place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.stream.reservoir import Rows, join_rows, rows_from_state, rows_to_state

MOST_REPEATS = 8
"""How often a judged row counts in training, at most."""
MOST_SHARE = 0.05
"""Of the other training rows, that judged rows with their repeats may amount to before they are repeated less."""


@dataclass
class _Alert:
    version: int
    label: float  # 1 attack, 0 normal, NaN: taken back
    rows: Rows


class Judged:
    """At most `capacity` rows; the alert that was judged first goes first.

    Args:
        capacity: rows kept.
        width: d, columns of ``x``.
    """

    def __init__(self, capacity: int, width: int) -> None:
        self._capacity, self._width = capacity, width
        self._alerts: dict[str, _Alert] = {}

    def __contains__(self, alert: str) -> bool:
        return alert in self._alerts

    def add(self, alert: str, version: int, label: float, rows: Rows) -> None:
        """The first verdict on an alert.

        Args:
            alert: its id; not known yet.
            version: of the verdict.
            label: 1 attack, 0 normal.
            rows: of the alert.
        """
        self._alerts[alert] = _Alert(version, label, rows)
        count = sum(len(each.rows["time"]) for each in self._alerts.values())
        while count > self._capacity:
            count -= len(self._alerts.pop(next(iter(self._alerts))).rows["time"])

    def change(self, alert: str, version: int, label: float) -> bool:
        """A later verdict on a known alert; NaN takes the label back. False if it is not later."""
        known = self._alerts[alert]
        if version <= known.version:
            return False
        known.version, known.label = version, label
        return True

    def rows(self, label: float | None = None) -> Rows:
        """The rows labelled 1 or 0, or those of both, with their labels; oldest verdict first."""
        parts = []
        for alert in self._alerts.values():
            if alert.label == label or (label is None and not np.isnan(alert.label)):
                parts.append({**alert.rows, "y": np.full(len(alert.rows["time"]), alert.label, np.float32)})
        return join_rows(parts, self._width)

    def training_rows(self, others: int) -> Rows:
        """The labelled rows, each as often as it counts beside `others` rows: a few among thousands would say
        nothing in a batch.
        """
        rows = self.rows()
        n = len(rows["time"])
        times = int(np.clip(MOST_SHARE * others / max(n, 1), 1, MOST_REPEATS))
        return {name: np.repeat(column, times, axis=0) for name, column in rows.items()}

    def moments(self, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """(3, d) n, sum(x - c), sum((x - c)^2) of the rows labelled normal; a NaN cell is not counted."""
        apart = self.rows(0.0)["x"] - centre
        known = ~np.isnan(apart)
        apart = np.where(known, apart, 0.0)
        return np.array([known.sum(0), apart.sum(0), (apart * apart).sum(0)], np.float64)

    def to_state(self, prefix: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON-able values and arrays, whose names begin with `prefix`."""
        rows = join_rows([alert.rows for alert in self._alerts.values()], self._width)
        values, arrays = rows_to_state(rows, prefix)
        alerts = [
            [name, a.version, None if np.isnan(a.label) else a.label, len(a.rows["time"])]
            for name, a in self._alerts.items()
        ]
        return {"rows": values, "alerts": alerts}, arrays

    def load_state(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """The inverse of `to_state`."""
        rows, at = rows_from_state(values["rows"], arrays, prefix), 0
        for name, version, label, count in values["alerts"]:
            part = slice(at, at := at + count)
            mine = {column: array[part] for column, array in rows.items()}
            self._alerts[name] = _Alert(version, np.nan if label is None else label, mine)
