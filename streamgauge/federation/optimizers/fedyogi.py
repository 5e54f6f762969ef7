"""FedYogi: as FedAdam, with a second moment that forgets more slowly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamgauge.config import read_config
from streamgauge.federation.optimizers_base import OPTIMIZERS, AdaptiveConfig, Slots, adaptive_step
from streamgauge.federation.rules_base import Vector


@OPTIMIZERS.register("fedyogi")
def fedyogi(state: Slots, delta: Vector, config: Mapping[str, Any]) -> tuple[dict[str, Vector], Vector]:
    """``v = v - (1 - beta_2) delta^2 sign(v - delta^2)`` in algorithm 2 of Reddi et al. (2021, arXiv:2003.00295).

    Args:
        state: ``m`` and ``v`` (d,) float64, or empty. Not modified.
        delta: (d,) float64, merged by the federation's rule. Not modified.
        config: of `AdaptiveConfig`.
    Returns:
        the new state and the update (d,) float64.
    Raises:
        ConfigurationError: unknown settings or values that are not allowed.
    Fails when: as `fedadam`; after one wild round it takes many to take long steps again.
    """
    settings = read_config("server optimiser", "fedyogi", AdaptiveConfig, config)
    share = 1 - settings.beta_2
    return adaptive_step(state, delta, settings, lambda v, square: v - share * square * np.sign(v - square))
