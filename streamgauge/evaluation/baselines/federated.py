"""FedAvg of the baselines that are networks: clients train copies, the server averages by rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError
from streamgauge.evaluation.baselines.base import Matrix
from streamgauge.evaluation.baselines.networks import NetworkConfig, fit_network

if TYPE_CHECKING:
    import torch

Part = tuple[Matrix, NDArray[Any]]
"""Rows (n, d) and targets (n,) of one client: 0 or 1, or whatever the loss takes."""
Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def train_rounds(
    networks: Sequence[torch.nn.Module],
    shared: Sequence[torch.nn.Module],
    parts: Sequence[Part],
    config: NetworkConfig,
    rounds: int,
    seed: int,
    *,
    participants: int | None = None,
    loss: Loss | None = None,
    watch: Callable[[int], None] = lambda number: None,
) -> None:
    """Rounds of local training, in place; what is shared is averaged by rows after each, the rest stays local.

    Args:
        networks: one a client: rows to outputs.
        shared: of each network the module whose weights are averaged; begins alike everywhere. Empty: nothing is,
            every client learns alone with the same effort.
        parts: rows and targets of each client.
        config: local effort a round.
        rounds: at least 1; the optimiser starts afresh in each.
        seed: of the order of the rows, and of who takes part.
        participants: clients drawn at random to train in each round; all get the average. None: all train.
        loss: of a batch's outputs and targets; None: binary cross-entropy of logits.
        watch: called after each round, with its number from 1.
    Raises:
        ConfigurationError: no client, numbers of clients that differ, or participants that do not fit.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits

    if not parts or len(networks) != len(parts) or len(shared) not in (0, len(parts)):
        raise ConfigurationError(f"{len(networks)} networks, {len(shared)} shared parts, {len(parts)} clients")
    if participants is not None and not (shared and 1 <= participants <= len(parts)):
        raise ConfigurationError(
            f"{participants} participants of {len(parts)} clients with {len(shared)} shared parts: "
            "draw 1 or more of clients that share something"
        )
    rows = np.array([len(y) for _, y in parts], np.float64)
    generator = np.random.default_rng(seed)
    for number in range(rounds):
        chosen = generator.permutation(len(parts))[: participants or len(parts)]
        for client in sorted(chosen.tolist()):
            own_seed = seed + 1000 * number + client
            fit_network(
                networks[client], loss or binary_cross_entropy_with_logits, parts[client], config, own_seed
            )
        if shared:
            weights = np.zeros(len(parts))
            weights[chosen] = rows[chosen]
            average(shared, weights / weights.sum())
        watch(number + 1)


def average(modules: Sequence[torch.nn.Module], shares: NDArray[np.float64]) -> None:
    """Set the weights of all modules to their weighted mean."""
    import torch

    with torch.no_grad():
        for together in zip(*(module.parameters() for module in modules), strict=True):
            mean = sum(share * parameter for share, parameter in zip(shares.tolist(), together, strict=True))
            for parameter in together:
                parameter.copy_(mean)
