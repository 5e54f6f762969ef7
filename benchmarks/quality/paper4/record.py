"""`lstm` reading one record as a sequence of features: the live detector's forecaster, without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.paper4.data import Drawn
from benchmarks.quality.paper4.fits import CLIENTS, NOMINAL, Fit, Score
from streamgauge.detectors.lstm import Lstm
from streamgauge.evaluation.baselines.base import Matrix, Scores
from streamgauge.evaluation.baselines.recurrent import STEPS
from streamgauge.layout import initial_weights
from streamgauge.training import TrainingPlan, train

Weights = Mapping[str, NDArray[Any]]
RIDGE = 0.05
"""Added to every variance of the errors, as in the live detector."""


def record_fit(settings: Mapping[str, Any]) -> Fit:
    """Forecasts of a record's steps, learned from normal training records; score: Mahalanobis, all steps at once.

    The live detector scores the last of a window's records; here the errors of all steps belong to one record, so
    mean and covariance are those of the whole error vector (paper 4, equation 12), on held-out normals.

    Args:
        settings: ``units``, ``rounds``, ``batch_size``, ``learning_rate``.
    """

    def fit(data: Drawn, seed: int) -> tuple[Score, Mapping[str, Any]]:
        normal = data.train.x[data.train.y == 0]
        kept = len(normal) * 4 // 5
        width = -(-normal.shape[1] // STEPS)
        detector = Lstm(width, {"units": settings["units"], "window": STEPS})
        parts = np.array_split(padded(normal[:kept], width), CLIENTS)
        weights = averaged(detector, parts, settings, seed)

        def errors(x: Matrix) -> Matrix:
            return _errors(detector, weights, padded(x, width))

        held = errors(normal[kept:])
        distance = mahalanobis(held)
        line = float(np.quantile(distance(held), 1.0 - NOMINAL))
        return (lambda x: distance(errors(x)) - line), {}

    return fit


def padded(x: Matrix, width: int) -> Matrix:
    """(n, STEPS * width): filled up with zeros."""
    return np.pad(x, ((0, 0), (0, STEPS * width - x.shape[1])))


def averaged(detector: Lstm, parts: Sequence[Matrix], settings: Mapping[str, Any], seed: int) -> Weights:
    """FedAvg of the forecaster over clients' windows (n, k * width), weighted by their numbers."""
    weights = initial_weights(detector.layout, seed)
    shares = np.array([len(part) for part in parts]) / sum(len(part) for part in parts)
    for number in range(settings["rounds"]):
        deltas = []
        for client, part in enumerate(parts):
            own_seed = seed + 1000 * number + client
            plan = TrainingPlan(1, settings["batch_size"], settings["learning_rate"], own_seed)
            deltas.append(train(detector, weights, (part, np.zeros(len(part), np.float32)), plan).delta)
        weights = {
            name: (base + sum(s * delta[name] for s, delta in zip(shares, deltas, strict=True))).astype(np.float32)
            for name, base in weights.items()
        }
    return weights


def _errors(detector: Lstm, weights: Weights, x: Matrix) -> Matrix:
    """(n, k * width) errors of all steps."""
    import torch

    tensors = {name: torch.tensor(array) for name, array in weights.items()}
    with torch.inference_mode():
        return detector.errors(tensors, torch.tensor(x)).reshape(len(x), -1).numpy()


def mahalanobis(held: Matrix) -> Score:
    """Squared distance of rows (n, d) from the held-out rows' mean by their covariance plus `RIDGE`, over d."""
    from scipy.linalg import solve_triangular

    mean = held.mean(axis=0, dtype=np.float64)
    covariance = np.atleast_2d(np.cov(held.T.astype(np.float64), bias=True))
    factor = np.linalg.cholesky(covariance + RIDGE * np.eye(len(mean)))

    def distance(rows: Matrix) -> Scores:
        apart = solve_triangular(factor, (rows - mean).T, lower=True)  # (d, n)
        return np.asarray((apart**2).mean(axis=0))

    return distance
