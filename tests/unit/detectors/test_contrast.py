"""The contrastive loss against the equation written out, and what its corner cases give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamgauge.detectors.contrast import contrastive_loss
from tests.support.examples import examples


def literal(z: NDArray[np.float64], groups: list[int], tau: float) -> float:
    """The equation, one term at a time."""

    def sim(a: int, b: int) -> float:
        return float(z[a] @ z[b] / np.sqrt((z[a] @ z[a]) * (z[b] @ z[b])))

    anchors = []
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        positives = [k for k in others if groups[k] == groups[i]]
        if positives:
            whole = sum(math.exp(sim(i, k) / tau) for k in others)
            terms = [-math.log(math.exp(sim(i, k) / tau) / whole) for k in positives]
            anchors.append(sum(terms) / len(positives))
    return sum(anchors) / len(anchors) if anchors else 0.0


@st.composite
def batches(draw: st.DrawFn) -> tuple[NDArray[np.float64], list[int], float]:
    n = draw(st.integers(0, 9))
    z = np.random.default_rng(draw(st.integers(0, 10_000))).normal(size=(n, draw(st.integers(1, 4))))
    groups = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return z * draw(st.floats(0.01, 100)), groups, draw(st.floats(0.05, 5))


@examples(15)
@given(batches())
def test_it_is_the_equation(batch: tuple[NDArray[np.float64], list[int], float]) -> None:
    z, groups, tau = batch
    loss = contrastive_loss(torch.tensor(z), torch.tensor(groups, dtype=torch.int64), tau)
    # a coordinate alone may be shorter than SHORTEST
    if len(z) and (np.linalg.norm(z, axis=1) < 1e-3).any():
        return
    assert loss.item() == pytest.approx(literal(z, groups, tau), rel=1e-9, abs=1e-9)


@given(batches(), st.integers(0, 1000))
def test_order_length_and_names_of_the_groups_do_not_matter(
    batch: tuple[NDArray[np.float64], list[int], float], seed: int
) -> None:
    z, groups, tau = torch.tensor(batch[0]), torch.tensor(batch[1], dtype=torch.int64), batch[2]
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    first = contrastive_loss(z, groups, tau)
    assert torch.allclose(first, contrastive_loss(z[order], groups[order], tau))
    assert torch.allclose(first, contrastive_loss(z, 7 - groups, tau))
    if len(z) and bool((z.norm(dim=1) > 1e-3).all()):
        assert torch.allclose(first, contrastive_loss(3 * z, groups, tau))


@given(batches())
def test_its_gradient_is_finite_and_its_value_not_negative(
    batch: tuple[NDArray[np.float64], list[int], float],
) -> None:
    z = torch.tensor(batch[0], dtype=torch.float32, requires_grad=True)
    loss = contrastive_loss(z, torch.tensor(batch[1], dtype=torch.int64), batch[2])
    torch.autograd.backward(loss)
    assert loss.item() >= -1e-6
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())


@pytest.mark.parametrize("n", [0, 1, 2])
def test_without_a_positive_it_is_zero(n: int) -> None:
    z = torch.ones(n, 3, requires_grad=True)
    loss = contrastive_loss(z, torch.arange(n), 0.1)
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_rows_of_zeros_have_no_direction() -> None:
    z = torch.zeros(4, 3, requires_grad=True)
    loss = contrastive_loss(z, torch.tensor([0, 0, 1, 1]), 0.1)
    torch.autograd.backward(loss)
    assert loss.item() == pytest.approx(math.log(3))  # all others alike
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())


def test_it_falls_as_the_groups_move_apart() -> None:
    groups = torch.tensor([0, 0, 1, 1])
    mixed = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0]])
    apart = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    assert contrastive_loss(apart, groups, 0.2) < contrastive_loss(mixed, groups, 0.2)
