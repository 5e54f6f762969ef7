"""Scores over the records, thinned while they pass: highest and median of some hundred stretches."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

STRETCHES = 900


def moment(seconds: float) -> str:
    """Seconds since the epoch in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class ScoreLine:
    """Highest and median score of stretches of rows of equal length.

    Args:
        rows: in all, at least one.

    Attributes:
        rows: in all.
        edges: (k + 1,) the first row of each stretch, and the end.
        highest, middle: (k,) 0 where nothing was scored.
        times: (k,) of each stretch's first scored record; NaN where nothing was.

    Memory: of the scores of the stretch that is passing.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.edges = np.unique(np.linspace(0, rows, min(rows, STRETCHES) + 1).astype(np.int64))
        k = len(self.edges) - 1
        self.highest, self.middle, self.times = np.zeros(k), np.zeros(k), np.full(k, np.nan)
        self._passing: list[NDArray[np.float64]] = []
        self._at = 0

    def add(self, rows: NDArray[np.int64], times: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """Records by number of their row; one of a stretch that has passed counts for its highest only."""
        stretch = np.searchsorted(self.edges, rows, "right") - 1
        np.maximum.at(self.highest, stretch, scores)
        for at in np.unique(stretch).tolist():
            mine = stretch == at
            if np.isnan(self.times[at]):
                self.times[at] = times[mine][0]
            if at > self._at:
                self._close()
                self._at = at
            if at == self._at:
                self._passing.append(scores[mine])

    def _close(self) -> None:
        if self._passing:
            self.middle[self._at] = np.median(np.concatenate(self._passing))
        self._passing = []

    def finished(self) -> ScoreLine:
        """The same, with the last stretch."""
        self._close()
        return self
