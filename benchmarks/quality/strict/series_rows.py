"""What the sections of sensor streams share, and that of BATADAL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.columns import AT_RATE, BEST_F1
from benchmarks.quality.figures import at_rate, events
from benchmarks.quality.strict.live import EPOCHS, HELD, ROUNDS
from benchmarks.quality.strict.series import LIVE, Features, Stretch, batadal, scored
from benchmarks.quality.table import Column, Context, Outcome, Protocol, Row, Section
from streamgauge.scaler import CLIP

Floats = NDArray[np.float64]
COLUMNS = (
    *AT_RATE[:5],
    Column("event_recall", "events found"),
    Column("false_events_day", "false alarm events a day", ".2f"),
    Column("adjusted_f1", "F1, point-adjusted"),
    BEST_F1,
)
BATADAL_RATE = 0.05
SKAB_STEP, BATADAL_STEP = (1.0, 60.0), (3600.0, 6 * 3600.0)
"""Seconds between rows, and up to which alarms are one event."""
HOURS = Features((("raw", 1), ("mean", 6)))
METHODS = (
    ("zscore", "largest z-score"),
    ("pca", "PCA residual"),
    ("knn", "nearest neighbour"),
    ("isolation_forest", "isolation forest"),
    ("one_class_svm", "one-class SVM"),
    ("plain_autoencoder", "autoencoder"),
)
LIVE_METHODS = (
    (f"{LIVE}pca", "live detector `pca`"),
    (f"{LIVE}autoencoder", "live detector `autoencoder`"),
    (f"{LIVE}lstm", "live detector `lstm`"),
)
LIVE_REMARK = (
    f"Live detectors: as one node of the simulation, {ROUNDS} rounds of {EPOCHS} epochs, else their defaults; "
    f"none was tuned. The last {HELD:.0%} of the training rows are held out for their statistics. They clip a "
    f"standardised column at {CLIP:g} standard deviations, as they do in the services"
)


def batadal_section() -> Section:
    """BATADAL, a normal year against the test file."""
    protocol = Protocol(
        "strict",
        "dataset03, a year without attacks: its first 80 % train, its last 20 % are held out for the line; test: "
        "the labelled test file, three months with seven attacks",
        "that dataset03 is normal",
        f"quantile of the held-out scores (nominal false-alarm rate {BATADAL_RATE:.0%}, fixed beforehand)",
        "none",
        (LIVE_REMARK,),
    )
    rows = rows_of("batadal", "raw and mean over 6 h", _batadal, HOURS, (*METHODS, *LIVE_METHODS))
    return Section("BATADAL", protocol, COLUMNS, rows)


Run = Callable[[Context, Features, str], Outcome]


def rows_of(
    prefix: str, what: str, run: Run, features: Features, methods: Sequence[tuple[str, str]] = METHODS
) -> tuple[Row, ...]:
    """One row a method, by its key and label."""
    config: dict[str, Any] = {"windows": [list(w) for w in features.windows], "settle": features.settle}
    live = {**config, "rounds": ROUNDS, "epochs": EPOCHS}
    return tuple(
        Row(
            f"{prefix}-{name}",
            f"{label}, {what}",
            _bound(run, features, name),
            live if name.startswith(LIVE) else config,
        )
        for name, label in methods
    )


def _bound(run: Run, features: Features, name: str) -> Callable[[Context], Outcome]:
    return lambda context: run(context, features, name)


def _batadal(context: Context, features: Features, name: str) -> Outcome:
    normal, test = batadal(context.data)
    train = round(0.8 * len(normal.x))
    scores = scored(np.concatenate([normal.x, test.x]), train, features, name, context.seed)
    return outcome(scores[train : len(normal.x)], scores[len(normal.x) :], [test], BATADAL_RATE, BATADAL_STEP)


def outcome(
    held: Floats, scores: Floats, tests: Sequence[Stretch], rate: float, step: tuple[float, float]
) -> Outcome:
    """Figures of the scores of all test stretches in order, at the line that a share `rate` of `held` exceeds."""
    truth = np.concatenate([test.truth for test in tests])
    times = np.concatenate([test.times for test in tests])
    names = [test.name for test in tests for _ in test.times]
    decided = scores > np.quantile(held, 1.0 - rate)
    return Outcome({**at_rate(held, scores, truth, rate), **events(decided, truth, times, names, step)})
