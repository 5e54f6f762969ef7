"""Dynamic alignment: updates weighted by how well their nodes fit the federation (paper 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from streamgauge.config import is_number, read_config
from streamgauge.errors import ConfigurationError
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class AlignmentConfig:
    """Exponents of the four factors, from 0 (off) to 10.

    Attributes:
        distribution: of the similarity of the node's columns to all nodes'.
        accuracy: of the accuracy on the node's own records.
        size: of the factor against long changes.
        gradient: of the agreement of directions.
    """

    distribution: float = 1.0
    accuracy: float = 1.0
    size: float = 1.0
    gradient: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (is_number(value) and 0 <= value <= 10):
                raise ConfigurationError(
                    f"rule 'alignment': {field.name}={value!r} must be a number from 0, off, to 10"
                )


def unknown_live(config: Mapping[str, Any]) -> list[str]:
    """The factors that count by these settings and that live nodes do not send with their updates.

    >>> unknown_live({"accuracy": 0})
    ['distribution']
    """
    settings = read_config("rule", "alignment", AlignmentConfig, config)
    return [name for name in ("distribution", "accuracy") if getattr(settings, name) > 0]


def distribution_similarity(means: Vector, variances: Vector, counts: Vector) -> Vector:
    """``1 / (1 + W)``, W the mean over columns of the squared 2-Wasserstein distance of normal distributions.

    Between a node's and the mean node's: ``(mean - mean')^2 + (deviation - deviation')^2``.

    Args:
        means, variances: (n, w) float64.
        counts: (n,) float64.
    Returns:
        (n,) float64 in (0, 1].
    """
    shares, deviations = counts / counts.sum(), np.sqrt(np.maximum(variances, 0.0))
    apart = np.square(means - shares @ means) + np.square(deviations - shares @ deviations)  # (n, w)
    similarity: Vector = 1 / (1 + apart.mean(axis=1))
    return similarity


def size_factor(updates: Vector) -> Vector:
    """1 up to the median length of the updates, median / length beyond: (n,) float64 in (0, 1]."""
    lengths = np.linalg.norm(updates, axis=1)
    middle = float(np.median(lengths))
    factor: Vector = (
        np.minimum(1.0, middle / np.maximum(lengths, np.finfo(float).tiny))
        if middle > 0
        else np.ones(len(updates))
    )
    return factor


def gradient_similarity(updates: Vector) -> Vector:
    """``(1 + cosine) / 2`` with the mean of the directions, so that length buys no say: (n,) in [0, 1]."""
    lengths = np.linalg.norm(updates, axis=1, keepdims=True)
    directions = np.divide(updates, lengths, out=np.zeros_like(updates), where=lengths > 0)
    mean = directions.mean(axis=0)
    length = float(np.linalg.norm(mean))
    cosine: Vector = directions @ mean / length if length > 0 else np.zeros(len(updates))
    return np.clip((1 + cosine) / 2, 0.0, 1.0)


def alignment_weights(updates: Vector, counts: Vector, settings: AlignmentConfig, facts: Facts) -> Vector:
    """Shares of the updates, (n,) float64 that add up to 1.

    Records times the four factors to the power of their exponents. A factor that is not known of every node is
    left out. Where all products are 0, records alone decide.
    """
    weights = counts * size_factor(updates) ** settings.size * gradient_similarity(updates) ** settings.gradient
    if facts.accuracy is not None:
        weights = weights * np.clip(facts.accuracy, 0.0, 1.0) ** settings.accuracy
    if facts.means is not None and facts.variances is not None:
        alike = distribution_similarity(facts.means, facts.variances, counts)
        weights = weights * alike**settings.distribution
    shares: Vector = weights / weights.sum() if weights.sum() > 0 else counts / counts.sum()
    return shares


@RULES.register("alignment")
def alignment(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Average with dynamic alignment weights; the formulas are ours, paper 2 names the four factors only.

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped.
        config: of `AlignmentConfig`.
        facts: `accuracy`, `means` and `variances`; factors that are not known are left out.
    Returns:
        (d,) float64. Cost O(n d).
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: unknown settings or values that are not allowed.
    Fails when: nodes lie about accuracy or moments, which is theirs to report: it is not robust. A node whose data
        are unlike the others' has little say, also where it alone has seen something.

    >>> alignment(np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), np.ones(3), {}).tolist()
    [1.0, 0.0]
    """
    settings = read_config("rule", "alignment", AlignmentConfig, config)
    check_updates(updates, counts)
    merged: Vector = alignment_weights(updates, counts, settings, facts or Facts()) @ updates
    return merged
