"""FedBuff: late updates count, but less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import is_number, read_config
from streamgauge.errors import ConfigurationError
from streamgauge.federation.rules_base import RULES, Facts, Vector, check_updates


@dataclass(frozen=True)
class FedBuffConfig:
    """Settings of FedBuff.

    Attributes:
        exponent: a of the staleness weight ``(1 + s)^-a``, at least 0; 0.5 in the paper, 0 does not discount.
    """

    exponent: float = 0.5

    def __post_init__(self) -> None:
        if not (is_number(self.exponent) and 0 <= self.exponent <= 100):
            raise ConfigurationError(
                f"rule 'fedbuff': exponent={self.exponent!r} must be a number from 0 to 100; the default is 0.5"
            )


def staleness_weights(counts: Vector, staleness: Vector | None, exponent: float) -> Vector:
    """Shares of the updates: ``count (1 + s)^-exponent``, made to add up to 1.

    >>> staleness_weights(np.array([1.0, 1.0]), np.array([0.0, 3.0]), 0.5).round(3).tolist()
    [0.667, 0.333]
    """
    late = np.zeros(len(counts)) if staleness is None else staleness
    weights = counts * (1 + late) ** -exponent
    shares: Vector = weights / weights.sum()
    return shares


@RULES.register("fedbuff")
def fedbuff(updates: Vector, counts: Vector, config: Mapping[str, Any], facts: Facts | None = None) -> Vector:
    """Average of fresh and stale deltas with staleness weights (Nguyen et al. 2022, arXiv:2106.06639).

    Without a stale update it is FedAvg. The paper's buffer is a round here. Unlike the paper, updates are weighted
    by records too, and the weights add up to 1: the paper divides by the number of updates, so that a round of
    stale ones makes a shorter step.

    Args:
        updates: (n, d) float64 deltas, each to its own base. Not modified.
        counts: (n,) float64 records behind each, capped.
        config: of `FedBuffConfig`.
        facts: `staleness`; unknown counts as fresh.
    Returns:
        (d,) float64.
    Raises:
        ValueError: no updates, not finite ones, or no records.
        ConfigurationError: unknown settings or values that are not allowed.
    Fails when: as `fedavg`; and where stale deltas point to where the model was going long ago.

    >>> fedbuff(np.array([[3.0], [0.0]]), np.ones(2), {}, Facts(staleness=np.array([0.0, 3.0]))).tolist()
    [2.0]
    """
    settings = read_config("rule", "fedbuff", FedBuffConfig, config)
    check_updates(updates, counts)
    late = facts.staleness if facts is not None else None
    mean: Vector = staleness_weights(counts, late, settings.exponent) @ updates
    return mean
