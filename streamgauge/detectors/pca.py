"""Principal component analysis: a record is abnormal by how far it lies out along the axes of the normal ones.

Federated by merging comoments: nodes send sums of outer products, never rows, and the axes are those of all rows
together. That minor axes tell as much as major ones is Shyu, Chen, Sarinnapakorn and Chang (2003), whose distance
sums y^2 / lambda over axes of both kinds; the logarithm and the federated form are ours (ADR 031).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from streamgauge.detectors.base import DETECTORS, Detector, DetectorConfig, Statistics, Weights
from streamgauge.layout import Item

if TYPE_CHECKING:
    import torch

COLUMNS = "columns"
"""Item of phase `under_candidate`: comoments of the standardised columns on presumed-normal rows."""


@dataclass(frozen=True)
class PcaConfig(DetectorConfig):
    """Hyper-parameters.

    Attributes:
        ridge: added to the variance along each axis, in standard deviations of a column squared: how far a record
            may lie off where normal records never vary.
    """

    ridge: float = 0.1

    def __post_init__(self) -> None:
        self.require("ridge", lambda v: v > 0, "a number above 0")


class Axes(NamedTuple):
    """Principal axes: (d, d) float64 orthonormal columns and (d,) variances along them, the largest first."""

    vectors: torch.Tensor
    variances: torch.Tensor


@DETECTORS.register("pca")
class Pca(Detector):
    """Raw score = mean over the principal axes of ``log(1 + y^2 / (variance + ridge))``, y = place on the axis.

    The logarithm keeps a few wild columns from drowning the rest: it is, but for constants, the negative
    log-likelihood of independent Cauchy variables along the axes.

    It has no weights: a round trains nothing, and the vote takes the comoments. Without them (before the first
    vote) no axis is known and the score is the mean square of the standardised record. Attribution: each column's
    part of that sum, exact; a part may be negative. Cost: two products of (n, width) by (width, width); an
    eigendecomposition once a release.
    Fails when: normal rows form several clusters far from each other; or relations that hardly varied drift, the
    more the smaller the ridge.
    """

    name = "pca"
    Config = PcaConfig
    config: PcaConfig

    def __init__(self, width: int, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(width, config)
        self._kept: tuple[torch.Tensor, Axes] | None = None

    def items(self) -> tuple[Item, ...]:
        """The comoments; of more records than columns, or they would tell about single ones."""
        least = max(20, self.width + 1)
        return (Item(COLUMNS, (self.width,), "comoments", "under_candidate", min_count=least),)

    def _axes(self, covariance: torch.Tensor) -> Axes:
        """Found once for a release's covariance, which is never modified."""
        if self._kept is None or self._kept[0] is not covariance:
            self._kept = covariance, principal_axes(covariance)
        return self._kept[1]

    def raw_score(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Mean over the axes."""
        if COLUMNS not in statistics:
            return x.square().mean(dim=1)
        mean, covariance = statistics[COLUMNS]
        axes = self._axes(covariance)
        # In float32 a short way along a minor axis of large values keeps few digits.
        squares = ((x.double() - mean.double()) @ axes.vectors).square() / (axes.variances + self.config.ridge)
        return squares.log1p().mean(dim=1).float()

    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """0: there is nothing to train."""
        return x.new_zeros(())

    def attribute(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Each column's part of the raw score; the parts add up to it.

        An axis' part is shared out as y is made up: ``y = sum over columns of v z``, so column c gets ``v z / y``.
        """
        import torch

        if COLUMNS not in statistics:
            return x.square() / self.width
        mean, covariance = statistics[COLUMNS]
        axes = self._axes(covariance)
        centred = x.double() - mean.double()
        places, scale = centred @ axes.vectors, axes.variances + self.config.ridge
        squares = places.square() / scale
        by_square = torch.where(squares > 0, squares.log1p() / squares, 1.0)
        shares: torch.Tensor = centred * ((by_square * places / scale) @ axes.vectors.t()) / self.width
        return shares.float()

    def observe(self, weights: Weights, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The rows themselves, of which only sums leave the node."""
        return {COLUMNS: x}


def principal_axes(covariance: torch.Tensor) -> Axes:
    """Eigenvectors and eigenvalues, the largest first; the largest entry of each vector is positive.

    Args:
        covariance: (d, d) symmetric. Not modified.
    """
    import torch

    variances, vectors = torch.linalg.eigh(covariance.double())  # ascending
    variances, vectors = variances.flip(0).clamp(min=0), vectors.flip(1)
    largest = vectors.abs().argmax(dim=0, keepdim=True)
    return Axes(vectors * vectors.gather(0, largest).sign(), variances)
