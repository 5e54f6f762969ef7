"""What a server optimiser is, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamgauge.config import is_number
from streamgauge.errors import ConfigurationError
from streamgauge.federation.rules_base import Vector
from streamgauge.registry import Registry

Slots = Mapping[str, Vector]
"""An optimiser's state: name -> (d,) float64; empty before the first step and after a reset."""
Optimizer = Callable[[Slots, Vector, Mapping[str, Any]], tuple[dict[str, Vector], Vector]]
"""``optimizer(state, delta (d,) float64, config) -> (new state, update (d,) float64)``.

Never writes into its arguments, keeps nothing elsewhere and refuses unknown settings. An empty state is a start.
"""

OPTIMIZERS: Registry[Optimizer] = Registry("server optimiser", "streamgauge.federation.optimizers")
"""All server optimisers by name."""


def check_setting(optimizer: str, name: str, value: object, least: float, below: float) -> None:
    """Check a setting that is a number from one to below another.

    Raises:
        ConfigurationError: it is not.
    """
    if not (is_number(value) and isinstance(value, int | float) and least <= value < below):
        raise ConfigurationError(
            f"server optimiser {optimizer!r}: {name}={value!r} must be a number from {least:g} to below {below:g}"
        )


@dataclass(frozen=True)
class AdaptiveConfig:
    """Settings of the adaptive optimisers (Reddi et al. 2021).

    Attributes:
        learning_rate: eta, the server's; about the change of a parameter a round.
        beta_1: share of the old mean of the deltas that is kept.
        beta_2: share of the old mean of their squares that is kept.
        tau: added to the root of that mean: how adaptive it is, small is more.
    """

    learning_rate: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3

    def __post_init__(self) -> None:
        check_setting("fedadam or fedyogi", "learning_rate", self.learning_rate, 1e-9, 1e3)
        check_setting("fedadam or fedyogi", "beta_1", self.beta_1, 0, 1)
        check_setting("fedadam or fedyogi", "beta_2", self.beta_2, 0, 1)
        check_setting("fedadam or fedyogi", "tau", self.tau, 1e-12, 1e3)


def adaptive_step(
    state: Slots, delta: Vector, config: AdaptiveConfig, second: Callable[[Vector, Vector], Vector]
) -> tuple[dict[str, Vector], Vector]:
    """Algorithm 2 of Reddi et al. (2021): what FedAdam and FedYogi share.

    As in the paper there is no correction of the bias; the second moment starts at tau squared, its lower bound.

    Args:
        state: ``m`` and ``v``, or empty.
        delta: (d,) float64. Not modified.
        config: settings.
        second: ``(v, delta squared) -> v``.
    """
    before = state or {"m": np.zeros_like(delta), "v": np.full_like(delta, config.tau**2)}
    m = config.beta_1 * before["m"] + (1 - config.beta_1) * delta
    v = second(before["v"], np.square(delta))
    return {"m": m, "v": v}, config.learning_rate * m / (np.sqrt(v) + config.tau)
