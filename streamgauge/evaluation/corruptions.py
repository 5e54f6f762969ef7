"""Seeded corruptions of normal rows: stand-ins for anomalies where no labels exist.

They judge candidates (a model that copies its input cannot tell them from normal rows) and train detectors that
need a second class. All work on standardised rows; one-hot groups stay valid, because numeric changes touch only
features of one column and resampling moves a whole feature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.scaler import CLIP

Matrix = NDArray[np.float32]
Mask = NDArray[np.bool_]
Kind = Literal["spike", "stuck", "drift", "marginal"]
SPIKE = (3.0, 8.0)
"""Size of a spike in standard deviations, drawn uniformly."""
DRIFT = (2.0, 6.0)
"""Size of a drift at its end, in standard deviations."""
SHARE = 0.25
"""At most this share of the features of a row is corrupted, at least one."""


def corrupt(
    x: Matrix,
    generator: np.random.Generator,
    groups: NDArray[np.int64],
    kinds: tuple[Kind, ...] = ("spike", "stuck", "drift", "marginal"),
) -> Matrix:
    """A corrupted copy of every row; each row gets one of `kinds`.

    Args:
        x: (n, d) float32, standardised, in time order. Not modified.
        generator: source of all randomness; same state, same result.
        groups: (d,) feature each column belongs to, ascending from 0, as `FeatureSchema.groups` gives it.
        kinds: which corruptions to draw from. Rows without a numeric feature are resampled instead; where there is
            only one feature, which resampled alone would be normal, it is spiked instead if it is numeric.
    Returns:
        (n, d) float32 within the scaler's clipping range.
    Raises:
        ConfigurationError: no kind, an unknown one, or groups that do not fit the columns.
    """
    if not kinds or (unknown := sorted(set(kinds) - set(_KINDS))):
        raise ConfigurationError(f"unknown corruptions {unknown if kinds else 'none'}; known: {', '.join(_KINDS)}")
    if groups.shape != (x.shape[1],):
        raise ConfigurationError(f"{len(groups)} column groups do not fit {x.shape[1]} columns")
    if not x.size:
        return x.copy()
    numeric = np.bincount(groups) == 1  # (features,)
    drawn = generator.integers(0, len(kinds), len(x))
    out = x.copy()
    for k, kind in enumerate(kinds):
        rows = np.flatnonzero(drawn == k)
        if len(rows):
            actual = _possible(kind, numeric)
            allowed = np.ones_like(numeric) if actual == "marginal" else numeric
            chosen = _choose(generator, len(rows), allowed)[:, groups]  # (m, d)
            out[rows] = _KINDS[actual](x, rows, chosen, generator, groups)
    return np.clip(out, -CLIP, CLIP, out=out)


def _possible(kind: Kind, numeric: Mask) -> Kind:
    if not numeric.any():
        return "marginal"
    if kind == "marginal" and len(numeric) == 1:
        return "spike"
    return kind


def _choose(generator: np.random.Generator, n: int, allowed: Mask) -> Mask:
    """(n, features) True for between one and `SHARE` of the allowed features of each row."""
    most = max(1, int(SHARE * allowed.sum()))
    wanted = generator.integers(1, most + 1, (n, 1))
    order = generator.random((n, len(allowed)))
    order[:, ~allowed] = 2.0  # never among the smallest
    rank = np.argsort(np.argsort(order, axis=1), axis=1)
    chosen: Mask = rank < wanted
    return chosen


def _signed(generator: np.random.Generator, shape: tuple[int, int], limits: tuple[float, float]) -> Matrix:
    sign = generator.choice(np.array([-1.0, 1.0]), shape)
    return (sign * generator.uniform(*limits, shape)).astype(np.float32)


def _spike(
    x: Matrix, rows: NDArray[np.int64], chosen: Mask, generator: np.random.Generator, groups: NDArray[np.int64]
) -> Matrix:
    """A jump of the chosen features."""
    return x[rows] + np.where(chosen, _signed(generator, chosen.shape, SPIKE), np.float32(0))


def _stuck(
    x: Matrix, rows: NDArray[np.int64], chosen: Mask, generator: np.random.Generator, groups: NDArray[np.int64]
) -> Matrix:
    """The chosen features hold the value they had in one row, the same for all, while the others go on."""
    return np.where(chosen, x[generator.integers(0, len(x))], x[rows])


def _drift(
    x: Matrix, rows: NDArray[np.int64], chosen: Mask, generator: np.random.Generator, groups: NDArray[np.int64]
) -> Matrix:
    """Every feature has a direction; the chosen ones have moved along it, the farther the later the row."""
    slope = _signed(generator, (1, x.shape[1]), DRIFT)
    progress = (np.arange(1, len(rows) + 1) / len(rows)).astype(np.float32)[:, None]
    return x[rows] + np.where(chosen, slope * progress, np.float32(0))


def _marginal(
    x: Matrix, rows: NDArray[np.int64], chosen: Mask, generator: np.random.Generator, groups: NDArray[np.int64]
) -> Matrix:
    """The chosen features take another row's values: each alone is normal, together they are not."""
    donors = generator.integers(0, len(x), (len(rows), int(groups.max()) + 1))[:, groups]  # one a feature
    return np.where(chosen, x[donors, np.arange(x.shape[1])], x[rows])


_Corruption = Callable[[Matrix, NDArray[np.int64], Mask, np.random.Generator, NDArray[np.int64]], Matrix]
_KINDS: dict[Kind, _Corruption] = {"spike": _spike, "stuck": _stuck, "drift": _drift, "marginal": _marginal}
