"""Precision and recall over all alarm lines."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError


class PrecisionRecall(NamedTuple):
    """Points of the curve, from the highest alarm line down; m distinct scores.

    Attributes:
        lines: (m,) float64; a record is called abnormal from this score on.
        precision, recall: (m,) float64.
        average_precision: area below the curve as a sum of steps, without interpolation.
    """

    lines: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    average_precision: float


def precision_recall(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> PrecisionRecall:
    """The curve of scores (n,) against the truth (n,); equal scores are called together.

    Raises:
        StateError: nothing is abnormal.

    >>> precision_recall(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])).average_precision.__round__(4)
    0.8333
    """
    if not truth.any():
        raise StateError(f"precision and recall of {len(truth)} records of which none is abnormal; they need one")
    order = np.argsort(-scores, kind="stable")
    ranked, found = np.asarray(scores[order], np.float64), np.cumsum(truth[order])
    last = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))
    precision, recall = found[last] / (last + 1.0), found[last] / found[-1]
    steps = np.diff(recall, prepend=0.0)
    return PrecisionRecall(ranked[last], precision, recall, float((steps * precision).sum()))
