"""Dynamic PCA: what single records do not show, the same in windows and in a stream; LSTM with a span beside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from streamgauge.detectors.base import Statistics, Weights
from streamgauge.detectors.dynamic_pca import RECENT, DynamicPca
from streamgauge.detectors.lstm import Lstm
from streamgauge.detectors.sequence import SequenceDetector
from streamgauge.judging import score_rows, take_statistics
from streamgauge.layout import initial_weights
from streamgauge.state import statistics_tensors
from streamgauge.stream.sequences import SequenceStates
from streamgauge.windows import windows

SPAN, WIDTH = 4, 3
FLOW, LEVEL, OTHER = range(WIDTH)
DETECTORS: tuple[SequenceDetector, ...] = (
    DynamicPca(WIDTH, {"span": SPAN}),
    Lstm(WIDTH, {"units": 6, "window": 8, "span": SPAN, "settle": 0, "ridge": 0.001}),
)


def tank(n: int, seed: int) -> NDArray[np.float32]:
    """A flow that switches now and then, the level that it fills or lets fall, and a sensor of something else."""
    rng = np.random.default_rng(seed)
    flow = np.resize(np.repeat([1.0, -1.0], 20), n)
    level = 0.1 * np.cumsum(flow) - 1.0 + 0.01 * rng.normal(size=n)
    return np.stack([flow + 0.05 * rng.normal(size=n), level, rng.normal(size=n)], axis=1).astype(np.float32)


def model(detector: SequenceDetector) -> tuple[Weights, Statistics]:
    weights = {name: torch.tensor(w) for name, w in initial_weights(detector.layout, 0).items()}
    taken = take_statistics(detector, weights, windows(tank(800, 1), detector.window))
    return weights, detector.prepare(statistics_tensors(detector.layout, taken))


def live(detector: SequenceDetector, x: NDArray[np.float32]) -> NDArray[np.float64]:
    times = np.arange(len(x), dtype=np.float64)
    return SequenceStates().step(detector, ("m", *model(detector)), x, times, ["tank"] * len(x)).scores


def frozen(x: NDArray[np.float32]) -> NDArray[np.float32]:
    attacked = x.copy()
    attacked[105:115, OTHER] = attacked[105, OTHER]
    return attacked


def unfilled(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The level falls as it rises at other times, while water flows in."""
    attacked = x.copy()
    attacked[125:135, LEVEL] = attacked[145:155, LEVEL]
    return attacked


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_windows_and_a_stream_score_the_same(detector: SequenceDetector) -> None:
    x = tank(detector.window, 2)
    (score,) = score_rows(detector, *model(detector), x.reshape(1, -1))
    assert live(detector, x)[-1] == pytest.approx(score, rel=1e-4)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_a_sensor_that_stands_still_is_found_and_blamed(detector: SequenceDetector) -> None:
    x = frozen(tank(200, 3))
    scores = live(detector, x)
    assert scores[110:115].min() > 10 * np.quantile(scores[20:100], 0.99)
    window = torch.from_numpy(x[115 - detector.window : 115].reshape(1, -1))
    assert int(detector.attribute(*model(detector), window).argmax()) == OTHER


def test_a_level_that_does_not_follow_the_flow_is_found_though_every_value_is_usual() -> None:
    detector = DETECTORS[0]
    scores = live(detector, unfilled(tank(200, 3)))
    assert scores[129:135].min() > 3 * np.quantile(scores[20:120], 0.99)


def test_the_first_records_of_an_entity_are_not_scored_and_shares_add_up() -> None:
    detector = DETECTORS[0]
    weights, statistics = model(detector)
    assert live(detector, tank(10, 4))[: SPAN - 1].tolist() == [0.0] * (SPAN - 1)
    x = torch.from_numpy(windows(tank(50, 4), SPAN))
    shares = detector.attribute(weights, statistics, x)
    torch.testing.assert_close(shares.sum(dim=1), detector.raw_score(weights, statistics, x), rtol=1e-4, atol=1e-5)
    assert statistics[RECENT][0].shape == (detector.error_size,)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.name)
def test_without_statistics_the_record_alone_counts(detector: SequenceDetector) -> None:
    weights, _ = model(detector)
    x = torch.from_numpy(windows(tank(30, 4), detector.window))
    scores = detector.raw_score(weights, {}, x)
    errors = detector.errors(weights, x)[:, -1, :WIDTH]
    torch.testing.assert_close(scores, errors.square().mean(dim=1))
    torch.testing.assert_close(detector.attribute(weights, {}, x).sum(dim=1), scores)
