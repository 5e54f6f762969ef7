"""Standardisation from merged moments: frozen in round 0, the same on every node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError

SCALER = "scaler"
"""Name of the layout item that every detector has: moments of the encoded columns."""
CLIP = 5.0
"""Standardised values are clipped to this many standard deviations; keeps one wild value from ruling a score."""


@dataclass(frozen=True)
class Scaler:
    """Standardises encoded columns.

    Attributes:
        mean: (d,) float32.
        scale: (d,) float32, positive.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.mean.shape != self.scale.shape or not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise StateError("a scaler needs mean and scale of one shape, every scale finite and positive")

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d) float32 standardised and clipped to +-`CLIP`; the input is not modified.

        NaN stands for a masked cell and becomes 0, the mean: it says nothing. Every record of windows
        (n, k * d) is standardised by itself.
        """
        z = x.reshape(-1, len(self.mean)) - self.mean
        z /= self.scale
        np.clip(z, -CLIP, CLIP, out=z)
        if z.size and np.isnan(z.min()):
            z[np.isnan(z)] = 0.0
        return z.reshape(x.shape)


def scaler_from_moments(
    moments: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    centre: NDArray[np.float64],
    floor: NDArray[np.float64],
) -> Scaler:
    """Turn additive moments about `centre` into a scaler.

    Args:
        moments: n, sum of (x - centre) and sum of (x - centre)^2, each (d,). A column without records (a masked
            sensor that nobody has) gets the centre and a hundred floors, half of a numeric range.
        centre: (d,) public centre.
        floor: (d,) smallest scale allowed, positive: a constant feature does not divide by zero.
    Raises:
        StateError: no records in any column.
    """
    n, total, squares = moments
    if not (n >= 1).any():
        raise StateError("moments of no records; wait for data before agreeing on a scaler")
    known, seen = n >= 1, np.maximum(n, 1.0)
    offset = np.where(known, total / seen, 0.0)
    variance = np.maximum(squares / seen - offset**2, 0.0)
    scale = np.where(known, np.maximum(np.sqrt(variance), floor), 100.0 * floor)
    return Scaler((centre + offset).astype(np.float32), scale.astype(np.float32))
