"""What a server rule is, and the registry of all rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streamgauge.registry import Registry

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Facts:
    """What is known of the updates beside their values and counts; None where it is not known of every one.

    Attributes:
        staleness: (n,) float64, releases between an update's base and the present one; 0 is fresh.
        accuracy: (n,) float64 in [0, 1], of the base on the node's own held-out records, higher is better.
        means, variances: (n, w) float64, of the node's standardised columns.
    """

    staleness: Vector | None = None
    accuracy: Vector | None = None
    means: Vector | None = None
    variances: Vector | None = None


class Rule(Protocol):
    """A server rule.

    It never writes into its arguments, does not depend on the order of the nodes and refuses unknown settings.
    """

    def __call__(
        self, updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None, /
    ) -> Vector:
        """Merge (n, d) float64 deltas with (n,) float64 capped records behind them into one (d,) float64 delta."""


RULES: Registry[Rule] = Registry("federation rule", "streamgauge.federation.rules")
"""All server rules by name."""

DISCOUNTS_STALE = frozenset({"fedbuff"})
"""Rules that weigh an update by its staleness: with these a late update may count, with others it must not."""


def check_updates(updates: Vector, counts: Vector) -> None:
    """Check what every rule needs.

    Raises:
        ValueError: no updates, another number of counts, counts that are negative, not finite or all zero, or
            updates that are not finite.
    """
    if updates.ndim != 2 or len(updates) == 0 or counts.shape != (len(updates),):
        raise ValueError(
            f"a rule needs (n, d) updates and (n,) counts, n >= 1; got {updates.shape}, {counts.shape}"
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
        raise ValueError("counts must be finite, not negative and not all zero")
    # A median of NaN is NaN and a sort puts NaN last, where a trimmed mean drops it without a word.
    if broken := int((~np.isfinite(updates).all(axis=1)).sum()):
        raise ValueError(
            f"{broken} of {len(updates)} updates have values that are not finite; refuse them beforehand"
        )
