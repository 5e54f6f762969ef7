"""Causal windows over a series: what a stream's node could have computed at every row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rolling(x: Floats, kind: str, rows: int) -> Floats:
    """Mean or standard deviation of the last `rows` rows; of fewer at the beginning.

    Args:
        x: (n, d) consecutive rows, finite. Not modified.
        kind: ``mean`` or ``std``.
        rows: length of the window, at least 1.
    Returns:
        (n, d).
    """
    n = len(x)
    begin = np.maximum(np.arange(n) - rows + 1, 0)
    sums, squares = (np.vstack([np.zeros(x.shape[1]), np.cumsum(part, axis=0)]) for part in (x, x**2))
    count = (np.arange(n) + 1 - begin)[:, None]
    mean = (sums[1:] - sums[begin]) / count
    if kind == "mean":
        return np.asarray(mean)
    return np.sqrt(np.maximum((squares[1:] - squares[begin]) / count - mean**2, 0.0))
