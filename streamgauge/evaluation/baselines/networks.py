"""Training and scoring of small torch networks, shared by the baselines that are networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.evaluation.baselines.base import BaselineConfig, Matrix

if TYPE_CHECKING:
    import torch

CHUNK = 4096
"""Rows scored at once."""


@dataclass(frozen=True)
class NetworkConfig(BaselineConfig):
    """Hyper-parameters.

    Attributes:
        units: of the hidden layers.
        epochs: passes over the rows.
        batch_size: rows a step.
        learning_rate: of Adam.
        l2: weight of the squared weights in the loss, at least 0.
    """

    units: int = 64
    epochs: int = 5
    batch_size: int = 256
    learning_rate: float = 1e-3
    l2: float = 0.0


def initialise(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Draw all weights anew from the seed: uniform within 1 / sqrt(inputs), biases 0; returns the network."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            bound = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.0
            parameter.uniform_(-bound, bound, generator=generator)
    return network


def fit_network(
    network: torch.nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    rows: tuple[Matrix, NDArray[Any]],
    config: NetworkConfig,
    seed: int,
) -> None:
    """Train in place with Adam; `loss` gets the network's output and the targets of a batch.

    Raises:
        StateError: the loss is not finite.
    """
    import torch

    x, targets = torch.tensor(rows[0]), torch.tensor(rows[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, weight_decay=config.l2)
    generator = torch.Generator().manual_seed(seed)
    network.train()
    for _ in range(config.epochs):
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x), config.batch_size):
            index = order[start : start + config.batch_size]
            optimizer.zero_grad()
            value = loss(network(x[index]), targets[index])
            torch.autograd.backward(value)
            optimizer.step()
        if not bool(torch.isfinite(value)):
            raise StateError(f"training diverged at learning rate {config.learning_rate}; use a smaller one")
    network.eval()


def output(network: Callable[[torch.Tensor], torch.Tensor], x: Matrix) -> NDArray[np.float64]:
    """The network's output for rows, in chunks, without gradients."""
    import torch

    with torch.inference_mode():
        parts = [network(torch.tensor(x[i : i + CHUNK])).numpy() for i in range(0, len(x), CHUNK)]
    return np.concatenate(parts).astype(np.float64)
