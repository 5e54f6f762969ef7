"""The rows that every data set of paper 2's table has, and the parts of the method with and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from benchmarks.quality.columns import ALWAYS, AT_RATE, BEST_F1, MB_SENT
from benchmarks.quality.paper2.learner import DETECTOR, Effort, Way
from benchmarks.quality.paper2.runs import Nodes, baseline_run, central_run, federated_run, shared_run
from benchmarks.quality.table import Column, Comparison, Context, Outcome, Row

EFFORT = Effort()
"""The detector's defaults; rounds and epochs chosen without a trial."""
LARGER = replace(EFFORT, hidden=2 * EFFORT.hidden, code=2 * EFFORT.code)
"""For the central model: it has the union of the features to learn."""
LONGER = replace(EFFORT, rounds=2 * EFFORT.rounds)
BASELINES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "zscore": ("z-score threshold, each node", {}),
    "kmeans": ("k-means, 16 centres, in the raw space, each node", {}),
    "pca": ("PCA 5, residual, each node", {"components": 5}),
    "isolation_forest": ("isolation forest, each node", {}),
}
THRESHOLD = (
    "each node's own: 95 % quantile of its held-out normal records' scores (nominal false-alarm rate 5 %, fixed "
    "beforehand; 1 % beside)"
)
LABELS = "that training and held-out records are normal; none otherwise"
TUNING = (
    f"none: the detector's defaults, {EFFORT.rounds} rounds of {EFFORT.epochs} epochs for every way of learning; "
    "the central autoencoder has the same settings, and twice the size in a row beside"
)
COLUMNS = (*AT_RATE, ALWAYS, BEST_F1, Column("rounds_to", "rounds to target", ".1f"), MB_SENT)
WAYS: Mapping[str, tuple[str, Way]] = {
    "alignment": ("federated, dynamic alignment weights (rule `alignment`)", Way("alignment")),
    "blend": ("federated, a node keeps half of its own common layers (ours)", Way(blend=0.5)),
    "one-shot": ("federated, clusters matched once", Way(matching="one_shot")),
    "unmatched": ("federated, clusters added without matching", Way(matching="none")),
    "own": ("federated, every node its own clusters", Way(matching="own")),
    "distance": ("federated, distance alone (the paper's score)", Way(reconstruction=0.0)),
    "reconstruction": ("federated, reconstruction error nearly alone (weight 100)", Way(reconstruction=100.0)),
}
Run = Callable[[Context], Outcome]


def row(key: str, label: str, run: Run, config: Mapping[str, Any], note: str = "") -> Row:
    """A row whose configuration always has the effort."""
    return Row(key, label, run, {"effort": asdict(EFFORT), **config}, note=note)


def federated_row(
    key: str, label: str, nodes: Nodes, way: Way, *, curve: bool = False, effort: Effort = EFFORT
) -> Row:
    """Federated or, with no rule, each node alone."""

    def run(context: Context) -> Outcome:
        return federated_run(nodes(context), way, effort, context.seed, curve=curve)

    return row(key, label, run, {**asdict(way), "effort": asdict(effort)})


def main_rows(name: str, nodes: Nodes) -> tuple[Row, ...]:
    """Federated, on shared features only, alone, central, simple."""

    def shared(context: Context) -> Outcome:
        return shared_run(nodes(context), EFFORT, context.seed)

    return (
        federated_row(name, "federated, shared + private features", nodes, Way(), curve=True),
        row(f"{name}-shared", "plain FedAvg on the shared features", shared, {}),
        federated_row(f"{name}-local", "each node alone", nodes, Way(rule=None), curve=True),
        central_row(f"{name}-central", "central autoencoder", nodes, "autoencoder", EFFORT),
        central_row(
            f"{name}-central-larger", "central autoencoder of twice the size", nodes, "autoencoder", LARGER
        ),
        central_row(f"{name}-central-kmeans", "central autoencoder with k-means", nodes, DETECTOR, EFFORT),
        *(_baseline(name, key, nodes) for key in BASELINES),
    )


def central_row(key: str, label: str, nodes: Nodes, detector: str, effort: Effort) -> Row:
    """One model on the union of features."""

    def run(context: Context) -> Outcome:
        return central_run(nodes(context), detector, effort, context.seed)

    return row(key, label, run, {"detector": detector, "central": asdict(effort)})


def _baseline(name: str, key: str, nodes: Nodes) -> Row:
    label, config = BASELINES[key]

    def run(context: Context) -> Outcome:
        return baseline_run(nodes(context), key, config, context.seed)

    return row(f"{name}-{key}", label, run, config)


def part_rows(name: str, nodes: Nodes) -> tuple[Row, ...]:
    """With and without the parts of the method."""
    return tuple(federated_row(f"{name}-{key}", label, nodes, way) for key, (label, way) in WAYS.items())


def longer_rows(name: str, nodes: Nodes) -> tuple[Row, ...]:
    """The main ways of learning with twice the rounds."""
    larger = replace(LARGER, rounds=LONGER.rounds)
    return (
        federated_row(name, "federated, shared + private features", nodes, Way(), curve=True, effort=LONGER),
        federated_row(f"{name}-local", "each node alone", nodes, Way(rule=None), curve=True, effort=LONGER),
        central_row(f"{name}-central", "central autoencoder", nodes, "autoencoder", LONGER),
        central_row(
            f"{name}-central-larger", "central autoencoder of twice the size", nodes, "autoencoder", larger
        ),
    )


def comparisons(name: str, *others: str) -> tuple[Comparison, ...]:
    """F1 of the federation minus that of other rows."""
    return tuple(Comparison(name, f"{name}-{other}", "f1") for other in others)
