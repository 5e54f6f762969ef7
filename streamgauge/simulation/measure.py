"""How good a model is on labelled rows, and where its alarm line lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from streamgauge.calibration.threshold import DAY_S, by_event_rate, by_fbeta
from streamgauge.detectors.base import Detector
from streamgauge.evaluation.metrics import auc, quality
from streamgauge.judging import CHUNK
from streamgauge.simulation.config import SimulationConfig

if TYPE_CHECKING:
    from streamgauge.detectors.base import Weights

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Metrics:
    """Decisions on the labelled rows of one set; NaN where it is not defined.

    Attributes:
        rows: labelled rows, of which `abnormal` are abnormal.
        loss: the detector's training loss on them (with its own noise or dropout, under a fixed seed).
        auc: probability that an abnormal row scores higher than a normal one.
        always_alarm_f1: F1 of calling every row abnormal; NaN where F1 is: without abnormal rows.
    """

    rows: float
    abnormal: float
    loss: float
    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: float
    false_alarm_rate: float
    always_alarm_f1: float


def measured(scores: Floats, y: Floats, threshold: float, loss: float) -> Metrics:
    """Metrics of raw scores (n,) against labels (n,); rows without a label are left out."""
    known = ~np.isnan(y)
    truth, kept = y[known] == 1, scores[known]
    counts = quality(kept >= threshold, truth)
    both = truth.any() and not truth.all()
    right = counts.true_positives + counts.true_negatives
    return Metrics(
        rows=float(len(truth)),
        abnormal=float(truth.sum()),
        loss=loss,
        accuracy=right / len(truth) if len(truth) else math.nan,
        precision=counts.precision if len(truth) else math.nan,
        recall=counts.recall if truth.any() else math.nan,
        f1=counts.f1 if truth.any() else math.nan,
        auc=auc(kept[~truth], kept[truth]) if both else math.nan,
        false_alarm_rate=counts.false_alarm_rate if not truth.all() else math.nan,
        always_alarm_f1=counts.always_alarm_f1 if truth.any() else math.nan,
    )


def mean_metrics(parts: Sequence[Metrics]) -> Metrics:
    """The unweighted mean over clients of every number that is defined; rows are the sum."""
    table = np.array([[getattr(part, field.name) for field in fields(Metrics)] for part in parts])
    known = ~np.isnan(table)
    total = np.where(known, table, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        means = total / known.sum(axis=0)
    means[:2] = total[:2]
    return Metrics(*means.tolist())


def loss_of(detector: Detector, weights: Weights, x: NDArray[np.float32], y: Floats) -> float:
    """The detector's loss on standardised rows, weighted over chunks; NaN without rows. Same rows, same number."""
    import torch

    if not len(x):
        return math.nan
    generator = torch.Generator().manual_seed(0)
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(x), CHUNK):
            rows = torch.from_numpy(x[start : start + CHUNK])
            labels = torch.from_numpy(np.asarray(y[start : start + CHUNK], np.float32))
            total += detector.loss(weights, rows, labels, generator).item() * len(rows)
    return total / len(x)


def alarm_line(scores: Floats, y: Floats, config: SimulationConfig) -> float:
    """The threshold of raw scores, from validation rows.

    For ``false_alarms`` by the services' calibration, each row its own event and its own day, the allowed share as
    events a day: with less than one allowed false alarm the tail is extrapolated.

    Raises:
        StateError: F-beta without both classes.
    """
    if config.threshold == "fixed":
        assert config.fixed_threshold is not None
        return config.fixed_threshold
    if config.threshold == "fbeta":
        return by_fbeta(scores, y, config.f_beta).value
    normal = scores[y != 1]
    times = np.arange(len(normal), dtype=np.float64) * DAY_S
    exposure_s, names = len(normal) * DAY_S, [""] * len(normal)
    return by_event_rate(normal, times, names, exposure_s, config.false_alarm_rate, 1.0, max_share=1.0).value
