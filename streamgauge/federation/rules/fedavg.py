"""Federated averaging: the mean of the deltas, weighted by records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.config import check_config
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@RULES.register("fedavg")
def fedavg(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Average deltas weighted by capped record counts (McMahan et al. 2017, arXiv:1602.05629).

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped.
        config: empty.
        facts: of the updates; not used.
    Returns:
        (d,) float64.
    Raises:
        ValueError: no updates or no records.
        ConfigurationError: the config is not empty.
    Fails when: a single node sends a hostile delta; its share of the counts is all the influence it needs.

    >>> import numpy as np
    >>> fedavg(np.array([[0.0, 2.0], [4.0, 2.0]]), np.array([3.0, 1.0]), {}).tolist()
    [1.0, 2.0]
    """
    check_config("rule", "fedavg", config)
    check_updates(updates, counts)
    mean: Vector = (counts / counts.sum()) @ updates
    return mean
