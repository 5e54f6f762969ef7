"""A mixture of Gaussians by federated expectation-maximisation: nodes send weighted comoments, which add.

The result is that of the same steps on the union of the records; only the first centres depend on who holds what:
every node clusters its own records, and the server clusters the nodes' centres (as one-shot federated clustering
does). Ours; in simulation only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError

Floats = NDArray[np.float64]
RIDGE = 1e-3
"""Added to every covariance's diagonal."""
LEAST_WEIGHT = 1.0
"""A component with fewer records behind it keeps its place and shape."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """k Gaussians in d dimensions.

    Attributes:
        shares: (k,), sum 1.
        means: (k, d).
        covariances: (k, d, d), positive definite.
    """

    shares: Floats
    means: Floats
    covariances: Floats

    def log_joint(self, x: Floats) -> Floats:
        """(n, k) log of share x density."""
        out = np.empty((len(x), len(self.shares)))
        for j, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
            root = np.linalg.cholesky(covariance)
            z = (x - mean) @ np.linalg.inv(root).T  # a small matrix once, then one product
            out[:, j] = -0.5 * np.einsum("ij,ij->i", z, z) - np.log(np.diag(root)).sum()
        constant = np.log(np.maximum(self.shares, 1e-300)) - 0.5 * x.shape[1] * np.log(2 * np.pi)
        joint: Floats = out + constant
        return joint

    def score(self, x: Floats) -> Floats:
        """Negative log density (n,)."""
        from scipy.special import logsumexp

        scores: Floats = -logsumexp(self.log_joint(x), axis=1)
        return scores


@dataclass(frozen=True, eq=False)
class Sums:
    """What a node sends in a round: per component weight (k,), sum (k, d) and outer products (k, d, d)."""

    weight: Floats
    total: Floats
    outer: Floats

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.weight + other.weight, self.total + other.total, self.outer + other.outer)


def expected(mixture: Mixture, x: Floats) -> Sums:
    """E step on a node's records (n, d)."""
    from scipy.special import softmax

    return _sums(softmax(mixture.log_joint(x), axis=1), x)


def _sums(responsibility: Floats, x: Floats) -> Sums:
    outer = np.stack([(responsibility[:, j, None] * x).T @ x for j in range(responsibility.shape[1])])
    return Sums(responsibility.sum(axis=0), responsibility.T @ x, outer)


def maximised(sums: Sums, before: Mixture | None = None) -> Mixture:
    """M step on merged sums; a component without records stays as it was before."""
    weight = np.maximum(sums.weight, 1e-12)
    means = sums.total / weight[:, None]
    covariances = sums.outer / weight[:, None, None] - means[:, :, None] * means[:, None, :]
    covariances += RIDGE * np.eye(means.shape[1])
    if before is not None:
        empty = sums.weight < LEAST_WEIGHT
        means[empty], covariances[empty] = before.means[empty], before.covariances[empty]
    return Mixture(weight / weight.sum(), means, covariances)


def fit(parts: Sequence[Floats], components: int, rounds: int, seed: int) -> Mixture:
    """First centres, then `rounds` rounds of expectation-maximisation.

    Args:
        parts: records (n, d) of every node, each at least one.
        components: Gaussians.
        rounds: each node is asked once a round.
        seed: of the first centres.
    Raises:
        ConfigurationError: fewer records than components.
    """
    if sum(map(len, parts)) < components:
        raise ConfigurationError(f"{components} Gaussians of {sum(map(len, parts))} records; use fewer")
    centres = first_centres(parts, components, seed)
    merged = _add([_sums(_nearest(part, centres), part) for part in parts])
    mixture = maximised(merged)
    for _ in range(rounds):
        mixture = maximised(_add([expected(mixture, part) for part in parts]), mixture)
    return mixture


def _add(sums: Sequence[Sums]) -> Sums:
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    return total


def first_centres(parts: Sequence[Floats], components: int, seed: int) -> Floats:
    """(components, d), fewer of few rows: every node clusters its own, the server clusters the nodes' centres."""
    from sklearn.cluster import KMeans

    centres, counts = [], []
    for part in parts:
        own = KMeans(min(components, len(np.unique(part, axis=0))), n_init=1, random_state=seed).fit(part)
        centres.append(own.cluster_centers_)
        counts.append(np.bincount(own.labels_, minlength=len(own.cluster_centers_)))
    all_centres, weights = np.concatenate(centres), np.concatenate(counts)
    if len(all_centres) <= components:
        return np.asarray(all_centres, np.float64)
    merged = KMeans(components, n_init=1, random_state=seed).fit(all_centres, sample_weight=weights)
    return np.asarray(merged.cluster_centers_, np.float64)


def _nearest(x: Floats, centres: Floats) -> Floats:
    """(n, k) 1 for the nearest centre, else 0."""
    distances = (centres**2).sum(axis=1) - 2.0 * x @ centres.T
    out = np.zeros((len(x), len(centres)))
    out[np.arange(len(x)), distances.argmin(axis=1)] = 1.0
    return out
