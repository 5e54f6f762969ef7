"""One run: learn on the edges; then every edge's six figures, the matrix of models and test sets, traffic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.paper3.edges import kdd_test, records
from benchmarks.quality.paper3.pca import projected
from benchmarks.quality.table import ALWAYS_ALARM, Outcome
from streamgauge.evaluation.metrics import auc, quality
from streamgauge.federation.merging import MergePolicy
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import Client, Examples, Model, RoundResult, SimulationConfig, Space, simulate
from streamgauge.simulation.config import Mode

HALF = math.log(2.0)
"""Raw score of the MLP, -log(1 - p), where p is one half."""
LEAST_P = 1e-7
"""Probabilities are kept this far from 0 and 1 in the loss, as Keras does it."""
Probability = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Encoded rows (n, width) -> probability of "abnormal" (n,)."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Effort:
    """What is tuned; equal for all ways of learning that are compared.

    Attributes:
        epochs: local ones a round.
        rounds: at most; the models of the round with the highest mean validation accuracy count.
        change: relative change of the training loss below which it ends, the paper's delta.
        components: principal components instead of the columns; None: the columns.
    """

    epochs: int = 30
    batch_size: int = 120
    rounds: int = 4
    learning_rate: float = 3e-3
    hidden: tuple[int, int, int] = (96, 48, 24)
    dropout: float = 0.1
    change: float = 0.01
    components: int | None = None

    def config(self, mode: Mode) -> SimulationConfig:
        """As a simulation's settings."""
        return SimulationConfig(
            detector="mlp",
            detector_config={"hidden": self.hidden, "dropout": self.dropout},
            mode=mode,
            rounds=self.rounds,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            merge=MergePolicy(norm_bound=1e4),  # all edges are honest; the bound must not shorten 30 epochs
            threshold="fixed",
            fixed_threshold=HALF,
            stop_change=self.change,
            keep="accuracy",
        )


def probability(model: Model) -> Probability:
    """Of an MLP of the simulation: 1 - exp(-raw score)."""
    return lambda x: -np.expm1(-model.scores(x))


def accuracy(p: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Share of right decisions at one half."""
    return float(((p >= 0.5) == (y == 1)).mean())


def log_loss(p: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Mean binary cross-entropy, without dropout."""
    kept = np.clip(p, LEAST_P, 1 - LEAST_P)
    return float(-np.where(y == 1, np.log(kept), np.log1p(-kept)).mean())


def encoded_edges(edges: Sequence[Client], effort: Effort) -> tuple[Sequence[Client], Space]:
    """The edges as the network sees them: the columns, or their principal components."""
    space = Space.of(load_profile("nsl-kdd").schema)
    if effort.components is None:
        return edges, space
    return projected(edges, space, effort.components), Space.plain(effort.components)


def federated_run(edges: Sequence[Client], mode: Mode, effort: Effort, data: Path, seed: int) -> Outcome:
    """Learn in a mode of the simulation and measure."""
    edges, space = encoded_edges(edges, effort)
    curves: list[dict[str, float]] = []

    def watch(done: RoundResult, models: Mapping[str, Model]) -> None:
        curves.append({"round": float(done.number), **_curve([probability(m) for m in models.values()], edges)})

    result = simulate(effort.config(mode), edges, seed, space=space, watch=watch)
    models = [probability(model) for model in result.models.values()]
    # The matrix asks how general an edge's own model is: of the federation, as it stands before it is merged.
    own = [probability(model) for model in result.trained.values()] or models
    raw = sum(len(edge.train) for edge in edges) * records(data).bytes_a_record
    figures = {
        **measured(models, own, edges, None if effort.components else kdd_test(data)),
        "rounds": float(result.chosen),
        "mb_sent": result.bytes_sent / 1e6,
        "mb_raw": raw / 1e6,
    }
    return Outcome(figures, {**_details(models, own, edges), "curves": curves})


def tree_run(edges: Sequence[Client], *, pooled: bool, data: Path, seed: int) -> Outcome:
    """Gradient-boosted trees: on each edge alone, or one on all edges' training records."""
    models: list[Probability] = []
    for edge in edges:
        if not pooled or not models:
            models.append(_tree(edges if pooled else [edge], seed))
        else:
            models.append(models[0])
    return Outcome(measured(models, models, edges, kdd_test(data)), _details(models, models, edges))


def _tree(edges: Sequence[Client], seed: int) -> Probability:
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y = (np.concatenate([getattr(edge.train, part) for edge in edges]) for part in ("x", "y"))
    tree = HistGradientBoostingClassifier(random_state=seed).fit(x, y)
    return lambda rows: np.asarray(tree.predict_proba(rows)[:, 1], np.float64)


def measured(
    models: Sequence[Probability], own: Sequence[Probability], edges: Sequence[Client], strict: Examples | None
) -> dict[str, float]:
    """Means over the edges: the six figures, F1, AUC, the accuracy on others' test records, and on KDDTest+."""
    figures = {name: float(np.mean(values)) for name, values in _six(models, edges).items()}
    tests = [(model(edge.test.x), edge.test.y == 1) for model, edge in zip(models, edges, strict=True)]
    counts = [quality(p >= 0.5, truth) for p, truth in tests]
    figures["f1"] = float(np.mean([c.f1 for c in counts]))
    figures[ALWAYS_ALARM] = float(np.mean([c.always_alarm_f1 for c in counts]))
    figures["auc"] = float(np.mean([auc(p[~truth], p[truth]) for p, truth in tests if 0 < truth.sum() < len(p)]))
    matrix = np.array(_matrix(own, edges))
    figures["others_accuracy"] = float(matrix[~np.eye(len(edges), dtype=bool)].mean())
    if strict is not None:
        figures["kddtest_accuracy"] = float(np.mean([accuracy(model(strict.x), strict.y) for model in models]))
    return figures


def _six(
    models: Sequence[Probability], edges: Sequence[Client], parts: tuple[str, ...] = PARTS
) -> dict[str, list[float]]:
    """Accuracy and loss on every edge's training, validation and test records."""
    out: dict[str, list[float]] = {f"{part}_{what}": [] for what in ("accuracy", "loss") for part in parts}
    for model, edge in zip(models, edges, strict=True):
        for part in parts:
            rows: Examples = getattr(edge, part)
            p = model(rows.x)
            out[f"{part}_accuracy"].append(accuracy(p, rows.y))
            out[f"{part}_loss"].append(log_loss(p, rows.y))
    return out


def _matrix(own: Sequence[Probability], edges: Sequence[Client]) -> list[list[float]]:
    """Accuracy of every edge's model (row) on every edge's test records (column)."""
    return [[accuracy(model(edge.test.x), edge.test.y) for edge in edges] for model in own]


def _details(models: Sequence[Probability], own: Sequence[Probability], edges: Sequence[Client]) -> dict[str, Any]:
    counts = [[len(edge.train), len(edge.validation), len(edge.test)] for edge in edges]
    return {"edges": _six(models, edges), "matrix": _matrix(own, edges), "records": counts}


def _curve(models: Sequence[Probability], edges: Sequence[Client]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in _six(models, edges, PARTS[:2]).items()}
