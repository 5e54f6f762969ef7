"""How records become numbers, learned from training rows: standardised, min-max, clipped, piecewise linear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from streamgauge.evaluation.baselines.base import Matrix
from streamgauge.features import FeatureSchema
from streamgauge.scaler import scaler_from_moments
from streamgauge.simulation.clients import Space, scaler_moments

Preparation = Literal["standardised", "standardised-clipped", "min-max", "min-max-clipped", "piecewise"]
Apply = Callable[[Matrix], Matrix]
QUANTILES = (0.005, 0.995)
"""Of the training rows, to which outliers are moved; the paper names none."""
PIECES = 32
"""Quantile bins of a numeric column in `piecewise`."""


def prepared(name: Preparation, train: Matrix, schema: FeatureSchema) -> Apply:
    """Learn a preparation from encoded training rows; what it returns does not modify its input.

    - ``standardised``: the project's: log1p of counts, z-scores, clipped to 5 standard deviations.
    - ``min-max``: the paper's: raw counts scaled to 0 ... 1 by the training rows' extremes (its equation 1).
    - ``...-clipped``: numeric columns are first moved to the training rows' `QUANTILES` (the paper's "relocation
      of outliers").
    - ``piecewise``: standardised, and beside it every numeric column as piecewise-linear code over the quantile
      bins of the training rows (Gorishniy et al. 2022): a network then has the thresholds that a tree finds.
    """
    numbers = len(schema.numeric)
    raw = _raw(schema) if name.startswith("min-max") else np.copy
    clip = _clip(raw(train), numbers) if name.endswith("-clipped") else np.copy
    rows = clip(raw(train))
    if name.startswith("min-max"):
        low = rows.min(axis=0)
        span = np.maximum(rows.max(axis=0) - low, 1e-9)
        return lambda x: ((clip(raw(x)) - low) / span).astype(np.float32)
    scale = _standardise(rows, schema)
    if name != "piecewise":
        return lambda x: scale(clip(x))
    code = _pieces(train[:, :numbers])
    return lambda x: np.hstack([scale(x), code(x[:, :numbers])])


def _standardise(train: Matrix, schema: FeatureSchema) -> Apply:
    space = Space.of(schema)
    n, total, squares = scaler_moments(train, space).values()
    return scaler_from_moments((n, total, squares), space.centre, space.floor).apply


def _raw(schema: FeatureSchema) -> Apply:
    """Undo log1p."""
    logged = [i for i, feature in enumerate(schema.numeric) if feature.transform == "log1p"]

    def apply(x: Matrix) -> Matrix:
        out = x.copy()
        out[:, logged] = np.sign(x[:, logged]) * np.expm1(np.abs(x[:, logged]))
        return out

    return apply


def _clip(train: Matrix, numbers: int) -> Apply:
    low, high = np.quantile(train[:, :numbers], QUANTILES, axis=0).astype(np.float32)

    def apply(x: Matrix) -> Matrix:
        out = x.copy()
        out[:, :numbers] = np.clip(x[:, :numbers], low, high)
        return out

    return apply


def _pieces(train: Matrix) -> Apply:
    """(n, columns) to (n, bins of all columns) in -1 ... 1; a column of one value gets none."""
    edges = [np.unique(np.quantile(column, np.linspace(0, 1, PIECES + 1))) for column in train.T]

    def apply(x: Matrix) -> Matrix:
        columns = [
            np.clip((column[:, None] - cut[:-1]) / np.diff(cut), 0.0, 1.0)
            for column, cut in zip(x.T, edges, strict=True)
            if len(cut) > 1
        ]
        return (2.0 * np.hstack([np.empty((len(x), 0)), *columns]) - 1.0).astype(np.float32)

    return apply
