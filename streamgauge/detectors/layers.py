"""Dense layers as pure functions of named weights; shared by the detectors. Imports torch only when called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from streamgauge.layout import Item

if TYPE_CHECKING:
    import torch

    from streamgauge.detectors.base import Weights


def dense_items(name: str, inputs: int, outputs: int, kind: str = "mean") -> tuple[Item, Item]:
    """Layout of a dense layer: ``<name>.weight`` (outputs, inputs), drawn as in Glorot and Bengio (2010)."""
    bound = math.sqrt(6.0 / (inputs + outputs))
    return (
        Item(f"{name}.weight", (outputs, inputs), kind, "weights", init=f"uniform:{bound:.9g}"),
        Item(f"{name}.bias", (outputs,), kind, "weights"),
    )


def dense(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    """Affine map: (n, inputs) -> (n, outputs)."""
    return weights[f"{name}.bias"].addmm(x, weights[f"{name}.weight"].t())


def dropout(x: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Set `share` of the entries to 0 and scale up the rest; randomness from `generator` only."""
    if share == 0:
        return x
    kept = x.new_empty(x.shape).uniform_(generator=generator) >= share
    return x * kept / (1 - share)


def elu(x: torch.Tensor) -> torch.Tensor:
    """Exponential linear unit: x where positive, exp(x) - 1 elsewhere.

    Without a gradient by way of ``exp``, to 1e-7: torch's own takes ``expm1``, which cost 12 ns a number in some
    processes of the measured machine and 1 in others (docs/adr/039-columnar-speed.md).
    """
    import torch

    if torch.is_grad_enabled() and x.requires_grad:
        return torch.nn.functional.elu(x)
    return torch.maximum(x, x.clamp(max=0).exp_().sub_(1))


def log1p(x: torch.Tensor) -> torch.Tensor:
    """log(1 + x); without a gradient NumPy's, for the same reason as `elu`."""
    import torch

    if torch.is_grad_enabled() and x.requires_grad:
        return x.log1p()
    with np.errstate(all="ignore"):  # as torch, which warns of nothing
        return torch.from_numpy(np.log1p(x.detach().numpy()))
