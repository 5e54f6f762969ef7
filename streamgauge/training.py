"""Local training: from a base to a delta, in float32 on one thread, all randomness from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.detectors.base import Detector
from streamgauge.errors import ConfigurationError, StateError
from streamgauge.federation.terms_base import TermConfigs, TermContext, make_terms
from streamgauge.layout import Arrays

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainingPlan:
    """Effort of a round.

    Attributes:
        epochs: passes over the rows, at least 1.
        batch_size: rows a step.
        learning_rate: of Adam or RMSProp, as the detector says.
        seed: order of the rows, noise, dropout.
        terms: client term -> its settings; what they add to the loss.
    """

    epochs: int = 1
    batch_size: int = 128
    learning_rate: float = 1e-3
    seed: int = 0
    terms: TermConfigs = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """What client terms may need beside the base; see `TermContext`.

    Attributes:
        previous: weights that the node's last training ended with.
        prototypes: (2, e) float32, NaN where nobody has the class.
    """

    previous: Arrays | None = None
    prototypes: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Trained:
    """Result of local training.

    Attributes:
        delta: item name -> trained minus base, same shapes and dtypes as the base.
        loss_before: mean of the detector's own loss, without terms, over the first epoch's batches.
        loss_after: the same over the last epoch's.
        epochs: epochs finished; fewer than planned where `out_of_time` said so, 0 where there are no weights.
    """

    delta: dict[str, NDArray[Any]]
    loss_before: float
    loss_after: float
    epochs: int


def train(
    detector: Detector,
    base: dict[str, NDArray[Any]],
    rows: tuple[NDArray[np.float32], NDArray[np.float32]],
    plan: TrainingPlan,
    out_of_time: Callable[[], bool] = lambda: False,
    memory: Memory | None = None,
) -> Trained:
    """Train a copy of `base`.

    Args:
        detector: its `loss` and `optimizer` are used.
        base: weights to start from. Not modified.
        rows: x (n, width) standardised and y (n,) labels (0, 1 or NaN). Not modified.
        plan: effort, seed, client terms.
        out_of_time: asked after every batch; True ends the training early, the delta so far counts.
        memory: for terms that look back or at other nodes. Not modified.
    Raises:
        ConfigurationError: no rows, or terms that do not exist, have no such settings or do not fit the detector.
        StateError: the training diverged: loss or weights are not finite.
    """
    import torch

    x, y = (torch.tensor(part) for part in rows)
    if not len(x):
        raise ConfigurationError("training needs at least one row; wait until the quarantine has let some through")
    if not base:
        return Trained({}, 0.0, 0.0, 0)
    weights = {name: torch.tensor(array, requires_grad=True) for name, array in base.items()}
    terms = make_terms(plan.terms, detector)
    context = _context(detector, base, memory or Memory())
    optimizer = _optimizer(detector, list(weights.values()), plan.learning_rate)
    generator = torch.Generator().manual_seed(plan.seed)
    losses: list[float] = []
    while len(losses) < plan.epochs and not (losses and out_of_time()):
        total, batches = 0.0, 0
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x), plan.batch_size):
            index = order[start : start + plan.batch_size]
            optimizer.zero_grad()
            loss = detector.loss(weights, x[index], y[index], generator)
            added = (term.loss(context, weights, x[index], y[index]) for term in terms)
            torch.autograd.backward(sum(added, loss))
            torch.nn.utils.clip_grad_norm_(list(weights.values()), 5.0)
            optimizer.step()
            total, batches = total + loss.item(), batches + 1
            if out_of_time():
                break
        losses.append(total / batches)
    delta = {name: weights[name].detach().numpy() - base[name] for name in base}
    if not (np.isfinite(losses).all() and all(np.isfinite(part).all() for part in delta.values())):
        raise StateError(f"training diverged at learning rate {plan.learning_rate}; plan with a smaller one")
    return Trained(delta, losses[0], losses[-1], len(losses))


def _context(detector: Detector, base: Arrays, memory: Memory) -> TermContext:
    import torch

    previous = _tensors(memory.previous) if memory.previous is not None else None
    prototypes = torch.tensor(memory.prototypes) if memory.prototypes is not None else None
    return TermContext(detector, _tensors(base), previous, prototypes)


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    import torch

    return {name: torch.tensor(array) for name, array in arrays.items()}


def _optimizer(detector: Detector, weights: list[torch.Tensor], learning_rate: float) -> torch.optim.Optimizer:
    import torch

    if detector.optimizer == "rmsprop":
        return torch.optim.RMSprop(weights, lr=learning_rate, foreach=True)
    return torch.optim.Adam(weights, lr=learning_rate, fused=True)
