"""Ways to fit a classifier on a draw: central, or federated over clients with a curve over the rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.paper4.data import Drawn, Part, parts_of
from streamgauge.evaluation.baselines import BASELINES
from streamgauge.evaluation.baselines.base import Matrix, Scores
from streamgauge.evaluation.baselines.classifier import NetworkClassifier
from streamgauge.evaluation.baselines.federated import train_rounds
from streamgauge.evaluation.baselines.networks import initialise, output

if TYPE_CHECKING:
    import torch

EPOCHS = 12
LEARNING: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 128, "learning_rate": 2e-3}
CLIENTS = 5
NOMINAL = 0.05
"""False-alarm rate of the one-class SVM's line, on held-out normal training rows."""
WATCHED = 1_000
"""Rows of a part, the first, on which curves are drawn."""
WARM, WARM_EPOCHS = 2_000, 4
"""Reserved rows and epochs of a warm start: they stand for the paper's public data."""
Score = Callable[[Matrix], Scores]
"""Rows to scores; above 0 is abnormal."""
Fit = Callable[[Drawn, int], tuple[Score, Mapping[str, Any]]]
"""A draw and a seed to a score and details."""


def central(name: str, config: Mapping[str, Any]) -> Fit:
    """A baseline on all training rows; one without labels on the normal ones, its line from a held-out fifth."""

    def fit(data: Drawn, seed: int) -> tuple[Score, Mapping[str, Any]]:
        baseline = BASELINES[name](seed, config)
        x, y = data.train.x, data.train.y
        line = 0.0
        if baseline.supervised:
            baseline.fit(x, y)
            line = 0.5 if name == "gradient_boosted_trees" else 0.0
        else:
            normal = x[y == 0]
            kept = len(normal) * 4 // 5
            baseline.fit(normal[:kept])
            line = float(np.quantile(baseline.score(normal[kept:]), 1.0 - NOMINAL))
        return (lambda rows: baseline.score(rows) - line), {}

    return fit


def in_rounds(
    name: str,
    config: Mapping[str, Any],
    clients: int = CLIENTS,
    participants: int | None = None,
    *,
    warm: bool = False,
) -> Fit:
    """A network in `epochs` rounds of one local epoch; one client: the central case with the same effort.

    Args:
        name: of the baseline.
        config: its hyper-parameters; ``epochs`` are rounds.
        clients: rows go to them at random.
        participants: of them drawn at random each round; None: all.
        warm: start from a model trained on `WARM` reserved rows.
    """

    def fit(data: Drawn, seed: int) -> tuple[Score, Mapping[str, Any]]:
        baseline = BASELINES[name](seed, config)
        assert isinstance(baseline, NetworkClassifier)
        local = replace(baseline.config, epochs=1)
        network = initialise(baseline.network(data.train.x.shape[1]), seed)
        if warm:
            public = (data.reserved.x[:WARM], data.reserved.y[:WARM])
            train_rounds([network], [], [public], local, WARM_EPOCHS, seed)
        copies = [deepcopy(network) for _ in range(clients)]
        shared = copies if clients > 1 else []
        parts = [(part.x, part.y) for part in parts_of(data.train, clients, seed)]
        curve: list[dict[str, float]] = []

        def watch(number: int) -> None:
            curve.append({"round": float(number), **point(copies[:1], [data])})

        rounds = baseline.config.epochs
        train_rounds(copies, shared, parts, local, rounds, seed, participants=participants, watch=watch)
        return (lambda rows: output(copies[0], rows)), {"curve": curve}

    return fit


def point(networks: Sequence[torch.nn.Module], draws: Sequence[Drawn]) -> dict[str, float]:
    """Accuracy and loss on the first `WATCHED` training and test rows, mean over networks with a draw each."""
    found: dict[str, float] = {}
    for role in ("train", "test"):
        parts: list[Part] = [getattr(data, role) for data in draws]
        logits = [output(n, part.x[:WATCHED]) for n, part in zip(networks, parts, strict=True)]
        truths = [part.y[:WATCHED] == 1 for part in parts]
        found[f"{role}_accuracy"] = _mean((z > 0) == t for z, t in zip(logits, truths, strict=True))
        found[f"{role}_loss"] = _mean(cross_entropy(z, t) for z, t in zip(logits, truths, strict=True))
    return found


def _mean(parts: Any) -> float:
    return float(np.mean([np.mean(part) for part in parts]))


def cross_entropy(logits: Scores, truth: NDArray[np.bool_]) -> Scores:
    """(n,) binary cross-entropy of logits, in nats.

    >>> cross_entropy(np.array([0.0, 1000.0]), np.array([True, True])).round(3).tolist()
    [0.693, 0.0]
    """
    losses: Scores = np.logaddexp(0.0, np.where(truth, -logits, logits))
    return losses
