"""The whitening that distances are measured with: against the formula, and where a covariance is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamgauge.detectors import DETECTORS
from streamgauge.detectors.contrastive import NORMAL
from streamgauge.detectors.mahalanobis import prepared, whitening
from tests.support.examples import examples


@examples(15)
@given(st.integers(1, 6), st.integers(0, 1000), st.floats(1e-3, 10.0))
def test_the_squared_norm_is_the_squared_mahalanobis_distance(d: int, seed: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    root, mean, v = rng.normal(size=(d, d)), rng.normal(size=d), rng.normal(size=d)
    covariance = root @ root.T
    statistics = {"item": (torch.tensor(mean), torch.tensor(covariance))}
    centre, white = whitening(statistics, "item", ridge)
    found = (white.double() @ (torch.tensor(v) - centre)).square().sum().item()
    apart = v - mean
    assert found == pytest.approx(apart @ np.linalg.inv(covariance + ridge * np.eye(d)) @ apart, rel=1e-3)


def test_prepared_statistics_are_read_and_not_computed_anew() -> None:
    statistics = {"item": (torch.zeros(2), torch.eye(2))}
    ready = prepared(statistics, "item", 0.5)
    assert whitening(ready, "item", 99.0)[1] is whitening(ready, "item", 0.5)[1]
    assert "item" in ready


def test_what_is_no_covariance_counts_by_its_diagonal() -> None:
    hostile = torch.tensor([[1.0, 5.0], [5.0, 1.0]])
    _, white = whitening({"item": (torch.zeros(2), hostile)}, "item", 1e-6)
    assert torch.allclose(white, torch.eye(2), atol=1e-3)


def test_a_broken_correlation_is_far_though_no_coordinate_is() -> None:
    """Two coordinates of the embedding that always agree on normal rows, and a row where they do not."""
    made = DETECTORS["contrastive"](2, {"hidden": 2, "embedding": 2, "projection": 2, "ridge": 0.01})
    weights = {item.name: torch.zeros(item.shape) for item in made.layout.of_phase("weights")}
    for layer in ("encoder.0", "encoder.1"):
        weights[f"{layer}.weight"] = torch.eye(2)
    statistics = {NORMAL: (torch.zeros(2), torch.tensor([[1.0, 0.99], [0.99, 1.0]]))}
    agreeing, broken = made.raw_score(weights, statistics, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    assert broken > 1.5 * agreeing
