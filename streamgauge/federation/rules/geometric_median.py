"""Geometric median: the point with the smallest sum of distances to all updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import is_number, is_whole, read_config
from streamgauge.errors import ConfigurationError
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class GeometricMedianConfig:
    """Settings of the geometric median.

    Attributes:
        iterations: most Weiszfeld steps.
        tolerance: the search ends when unit pulls towards all updates leave less than this a node, above 0.
        touching: an update nearer than this is stood on; a share of the median distance from the start, above 0.
    """

    iterations: int = 200
    tolerance: float = 1e-6
    touching: float = 1e-6

    def __post_init__(self) -> None:
        if not is_whole(self.iterations, 1):
            raise ConfigurationError(
                f"rule 'geometric_median': iterations={self.iterations!r} must be a whole number from 1; "
                f"the default is {GeometricMedianConfig.iterations}"
            )
        for name in ("tolerance", "touching"):
            value = getattr(self, name)
            if not (is_number(value) and 0 < value <= 0.1):
                raise ConfigurationError(
                    f"rule 'geometric_median': {name}={value!r} must be a number above 0 to 0.1; the default is "
                    f"{getattr(GeometricMedianConfig, name):g}"
                )


@RULES.register("geometric_median")
def geometric_median(
    updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None
) -> Vector:
    """Geometric median of the deltas by Weiszfeld's algorithm (as a server rule: Pillutla et al. 2022,
    arXiv:1912.13445).

    With f of n nodes hostile, 2 f < n, and honest updates within r of some point, the result is within
    ``2 r (n - f) / (n - 2 f)`` of that point, in any dimension (ours, by the triangle inequality; up to the
    tolerance). Ours does not weigh by counts, which nodes report themselves. It starts from the
    coordinate-wise median and leaves an update that it stands on as Vardi and Zhang (2000) do: plain or
    smoothed steps hardly move from there, whether or not it is the geometric median.

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: of `GeometricMedianConfig`.
        facts: of the updates; not used.
    Returns:
        (d,) float64. Cost O(n^2 d), and O(n d) a step, mostly some tens of steps.
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: unknown settings or values that are not allowed.
    Fails when: half of the nodes or more collude; it loosens as f comes near a half. One or two nodes: it is the
        mean.

    >>> cross = np.array([[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    >>> geometric_median(cross, np.ones(5), {}).tolist()
    [0.0, 0.0]
    """
    settings = read_config("rule", "geometric_median", GeometricMedianConfig, config)
    check_updates(updates, counts)
    centre: Vector = np.median(updates, axis=0)
    near = settings.touching * float(np.median(_lengths(updates - centre)))
    for update in updates:  # towards an update that is the median itself, Weiszfeld's steps shrink too fast
        if len(updates) > 2 and _step(updates - update, near)[1] == 0.0:
            return np.array(update)
    for _ in range(settings.iterations):
        move, remaining = _step(updates - centre, near)
        if remaining <= settings.tolerance:
            break
        centre = centre + move
    return centre


def _lengths(vectors: Vector) -> Vector:
    lengths: Vector = np.sqrt(np.square(vectors).sum(axis=1))
    return lengths


def _step(differences: Vector, near: float) -> tuple[Vector, float]:
    """The move from where we are, given (n, d) differences of the updates to there; and the pull that remains.

    Each update pulls with a unit vector. Those stood on hold with a strength of one each, in any direction.
    """
    distances = _lengths(differences)  # (n,)
    touched = distances <= near
    weights = np.where(touched, 0.0, 1 / np.where(touched, 1.0, distances))
    pull = weights @ differences  # (d,)
    strength = float(np.sqrt(np.square(pull).sum()))
    remaining = strength - int(touched.sum())
    if remaining <= 0:
        return np.zeros_like(pull), 0.0
    return pull / weights.sum() * (remaining / strength), remaining / len(differences)
