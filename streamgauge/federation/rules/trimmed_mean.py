"""Coordinate-wise trimmed mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import is_number, read_config
from streamgauge.errors import ConfigurationError
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class TrimmedMeanConfig:
    """Settings of the trimmed mean.

    Attributes:
        trim: share of the nodes cut at each end of every coordinate, in [0, 0.5).
    """

    trim: float = 0.2

    def __post_init__(self) -> None:
        if not (is_number(self.trim) and 0 <= self.trim < 0.5):
            raise ConfigurationError(
                f"rule 'trimmed_mean': trim={self.trim!r} must be a number from 0 to below 0.5: "
                "the largest share of hostile nodes to stand; for just below a half use the rule median"
            )

    def cut(self, nodes: int) -> int:
        """Values cut at each end: `trim` of the nodes, rounded up, but at least one or two values stay.

        Rounded down, a small federation would have a plain mean without knowing.

        >>> [TrimmedMeanConfig(0.2).cut(n) for n in (1, 2, 3, 5, 10, 11)]
        [0, 0, 1, 1, 2, 3]
        """
        rounded = math.ceil(self.trim * nodes - 1e-9)  # 0.1 * 30 is a little over 3
        return min(rounded, (nodes - 1) // 2)


@RULES.register("trimmed_mean")
def trimmed_mean(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Mean of what is left of each coordinate without its extremes (Yin et al. 2018, arXiv:1803.01498).

    With at most ``trim * n`` of n nodes hostile, each coordinate stays within the range of the honest ones. Every
    node counts alike. That the number cut is rounded up is ours.

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: of `TrimmedMeanConfig`.
        facts: of the updates; not used.
    Returns:
        (d,) float64. Cost O(n log(n) d).
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: unknown settings, or trim outside [0, 0.5).
    Fails when: more than trim * n nodes collude; a value just inside the honest range is never cut, so that
        colluders can still pull to the edge of it. One or two nodes: nothing is cut, it is the mean.

    >>> trimmed_mean(np.array([[1.0], [2.0], [4.0], [-1e9], [1e9]]), np.ones(5), {"trim": 0.2}).tolist()
    [2.3333333333333335]
    """
    settings = read_config("rule", "trimmed_mean", TrimmedMeanConfig, config)
    check_updates(updates, counts)
    cut = settings.cut(len(updates))
    kept = np.sort(updates, axis=0)[cut : len(updates) - cut]  # (n - 2 cut, d)
    mean: Vector = kept.mean(axis=0)
    return mean
