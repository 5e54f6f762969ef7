"""Coordinate-wise median."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import read_config
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class MedianConfig:
    """The median has no settings."""


@RULES.register("median")
def median(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Coordinate-wise median of the deltas, every node alike (Yin et al. 2018, arXiv:1803.01498).

    With f of n nodes hostile and 2 f < n, each coordinate stays within the range of the honest ones. Counts have
    no say: nodes report them themselves. Of an even number, the middle two are averaged.

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: of `MedianConfig`: empty.
        facts: of the updates; not used.
    Returns:
        (d,) float64. Cost O(n d).
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: the config is not empty.
    Fails when: half of the nodes or more collude; or the honest nodes' data differ so much that most coordinates
        of most nodes are zero while a few move: then the median moves nothing. One or two nodes: it is the mean.

    >>> median(np.array([[1.0, 5.0], [2.0, 6.0], [1e9, -1e9]]), np.ones(3), {}).tolist()
    [2.0, 5.0]
    """
    read_config("rule", "median", MedianConfig, config)
    check_updates(updates, counts)
    middle: Vector = np.median(updates, axis=0)
    return middle
