"""The example of CONTRIBUTING: a server rule. A test runs the contract of rules on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamgauge.federation.rules_base import RULES, Vector, check_config, check_updates


@RULES.register("median")
def median(updates: Vector, counts: Vector, config: Mapping[str, Any]) -> Vector:
    """Coordinate-wise median of the deltas; counts do not matter (Yin et al. 2018, arXiv:1803.01498).

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: empty.
    Returns:
        (d,) float64.
    Raises:
        ValueError: no updates or no records.
        ConfigurationError: the config is not empty.
    Fails when: half of the nodes or more collude.
    """
    check_config("median", config)
    check_updates(updates, counts)
    middle: Vector = np.median(updates, axis=0)
    return middle
