"""Server momentum: FedAvgM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import read_config
from streamgauge.federation.optimizers_base import OPTIMIZERS, Slots, check_setting
from streamgauge.federation.rules_base import Vector


@dataclass(frozen=True)
class MomentumConfig:
    """Settings of the server's momentum.

    Attributes:
        learning_rate: eta, the server's.
        beta: share of the old step that is kept, in [0, 1).
    """

    learning_rate: float = 1.0
    beta: float = 0.9

    def __post_init__(self) -> None:
        check_setting("momentum", "learning_rate", self.learning_rate, 1e-9, 1e3)
        check_setting("momentum", "beta", self.beta, 0, 1)


@OPTIMIZERS.register("momentum")
def momentum(state: Slots, delta: Vector, config: Mapping[str, Any]) -> tuple[dict[str, Vector], Vector]:
    """``m = beta m + delta``; the update is ``eta m`` (Hsu et al. 2019, arXiv:1909.06335).

    Args:
        state: ``m`` (d,) float64, or empty. Not modified.
        delta: (d,) float64, merged by the federation's rule. Not modified.
        config: of `MomentumConfig`.
    Returns:
        the new state and the update (d,) float64.
    Raises:
        ConfigurationError: unknown settings or values that are not allowed.
    Fails when: beta is near 1 and rounds are few: steps grow up to 1 / (1 - beta) times, into the norm's bound of
        nobody; lower eta with it.

    >>> state, update = momentum({}, np.array([1.0]), {"beta": 0.5})
    >>> momentum(state, np.array([1.0]), {"beta": 0.5})[1].tolist()
    [1.5]
    """
    settings = read_config("server optimiser", "momentum", MomentumConfig, config)
    m = settings.beta * state.get("m", np.zeros_like(delta)) + delta
    return {"m": m}, settings.learning_rate * m
