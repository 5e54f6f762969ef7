"""The unsupervised row of paper 4 on real streams, SKAB and BATADAL: LSTM forecaster, Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.paper4.fits import CLIENTS
from benchmarks.quality.strict.series import FIRST, Stretch, batadal, scored, skab
from benchmarks.quality.strict.series_rows import BATADAL_RATE, BATADAL_STEP, COLUMNS, HOURS, SKAB_STEP, outcome
from benchmarks.quality.strict.skab_choice import SKAB_RATE
from benchmarks.quality.strict.skab_rows import PLAIN
from benchmarks.quality.table import Comparison, Context, Outcome, Protocol, Row, Section
from streamgauge.simulation import Client, Examples, Model, SimulationConfig, Space, simulate
from streamgauge.simulation.config import Mode
from streamgauge.windows import windows

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
WINDOW = 16
"""Records of a window, the last of which is forecast; the paper states none."""
FIT = 0.8
"""Share of the training rows that train; the rest gives mean and covariance of the errors."""
LEARNING: dict[str, Any] = {"rounds": 10, "epochs": 1, "batch_size": 128, "learning_rate": 3e-3}
MODES: tuple[tuple[Mode, str], ...] = (
    ("federated", f"`lstm` forecaster + Mahalanobis, federated over {CLIENTS} clients"),
    ("centralised", "`lstm` forecaster + Mahalanobis, central"),
)


def skab_section() -> Section:
    """SKAB: one forecaster over all runs, learned from their first rows."""
    protocol = Protocol(
        "strict",
        f"the first {FIRST} rows of each of 34 runs train (the last fifth of them gives mean and covariance of "
        "the errors), the rest tests; one run has anomalies in its first rows, nothing was done about it. "
        f"Clients: the runs in turn to {CLIENTS}",
        "none of the runs; that the anomaly-free recording is normal",
        f"a nominal false-alarm rate of {SKAB_RATE:.0%}, fixed beforehand, on the anomaly-free recording cut into "
        "runs: as in the table `strict`",
        "none",
        (
            f"Every run is standardised by its own first {FIRST} rows; windows of {WINDOW} records within a run; "
            "a test record's window may look back on the rows before it",
            "PCA residual: the same split and line, each run its own model, from the table `strict`, where rows "
            "on windowed means and deviations do better than any on raw sensors",
        ),
    )
    return Section(
        "`lstm` forecaster on sensor data: SKAB",
        protocol,
        COLUMNS,
        _rows("skab", _skab, "raw sensors"),
        (),
        _against("skab"),
    )


def batadal_section() -> Section:
    """BATADAL: a normal year, then the test file."""
    protocol = Protocol(
        "strict",
        "dataset03, a year without attacks: its first 80 % train (the last fifth of them gives mean and "
        "covariance of the errors), its last 20 % are held out for the line; test: the labelled test "
        f"file, three months with seven attacks. Clients: {CLIENTS} stretches of the year",
        "that dataset03 is normal",
        f"quantile of the held-out scores (nominal false-alarm rate {BATADAL_RATE:.0%}, fixed beforehand)",
        "none",
        (
            f"Windows of {WINDOW} hours, within a file: the test's first {WINDOW - 1} hours are not scored",
            "PCA residual: from the table `strict`, on the same rows",
        ),
    )
    return Section(
        "`lstm` forecaster on sensor data: BATADAL",
        protocol,
        COLUMNS,
        _rows("batadal", _batadal, "raw and mean over 6 h"),
        (),
        _against("batadal"),
    )


def _rows(name: str, run: Callable[[Context, Mode | None], Outcome], inputs: str) -> tuple[Row, ...]:
    def bound(mode: Mode | None) -> Callable[[Context], Outcome]:
        return lambda context: run(context, mode)

    lstm = (
        Row(f"{name}-lstm-{mode}", label, bound(mode), {**LEARNING, "window": WINDOW}) for mode, label in MODES
    )
    return (*lstm, Row(f"{name}-pca", f"PCA residual, {inputs}", bound(None)))


def _against(name: str) -> tuple[Comparison, ...]:
    ours = f"{name}-lstm-federated"
    return tuple(
        Comparison(ours, f"{name}-{other}", figure)
        for other in ("lstm-centralised", "pca")
        for figure in ("f1", "auc")
    )


def forecaster(parts: Sequence[Sequence[Matrix]], mode: Mode, seed: int) -> Model:
    """Learn from each client's stretches of standardised consecutive rows (n, sensors); the model of all."""
    clients = [Client(f"client-{i}", *_examples(part)) for i, part in enumerate(parts)]
    config = SimulationConfig("lstm", {"window": WINDOW, "units": 32}, mode=mode, **LEARNING)
    found = simulate(config, clients, seed, space=Space.plain(parts[0][0].shape[1]))
    return next(iter(found.models.values()))


def _examples(stretches: Sequence[Matrix]) -> tuple[Examples, Examples, Examples]:
    train = np.concatenate([windows(x[: round(FIT * len(x))], WINDOW) for x in stretches])
    held = np.concatenate([windows(x[round(FIT * len(x)) :], WINDOW) for x in stretches])
    return _unlabelled(train), _unlabelled(held), _unlabelled(train[:0])


def _unlabelled(x: Matrix) -> Examples:
    return Examples(x, np.full(len(x), np.nan, np.float32))


def scores_from(model: Model, x: Matrix, start: int) -> Floats:
    """Scores of the rows from `start` on, which is `WINDOW` - 1 at least; each by the window that ends with it."""
    return model.scores(windows(x[start - WINDOW + 1 :], WINDOW))


def _skab(context: Context, mode: Mode | None) -> Outcome:
    runs, normal = skab(context.data)

    def later(stretches: Sequence[Stretch], score: Callable[[Stretch], Floats]) -> Floats:
        return np.concatenate([score(stretch) for stretch in stretches])

    if mode is None:

        def score(stretch: Stretch) -> Floats:
            return scored(stretch.x, FIRST, PLAIN, "pca", context.seed)[FIRST:]

    else:
        first = [PLAIN.of(run.x, FIRST)[:FIRST] for run in runs]
        model = forecaster([first[i::CLIENTS] for i in range(CLIENTS)], mode, context.seed)

        def score(stretch: Stretch) -> Floats:
            return scores_from(model, PLAIN.of(stretch.x, FIRST), FIRST)

    tests = [run.part(FIRST) for run in runs]
    return outcome(later(normal, score), later(runs, score), tests, SKAB_RATE, SKAB_STEP)


def _batadal(context: Context, mode: Mode | None) -> Outcome:
    normal, test = batadal(context.data)
    count = len(normal.x)
    train = round(0.8 * count)
    both = np.concatenate([normal.x, test.x])
    if mode is None:
        scores = scored(both, train, HOURS, "pca", context.seed)
        held, later = scores[train:count], scores[count + WINDOW - 1 :]
    else:
        x = PLAIN.of(both, train)
        model = forecaster([[part] for part in np.array_split(x[:train], CLIENTS)], mode, context.seed)
        held = scores_from(model, x[:count], train)
        later = scores_from(model, x[count:], WINDOW - 1)
    return outcome(held, later, [test.part(WINDOW - 1)], BATADAL_RATE, BATADAL_STEP)
