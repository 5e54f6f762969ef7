"""What the trainer process makes of a job."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from services.edge_node.jobs import MIN_OF_EACH_CLASS, Arrays, Values, prefixed, run
from services.edge_node.trainer import yield_to_the_scorer
from streamgauge.detectors import DETECTORS
from streamgauge.layout import initial_weights

WIDTH, WINDOW = 2, 3


def calibrated(attacks: int, learn_labels: bool = True) -> Values:
    """A threshold of `lstm` from 60 held-out windows and labelled ones."""
    detector = DETECTORS["lstm"](WIDTH, {"window": WINDOW, "units": 4})
    generator = np.random.default_rng(0)
    normal = generator.normal(size=(60, WINDOW * WIDTH)).astype(np.float32)
    abnormal = generator.normal(size=(attacks, WINDOW * WIDTH)).astype(np.float32)
    abnormal[:, -WIDTH:] += 30
    values: Values = {
        "kind": "calibrate", "detector": "lstm", "width": WIDTH, "config": {"window": WINDOW, "units": 4},
        "entities": ["m"], "exposure_s": 60.0, "dropped_events": 0.0, "events_per_day": 10.0, "gap_s": 1.0,
        "f_beta": 1.0, "learn_labels": learn_labels,
    }  # fmt: skip
    arrays: Arrays = {
        "scaler_mean": np.zeros(WIDTH, np.float32), "scaler_scale": np.ones(WIDTH, np.float32),
        "x": normal, "times": np.arange(60.0),
        "entities": np.zeros(60, np.int64), "labelled_x": np.concatenate([normal, abnormal]),
        "labelled_y": np.repeat([0.0, 1.0], [60, attacks]).astype(np.float32),
        **prefixed("release", initial_weights(detector.layout, 0)),
    }  # fmt: skip
    result, _ = run(values, arrays)
    threshold: Values = result["threshold"]
    return threshold


def test_labelled_windows_set_the_threshold_by_f_beta() -> None:
    found = calibrated(MIN_OF_EACH_CLASS)
    assert (found["method"], found["events"]) == ("fbeta", 0)


def test_too_few_labels_or_labels_that_may_not_be_used_leave_it_to_the_false_alarms() -> None:
    assert calibrated(MIN_OF_EACH_CLASS - 1)["method"] != "fbeta"
    assert calibrated(MIN_OF_EACH_CLASS, learn_labels=False)["method"] != "fbeta"


@pytest.mark.skipif(sys.platform != "linux", reason="the policy is Linux's")
def test_the_trainer_yields_to_the_scorer() -> None:
    if (child := os.fork()) == 0:
        yield_to_the_scorer()
        os._exit(0 if (os.nice(0), os.sched_getscheduler(0)) == (19, os.SCHED_IDLE) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
