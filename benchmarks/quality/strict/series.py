"""Sensor streams split by time: SKAB run by run, SKAB and BATADAL by a date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import load
from benchmarks.quality.rolling import rolling
from benchmarks.quality.strict.live import live_scorer
from streamgauge.evaluation.baselines import BASELINES
from streamgauge.evaluation.splits import by_value

Floats = NDArray[np.float64]
FIRST = 400
"""Rows of each SKAB run to train on, as its notebooks do."""
NORMAL_RUN = 1150
"""Rows of a stretch of the anomaly-free recording that stands for a run; about as long as one."""
LIVE = "live-"
BATCH, MANY = 32, 1000
"""Rows a step of a live detector; four times as many where there are many rows."""
BOUND = 20.0
"""Standardised sensors are clipped to this many standard deviations."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive rows of one run.

    Attributes:
        x: (n, sensors) raw.
        truth: (n,) True where abnormal; False where that is not known.
        times: (n,) seconds.
        name: of the run.
    """

    x: Floats
    truth: NDArray[np.bool_]
    times: Floats
    name: str

    def sensors(self, kept: NDArray[np.bool_]) -> Stretch:
        """Some sensors of it."""
        return Stretch(self.x[:, kept], self.truth, self.times, self.name)

    def part(self, start: int, stop: int | None = None) -> Stretch:
        """Rows from start to stop."""
        return Stretch(self.x[start:stop], self.truth[start:stop], self.times[start:stop], self.name)


@lru_cache(maxsize=1)
def skab(data: Path) -> tuple[tuple[Stretch, ...], tuple[Stretch, ...]]:
    """The 34 runs with an anomaly, and overlapping stretches of the anomaly-free recording."""
    table = load("skab", data)
    sensors = list(table.columns)
    runs, normal = [], []
    for name, rows in by_value(table.sources).items():
        part = table.take(rows)
        run = Stretch(part.matrix(sensors), part.labels == 1, part.times, str(name))
        if "anomaly-free" in str(name):
            starts = range(0, len(part) - NORMAL_RUN + 1, FIRST)
            normal += [run.part(start, start + NORMAL_RUN) for start in starts]
        else:
            runs.append(run)
    return tuple(runs), tuple(normal)


@lru_cache(maxsize=1)
def batadal(data: Path) -> tuple[Stretch, Stretch]:
    """A year of normal operation (dataset03), and the labelled test file with seven attacks."""
    parts = []
    for name in ("BATADAL_dataset03.csv*", "BATADAL_testdataset.csv*"):
        table = load("batadal", data, (name,))
        table = table.take(np.argsort(table.times, kind="stable"))
        sensors = [column for column in table.columns if table.columns[column].dtype == np.float64]
        parts.append(Stretch(table.matrix(sensors), table.labels == 1, table.times, name))
    return parts[0], parts[1]


@dataclass(frozen=True)
class Features:
    """What is scored: sensors standardised by the training rows, and causal windows over them.

    Attributes:
        windows: ("raw", 1), ("mean", rows) or ("std", rows) each; joined side by side.
        settle: first rows that are left out of training: the plant is starting up.
    """

    windows: tuple[tuple[str, int], ...]
    settle: int = 0

    @property
    def warm(self) -> int:
        """Rows until the plant runs and the longest window is full."""
        return max(self.settle, *(rows for _, rows in self.windows))

    def of(self, x: Floats, train: int) -> NDArray[np.float32]:
        """(n, features) float32, standardised by the rows of x from `settle` to `train`."""
        z = _standardised(x, x[self.settle : train])
        wide = np.hstack([z if kind == "raw" else rolling(z, kind, rows) for kind, rows in self.windows])
        return _standardised(wide, wide[self.warm : train], 1.5 * BOUND).astype(np.float32)


def _standardised(x: Floats, by: Floats, bound: float = BOUND) -> Floats:
    mean, scale = by.mean(axis=0), by.std(axis=0)
    floor = 1e-6 * np.abs(mean) + 1e-3 * (scale.max() if bound > BOUND else 0.0) + 1e-9
    clipped: Floats = np.clip((x - mean) / np.maximum(scale, floor), -bound, bound)
    return clipped


def scored(x: Floats, train: int, features: Features, name: str, seed: int) -> Floats:
    """Scores (n,) of all rows by a method fitted on the first `train`, in units of its training scores.

    0 is the lowest, 1 their 95 % quantile: so runs can be compared. `name`: a baseline, or `LIVE` and the name of
    a live detector.
    """
    wide = features.of(x, train)
    fit = wide[features.warm : train]
    if name.startswith(LIVE):
        scores = live_scorer(name.removeprefix(LIVE), fit, BATCH if len(fit) < MANY else 4 * BATCH, seed)(wide)
    else:
        baseline = BASELINES[name](seed)
        baseline.fit(fit)
        scores = baseline.score(wide)
    low, high = np.quantile(scores[features.warm : train], [0.0, 0.95])
    scaled: Floats = (scores - low) / max(high - low, 1e-9)
    return scaled


def drift(normal: Sequence[Stretch], settle: int) -> Floats:
    """How far each sensor moves after the first rows of a normal stretch: median, in its standard deviations."""
    moved = []
    for stretch in normal:
        first, later = stretch.x[settle:FIRST], stretch.x[FIRST:]
        moved.append(np.abs(later.mean(axis=0) - first.mean(axis=0)) / np.maximum(first.std(axis=0), 1e-9))
    median: Floats = np.median(moved, axis=0)
    return median


def after(stretches: Sequence[Stretch], first: int, features: Features, name: str, seed: int) -> list[Floats]:
    """Scores of the rows after the first ones of every stretch, each by its own model."""
    return [scored(stretch.x, first, features, name, seed)[first:] for stretch in stretches]
