"""A row of paper 4's table: one fit, measured on the random split and on the official test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.columns import ACCURACY, ALWAYS, AUC, F1, PRECISION, RECALL, prefixed
from benchmarks.quality.figures import decisions, ranking
from benchmarks.quality.paper4.data import NETWORKS, TEST, TRAIN, Drawn, Part, drawn
from benchmarks.quality.paper4.fits import Fit, Score
from benchmarks.quality.paper4.preparing import Preparation
from benchmarks.quality.table import Context, Outcome, Row
from streamgauge.evaluation.baselines.base import Scores

PAPER: Mapping[str, Mapping[str, float]] = {
    "federated-lstm": {"nsl": 0.982, "kdd99": 0.978, "unsw": 0.989},
    "rnn": {"nsl": 0.9218, "kdd99": 0.9421, "unsw": 0.9467},
    "cnn": {"nsl": 0.8283, "kdd99": 0.9734, "unsw": 0.9843},
    "autoencoder_svm": {"nsl": 0.9656, "kdd99": 0.9601, "unsw": 0.97},
}
"""Table II, accuracy."""
UNSW_TABLE_1: Mapping[str, Mapping[str, float]] = {
    "federated-lstm": {"precision": 0.982, "recall": 0.988, "f1": 0.9808},
    "rnn": {"precision": 0.936, "recall": 0.9224, "f1": 0.9242},
    "one_class_svm": {"accuracy": 0.97, "precision": 0.9678, "recall": 0.9408, "f1": 0.9421},
    "cnn": {"precision": 0.962, "recall": 0.965, "f1": 0.9678},
}
"""Table I: it belongs to Table II's column of UNSW-NB15; no F1 follows from its precision and recall."""
COLUMNS = (ACCURACY, PRECISION, RECALL, F1, AUC)
HEADLINE = (
    prefixed(ACCURACY, "headline", "**accuracy, official test**"),
    prefixed(F1, "headline", "F1, official test"),
    prefixed(AUC, "headline", "ROC-AUC, official test"),
    prefixed(ALWAYS, "headline", '"always alarm", official test'),
)
CURVED = ("federated-lstm", "lstm_classifier", "gradient_boosted_trees", "lstm-record")
"""Rows of a network that keep their ROC curves."""
GRID: NDArray[np.float64] = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 40)])
"""False-alarm rates of ROC curves."""


def row(
    key: str,
    name: str,
    label: str,
    fit: Fit,
    config: Mapping[str, Any],
    count: int = TRAIN,
    preparation: Preparation = "standardised",
    network: str = "",
) -> Row:
    """One fit on a network: all figures, ROC curves and whatever details the fit has.

    Args:
        key: of the network, or of another section on `network`; with `name` the row's key.
        name: of the row; decides what the paper states for it.
        label: as printed.
        fit: see `benchmarks.quality.paper4.fits`.
        config: what decides the result beside draw and preparation.
        count: training rows.
        preparation: of the records.
        network: key of the data set; "": `key` is.
    """
    stated = {"accuracy": PAPER[name][key]} if name in PAPER and key in NETWORKS else {}
    stated |= dict(UNSW_TABLE_1.get(name, {})) if key == "unsw" else {}
    settings = {**config, "train": count, "test": TEST, "preparation": preparation}

    def run(context: Context) -> Outcome:
        data = drawn(network or key, context.data, context.seed, count, preparation)
        score, details = fit(data, context.seed)
        return _outcome(data, score, details, name in CURVED and key in NETWORKS)

    return Row(f"{key}-{name}", label, run, settings, stated)


def _outcome(data: Drawn, score: Score, details: Mapping[str, Any], curved: bool) -> Outcome:
    figures, curve = _measured(data.test, score)
    curves = {"test": curve}
    if data.headline:
        strict, curves["headline"] = _measured(data.headline, score)
        figures |= {f"headline_{name}": value for name, value in strict.items()}
    return Outcome(figures, {**details, "roc": curves} if curved else details)


def _measured(rows: Part, score: Score) -> tuple[dict[str, float], list[float]]:
    """Figures, and the recall at each false-alarm rate of `GRID`; scores are such that 0 is the line."""
    scores, truth = score(rows.x), rows.y == 1
    return {**decisions(scores > 0, truth), **ranking(scores, truth)}, recall_at(scores, truth)


def recall_at(scores: Scores, truth: NDArray[np.bool_]) -> list[float]:
    """Recall at each false-alarm rate of `GRID`, interpolated on the ROC curve."""
    from sklearn.metrics import roc_curve

    rates, recalls, _ = roc_curve(truth, scores)
    return [round(float(value), 5) for value in np.interp(GRID, rates, recalls)]
