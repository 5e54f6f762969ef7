"""The example of CONTRIBUTING: a server rule. A test runs the contract of rules on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.config import check_config
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@RULES.register("equal_mean")
def equal_mean(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Plain mean of the deltas: every node counts the same, however many records it has (ours).

    Args:
        updates: (n, d) float64 deltas to the common base. Not modified.
        counts: (n,) float64 records behind each, capped; only checked.
        config: empty.
        facts: of the updates; not used.
    Returns:
        (d,) float64.
    Raises:
        ValueError: no updates or no records.
        ConfigurationError: the config is not empty.
    Fails when: a single node sends a hostile delta, or a node of few records has odd ones.
    """
    check_config("rule", "equal_mean", config)
    check_updates(updates, counts)
    mean: Vector = updates.mean(axis=0)
    return mean
