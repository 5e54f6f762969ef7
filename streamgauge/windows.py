"""Windows: runs of consecutive records of one entity, each run as one row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def windows(x: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Every run of `length` consecutive rows as one row, oldest first.

    Args:
        x: (t, d), consecutive records of one entity.
    Returns:
        (max(t - length + 1, 0), length * d), a copy; row i ends with record i + length - 1.

    >>> windows(np.array([[1.0], [2.0], [3.0]], np.float32), 2)
    array([[1., 2.],
           [2., 3.]], dtype=float32)
    """
    if length == 1:
        return x.copy()
    if len(x) < length:
        return np.empty((0, length * x.shape[1]), x.dtype)
    views = np.lib.stride_tricks.sliding_window_view(x, length, axis=0)  # (m, d, length)
    return np.array(views.swapaxes(1, 2), order="C").reshape(len(views), -1)


def windows_of(
    x: NDArray[np.float32], sequence: NDArray[np.int64], length: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Windows that never cross from one sequence into another.

    Args:
        x: (n, d) records in order of time.
        sequence: (n,) which sequence each record belongs to, e.g. a number for each entity, run and split.
    Returns:
        (m, length * d) windows, and (m,) the row of `x` that each ends with; sequence by sequence.
    """
    order = np.argsort(sequence, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(sequence[order])) + 1)
    cut = [windows(x[rows], length) for rows in parts]
    return np.concatenate(cut), np.concatenate([rows[length - 1 :] for rows in parts])
