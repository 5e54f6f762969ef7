"""What Krum and Multi-Krum share: who is near most of the others."""

from __future__ import annotations

import numpy as np

from streamgauge.config import is_whole
from streamgauge.errors import ConfigurationError
from streamgauge.federation.rules_base import Vector

TIE = 1e-9
"""Scores that differ by less than this share are equal: sums in another order differ by rounding."""


def squared_distances(points: Vector) -> Vector:
    """Squared Euclidean distances of all pairs, by direct differences.

    ``|a|^2 + |b|^2 - 2 a b`` is faster and loses all digits where vectors are long and near each other.

    Args:
        points: (n, d) float64. Not modified.
    Returns:
        (n, n) float64, symmetric, 0 on the diagonal. Cost O(n^2 d) time, O(n d) memory.

    >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    n = len(points)
    distances = np.zeros((n, n))
    for i in range(n - 1):
        distances[i, i + 1 :] = distances[i + 1 :, i] = np.square(points[i + 1 :] - points[i]).sum(axis=1)
    return distances


def check_hostile(rule: str, hostile: object) -> None:
    """Check the setting `hostile`.

    Raises:
        ConfigurationError: neither None nor a whole number of at least 0.
    """
    if not (hostile is None or is_whole(hostile, 0)):
        raise ConfigurationError(
            f"rule {rule!r}: hostile={hostile!r} must be a whole number of nodes from 0; "
            "leave it out for as many as the rule can stand"
        )


def hostile_among(rule: str, hostile: int | None, nodes: int) -> int:
    """Hostile nodes to stand: as set, or as many as the rule can among so many.

    Raises:
        ConfigurationError: the rule cannot stand so many.
    """
    if hostile is None:
        return max(0, (nodes - 3) // 2)
    if nodes < 2 * hostile + 3:
        raise ConfigurationError(
            f"rule {rule!r}: hostile={hostile} needs at least {2 * hostile + 3} updates (2 x hostile + 3), "
            f"but there are {nodes}; raise min_nodes or quorum, lower hostile, or leave it out"
        )
    return hostile


def nearest(updates: Vector, hostile: int, keep: int) -> Vector:
    """The `keep` updates that are nearest to their own ``n - hostile - 2`` nearest others.

    Args:
        updates: (n, d) float64. Not modified.
        hostile: nodes that may lie; of one or two updates none can be told apart.
        keep: at least 1.
    Returns:
        (m, d) float64, m >= keep: equal scores are kept together, so that no order decides.
    """
    n = len(updates)
    others = np.sort(squared_distances(updates), axis=1)[:, 1:]  # (n, n - 1), without the distance to oneself
    scores = others[:, : max(1, n - hostile - 2)].sum(axis=1)  # (n,)
    worst = np.sort(scores)[keep - 1]
    kept: Vector = updates[scores <= worst * (1 + TIE)]
    return kept
