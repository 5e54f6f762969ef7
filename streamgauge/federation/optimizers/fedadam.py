"""FedAdam: an adaptive step on the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamgauge.config import read_config
from streamgauge.federation.optimizers_base import OPTIMIZERS, AdaptiveConfig, Slots, adaptive_step
from streamgauge.federation.rules_base import Vector


@OPTIMIZERS.register("fedadam")
def fedadam(state: Slots, delta: Vector, config: Mapping[str, Any]) -> tuple[dict[str, Vector], Vector]:
    """``v = beta_2 v + (1 - beta_2) delta^2`` in algorithm 2 of Reddi et al. (2021, arXiv:2003.00295).

    Args:
        state: ``m`` and ``v`` (d,) float64, or empty. Not modified.
        delta: (d,) float64, merged by the federation's rule. Not modified.
        config: of `AdaptiveConfig`.
    Returns:
        the new state and the update (d,) float64; no coordinate is beyond ``eta |m| / tau``.
    Raises:
        ConfigurationError: unknown settings or values that are not allowed.
    Fails when: deltas are much smaller than tau: then it is a slow momentum; or the learning rate is that of
        another model: the length of its step does not follow the length of the deltas.
    """
    settings = read_config("server optimiser", "fedadam", AdaptiveConfig, config)
    return adaptive_step(
        state, delta, settings, lambda v, square: settings.beta_2 * v + (1 - settings.beta_2) * square
    )
