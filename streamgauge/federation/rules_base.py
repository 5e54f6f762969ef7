"""What a server rule is, and the registry of all rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.registry import Registry

Vector = NDArray[np.float64]
Rule = Callable[[Vector, Vector, Mapping[str, Any]], Vector]
"""``rule(updates (n, d) float64 deltas, counts (n,) float64 capped records, config) -> (d,) float64`` delta.

A rule never writes into its arguments, does not depend on the order of the nodes and refuses unknown settings.
"""

RULES: Registry[Rule] = Registry("federation rule", "streamgauge.federation.rules")
"""All server rules by name."""


def check_updates(updates: Vector, counts: Vector) -> None:
    """Check what every rule needs.

    Raises:
        ValueError: no updates, another number of counts, or counts that are negative, not finite or all zero.
    """
    if updates.ndim != 2 or len(updates) == 0 or counts.shape != (len(updates),):
        raise ValueError(
            f"a rule needs (n, d) updates and (n,) counts, n >= 1; got {updates.shape}, {counts.shape}"
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
        raise ValueError("counts must be finite, not negative and not all zero")


def check_config(rule: str, config: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Refuse settings that the rule does not have.

    Raises:
        ConfigurationError: names the unknown settings and lists the known ones.
    """
    if unknown := sorted(set(config) - set(known)):
        raise ConfigurationError(
            f"rule {rule!r} has no setting {', '.join(unknown)}; known: {', '.join(known) or 'none'}"
        )
