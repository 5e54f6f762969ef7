"""The work of the trainer process: train, judge, calibrate. Plain values and arrays in and out, no clock but one.

Each job is a dict of plain values (``kind``, ``detector``, ``width``, ``config``, ...) and a dict of arrays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.calibration.threshold import Threshold, by_event_rate, by_fbeta
from streamgauge.detectors import DETECTORS, Detector
from streamgauge.errors import ConfigurationError
from streamgauge.judging import HeldOut, VotePolicy, judge, score_rows
from streamgauge.scaler import Scaler
from streamgauge.state import ModelState
from streamgauge.training import Memory, TrainingPlan, train

Arrays = dict[str, NDArray[Any]]
Values = dict[str, Any]
EFFORT = ("epochs", "batch_size", "learning_rate", "seed", "terms")
"""Fields of a round's plan that are those of `TrainingPlan`."""
MIN_OF_EACH_CLASS = 20
"""Labelled rows of each class that F-beta needs before it replaces the false-alarm rate."""


def run(values: Values, arrays: Arrays) -> tuple[Values, Arrays]:
    """Do one job.

    Raises:
        ConfigurationError: no job of that kind.
    """
    kinds: dict[str, Callable[[Values, Arrays], tuple[Values, Arrays]]] = {
        "train": _train,
        "judge": _judge,
        "calibrate": _calibrate,
    }
    if values["kind"] not in kinds:
        raise ConfigurationError(f"unknown job {values['kind']!r}; known: {', '.join(kinds)}")
    return kinds[values["kind"]](values, arrays)


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    """`arrays` under ``prefix/name``."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def unprefixed(prefix: str, arrays: Arrays) -> Arrays:
    """The inverse of `prefixed`."""
    return {name[len(prefix) + 1 :]: a for name, a in arrays.items() if name.startswith(f"{prefix}/")}


def _detector(values: Values) -> Detector:
    return DETECTORS[values["detector"]](values["width"], values["config"])


def _scaled(arrays: Arrays, name: str) -> NDArray[np.float32]:
    return Scaler(arrays["scaler_mean"], arrays["scaler_scale"]).apply(arrays[name])


def _train(values: Values, arrays: Arrays) -> tuple[Values, Arrays]:
    start = time.monotonic()
    trained = train(
        _detector(values),
        unprefixed("base", arrays),
        (_scaled(arrays, "x"), arrays["y"]),
        TrainingPlan(**{name: values[name] for name in EFFORT}),
        lambda: time.monotonic() - start > values["seconds_allowed"],
        Memory(previous=unprefixed("previous", arrays) or None),
    )
    result = {
        "records": len(arrays["x"]),
        "loss_before": trained.loss_before if trained.epochs else None,
        "loss_after": trained.loss_after if trained.epochs else None,
        "epochs": trained.epochs,
        "seconds": time.monotonic() - start,
    }
    return result, prefixed("delta", trained.delta)


def _release(arrays: Arrays) -> ModelState:
    return ModelState(unprefixed("release", arrays), {}, unprefixed("release_statistics", arrays))


def _judge(values: Values, arrays: Arrays) -> tuple[Values, Arrays]:
    confirmed = _scaled(arrays, "confirmed") if "confirmed" in arrays else None
    held_out = HeldOut(_scaled(arrays, "x"), arrays["half"], arrays["groups"], confirmed)
    candidate = unprefixed("candidate", arrays)
    judgement, taken = judge(
        _detector(values), _release(arrays), candidate, held_out, VotePolicy(**values["policy"]), values["seed"]
    )
    return {**asdict(judgement), "records": len(held_out.x)}, prefixed("statistics", taken)


def _calibrate(values: Values, arrays: Arrays) -> tuple[Values, Arrays]:
    """Threshold of a release under its own statistics, and whether the node's own test passes."""
    detector = _detector(values)
    model = _release(arrays).tensors(detector.layout)
    scores = score_rows(detector, *model, _scaled(arrays, "x"))
    if not np.isfinite(scores).all():
        return {"threshold": None, "held": "scores of held-out records are not finite"}, {}
    names = np.array(values["entities"])[arrays["entities"]].tolist()
    threshold = by_event_rate(
        scores,
        arrays["times"],
        names,
        values["exposure_s"],
        values["events_per_day"],
        values["gap_s"],
        dropped_events=values["dropped_events"],
    )
    if labelled := _by_labels(values, arrays, detector, model):
        threshold = labelled
    return {"threshold": asdict(threshold.beside(scores)), "held": None}, {}


def _by_labels(values: Values, arrays: Arrays, detector: Detector, model: tuple[Any, Any]) -> Threshold | None:
    if not values["learn_labels"]:
        return None
    labels = arrays["labelled_y"]
    if min((labels == 0).sum(), (labels == 1).sum()) < MIN_OF_EACH_CLASS:
        return None
    scores = score_rows(detector, *model, _scaled(arrays, "labelled_x"))
    return by_fbeta(scores, labels, values["f_beta"])
