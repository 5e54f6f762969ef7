"""The bound on the length of one update."""

from __future__ import annotations

import numpy as np

from streamgauge.errors import StateError
from streamgauge.federation.rules_base import Vector

REFUSE_FACTOR = 10.0
"""An update longer than this many times the bound is refused instead of shortened: that is no honest outlier."""


def clip_norm(delta: Vector, bound: float) -> Vector:
    """Shorten a delta to the bound.

    Args:
        delta: (d,) float64. Not modified.
        bound: largest Euclidean norm that counts in full, positive.
    Returns:
        (d,) float64 with norm <= bound; `delta` itself if it is short enough.
    Raises:
        StateError: the norm is not finite or over `REFUSE_FACTOR` times the bound.

    >>> clip_norm(np.array([3.0, 4.0]), 2.5).tolist()
    [1.5, 2.0]
    """
    norm = float(np.linalg.norm(delta))
    if not norm <= REFUSE_FACTOR * bound:
        raise StateError(
            f"the update's norm is {norm:.4g}, over {REFUSE_FACTOR:g} x the bound {bound:g}; "
            "lower the learning rate or the epochs, or raise norm_bound"
        )
    return delta if norm <= bound else delta * (bound / norm)
