"""Federated detectors of records without labels, as members of a committee: each by its settings, each alone too.

All but the autoencoder are exact under federation: the nodes send counts, sums and outer products, which add, so
that the result is that of the union of their records (but for the first centres of clusters). Ours; in simulation
only, but for the autoencoder, which is the live detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.strict.mixture import first_centres, fit
from benchmarks.quality.strict.nsl import Matrix, Node, agreed_scaler
from streamgauge.federation.kinds import KINDS
from streamgauge.federation.merging import MergePolicy
from streamgauge.layout import Item
from streamgauge.simulation import Client, Examples, SimulationConfig, Space, simulate

Floats = NDArray[np.float64]
Scorer = Callable[[Matrix], Floats]
"""Encoded rows, not standardised, to raw scores."""
Make = Callable[[Sequence[Node], Space, int], Scorer]
"""Of nodes, public encoding and seed."""
AUTOENCODER: Mapping[str, Any] = {"rounds": 12, "epochs": 1, "batch_size": 256, "learning_rate": 2e-3}
ROUNDS = 25
"""Of expectation-maximisation."""


def autoencoder(nodes: Sequence[Node], space: Space, seed: int) -> Scorer:
    """The live autoencoder by FedAvg over the nodes; of one node: trained there."""
    nothing = Examples(nodes[0].train[:0], np.empty(0, np.float32))
    clients = [
        Client(f"node-{i}", _unlabelled(node.train), _unlabelled(node.held), nothing)
        for i, node in enumerate(nodes)
    ]
    config = SimulationConfig("autoencoder", merge=MergePolicy(rule="fedavg"), **AUTOENCODER)
    result = simulate(config, clients, seed, space=space)
    return next(iter(result.models.values())).scores


def _unlabelled(x: Matrix) -> Examples:
    return Examples(x, np.full(len(x), np.nan, np.float32))


def largest(nodes: Sequence[Node], space: Space, seed: int) -> Scorer:
    """The largest distance of a column from its mean, in standard deviations."""
    scaler = agreed_scaler(nodes, space)
    return lambda x: np.abs(scaler.apply(x)).max(axis=1).astype(np.float64)


def residual(nodes: Sequence[Node], space: Space, seed: int, *, components: int) -> Scorer:
    """Squared distance from the plane of the first principal components of the merged comoments."""
    scaler, mean, _, directions = _linear(nodes, space)
    left = directions[:, min(components, len(mean) - 1) :]
    return lambda x: (((scaler.apply(x) - mean) @ left) ** 2).sum(axis=1)


def whitened(
    nodes: Sequence[Node], space: Space, seed: int, *, ridge: float, floor: float | None = None
) -> Scorer:
    """Sum over principal directions of log(1 + squared coordinate / (variance + ridge)).

    A Mahalanobis distance in which no single direction can rule. `floor`: smallest scale of one-hot columns;
    None: the profile's own, 0.3.
    """
    if floor is not None:
        numeric = np.bincount(space.groups)[space.groups] == 1
        space = replace(space, floor=np.where(numeric, space.floor, floor))
    scaler, mean, variances, directions = _linear(nodes, space)
    return lambda x: np.log1p(((scaler.apply(x) - mean) @ directions) ** 2 / (variances + ridge)).sum(axis=1)


def mixture(nodes: Sequence[Node], space: Space, seed: int, *, plane: int, gaussians: int) -> Scorer:
    """Negative log density under a mixture of Gaussians in the plane of the first principal components."""
    scaler, mean, _, directions = _linear(nodes, space)
    onto = directions[:, :plane]
    found = fit([(scaler.apply(node.train) - mean) @ onto for node in nodes], gaussians, ROUNDS, seed)
    return lambda x: found.score((scaler.apply(x) - mean) @ onto)


def nearest_centre(nodes: Sequence[Node], space: Space, seed: int, *, centres: int) -> Scorer:
    """Distance from the nearest of the centres that k-means finds among the nodes' centres."""
    scaler = agreed_scaler(nodes, space)
    found = first_centres([scaler.apply(node.train).astype(np.float64) for node in nodes], centres, seed)

    def score(x: Matrix) -> Floats:
        z = scaler.apply(x).astype(np.float64)
        squared = (z**2).sum(axis=1) + ((found**2).sum(axis=1) - 2.0 * z @ found.T).min(axis=1)
        distance: Floats = np.sqrt(np.maximum(squared, 0.0))
        return distance

    return score


def _linear(nodes: Sequence[Node], space: Space) -> tuple[Any, Floats, Floats, Floats]:
    """Scaler, mean, and variances with directions of the merged covariance, the largest first."""
    scaler = agreed_scaler(nodes, space)
    kind, item = KINDS["comoments"], Item("rows", (len(space.centre),), "comoments", "under_candidate")
    parts = [kind.take(item, scaler.apply(node.train).astype(np.float64)) for node in nodes]
    counts = np.array([len(node.train) for node in nodes], np.float64)
    mean, covariance = kind.values(item, kind.merge(item, parts, counts, counts))
    variances, directions = np.linalg.eigh(covariance)
    return scaler, mean, np.maximum(variances[::-1], 0.0), directions[:, ::-1]


MEMBERS: Mapping[str, Make] = {
    "z-score": largest,
    "residual-10": partial(residual, components=10),
    "residual-20": partial(residual, components=20),
    "residual-40": partial(residual, components=40),
    "whitened-0.003": partial(whitened, ridge=0.003),
    "whitened-0.03": partial(whitened, ridge=0.03),
    "whitened-0.3": partial(whitened, ridge=0.3),
    "whitened-0.003-floor-0.15": partial(whitened, ridge=0.003, floor=0.15),
    "whitened-0.03-floor-0.15": partial(whitened, ridge=0.03, floor=0.15),
    "whitened-0.3-floor-0.15": partial(whitened, ridge=0.3, floor=0.15),
    "mixture-20-16": partial(mixture, plane=20, gaussians=16),
    "mixture-30-32": partial(mixture, plane=30, gaussians=32),
    "centres-16": partial(nearest_centre, centres=16),
    "autoencoder": autoencoder,
}
"""What a committee is chosen from."""
