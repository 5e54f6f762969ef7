"""Scores counted in narrow bins, so that curves need no memory for each record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_WIDTH = 1e-3
_LOWEST, _HIGHEST = 1e-9, 1e9


class Curve(NamedTuple):
    """Points from the highest alarm line down, and the area below them as a sum of steps.

    Attributes:
        precision, recall: (m,) float64.
        average_precision: see `streamgauge.evaluation.curves`.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    average_precision: float


class ScoreHistogram:
    """Normal and abnormal records by score; equal within a thousandth is equal. 1, the alarm line, is an edge.

    Scores below 1e-9 are one bin, those above 1e9 another.

    Example::

        >>> counted = ScoreHistogram()
        >>> counted.add(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
        >>> round(counted.curve().average_precision, 4), counted.auc()
        (0.8333, 0.5)
    """

    def __init__(self) -> None:
        self._offset = int(-np.log(_LOWEST) / _WIDTH) + 1
        bins = self._offset + int(np.log(_HIGHEST) / _WIDTH) + 2
        self._counts = np.zeros((2, bins), np.int64)

    def add(self, scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> None:
        """Count scores (n,) >= 0 of records that are abnormal where `truth` (n,) says so."""
        logs = np.log(np.clip(scores, _LOWEST, _HIGHEST))
        bins = np.floor(logs / _WIDTH).astype(np.int64) + self._offset
        np.add.at(self._counts, (truth.astype(np.int64), bins), 1)

    def auc(self) -> float:
        """Probability that an abnormal record scores higher than a normal one, within a thousandth of a score."""
        normal, abnormal = self._counts
        below = np.cumsum(normal) - normal / 2
        return float((abnormal * below).sum() / (float(normal.sum()) * float(abnormal.sum())))

    def curve(self) -> Curve:
        """Precision and recall; there is at least one abnormal record."""
        normal, abnormal = self._counts[:, ::-1]
        used = np.flatnonzero(normal + abnormal)
        found, called = np.cumsum(abnormal)[used], np.cumsum(normal + abnormal)[used]
        precision, recall = found / called, found / found[-1]
        return Curve(precision, recall, float((np.diff(recall, prepend=0.0) * precision).sum()))
