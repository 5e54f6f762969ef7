"""The library's own live detectors on a sensor stream: one node, trained by the simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from streamgauge.detectors.base import DETECTORS
from streamgauge.simulation import Client, Examples, SimulationConfig, Space, simulate
from streamgauge.windows import windows

Matrix = NDArray[np.float32]
HELD = 0.2
"""Share of the training rows, the last ones, for the statistics under a candidate."""
ROUNDS, EPOCHS = 6, 5


def live_scorer(name: str, train: Matrix, batch: int, seed: int) -> Callable[[Matrix], NDArray[np.float64]]:
    """Train on one node's rows (n, d) in order of time; the result scores rows in order of time.

    A sequence detector reads overlapping windows; the first rows of what is scored are repeated before them, so
    that their scores mean little.

    Raises:
        ConfigurationError: too few rows for a window on both sides.
    """
    width = train.shape[1]
    steps = DETECTORS[name](width).window
    held = round(HELD * len(train))
    parts = (windows(train[:-held], steps), windows(train[-held:], steps))
    learned, judged = (Examples(part, np.full(len(part), np.nan, np.float32)) for part in parts)
    nothing = Examples(learned.x[:0], np.empty(0, np.float32))
    config = SimulationConfig(name, rounds=ROUNDS, epochs=EPOCHS, batch_size=batch)
    result = simulate(config, [Client("plant", learned, judged, nothing)], seed, space=Space.plain(width))
    model = next(iter(result.models.values()))
    return lambda x: model.scores(windows(np.concatenate([np.repeat(x[:1], steps - 1, axis=0), x]), steps))
