"""Local training: bounded effort, and an honest end when it goes wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streamgauge.detectors import DETECTORS, Detector
from streamgauge.errors import ConfigurationError, StateError
from streamgauge.layout import initial_weights
from streamgauge.training import TrainingPlan, train

Rows = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture
def detector() -> Detector:
    return DETECTORS["autoencoder"](4, {"hidden": 8, "code": 2})


def rows(n: int) -> Rows:
    return np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32), np.full(n, np.nan, np.float32)


def test_no_rows_are_an_error_that_says_what_to_wait_for(detector: Detector) -> None:
    with pytest.raises(ConfigurationError, match="at least one row; wait"):
        train(detector, initial_weights(detector.layout, 0), rows(0), TrainingPlan())


def test_out_of_time_ends_after_the_batch_and_what_was_learned_counts(detector: Detector) -> None:
    asked = 0

    def out_of_time() -> bool:
        nonlocal asked
        asked += 1
        return asked >= 3

    base = initial_weights(detector.layout, 0)
    trained = train(detector, base, rows(100), TrainingPlan(epochs=50, batch_size=10), out_of_time)
    assert trained.epochs == 1
    assert asked <= 4
    assert any(delta.any() for delta in trained.delta.values())


def test_at_least_one_batch_is_done_even_without_time(detector: Detector) -> None:
    base = initial_weights(detector.layout, 0)
    trained = train(detector, base, rows(100), TrainingPlan(epochs=5), lambda: True)
    assert trained.epochs == 1
    assert any(delta.any() for delta in trained.delta.values())


def test_epochs_are_as_planned_and_the_loss_falls(detector: Detector) -> None:
    plan = TrainingPlan(epochs=7, learning_rate=1e-2)
    trained = train(detector, initial_weights(detector.layout, 0), rows(500), plan)
    assert trained.epochs == 7
    assert trained.loss_after < trained.loss_before


def test_delta_is_what_was_added_in_the_base_s_own_type(detector: Detector) -> None:
    base = initial_weights(detector.layout, 0)
    trained = train(detector, base, rows(50), TrainingPlan())
    assert {n: (a.shape, a.dtype) for n, a in trained.delta.items()} == {
        n: (a.shape, a.dtype) for n, a in base.items()
    }


def test_divergence_is_said_not_sent(detector: Detector) -> None:
    """The aggregator would refuse NaN, and a message cannot carry it: it must end here, with its reason."""
    base = {name: array * np.float32(1e20) for name, array in initial_weights(detector.layout, 0).items()}
    with pytest.raises(StateError, match=r"training diverged at learning rate 10"):
        train(detector, base, rows(50), TrainingPlan(epochs=3, learning_rate=10.0))
