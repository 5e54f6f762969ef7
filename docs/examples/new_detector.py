"""The example of CONTRIBUTING: a linear autoencoder, the smallest detector that learns; its contract is tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamgauge.detectors.base import DETECTORS, Detector, DetectorConfig, Statistics, Weights, whole
from streamgauge.layout import Item

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LinearConfig(DetectorConfig):
    """Hyper-parameters.

    Attributes:
        code: directions kept; fewer than the columns.
    """

    code: int = 3

    def __post_init__(self) -> None:
        self.require("code", whole, "a whole number from 1 to 100000")


@DETECTORS.register("linear")
class Linear(Detector):
    """Projects a row to a few directions and back; raw score = mean squared error.

    Attribution: each column's share of the error, exact. Cost: one pass, 4 * width * code operations a row.
    Fails when: normal rows do not lie near a plane.
    """

    name = "linear"
    Config = LinearConfig
    config: LinearConfig

    def items(self) -> tuple[Item, ...]:
        """One matrix, used in both directions."""
        shape = (self.config.code, self.width)
        return (Item("directions", shape, "mean", "weights", init=f"uniform:{self.width**-0.5:.9g}"),)

    def _errors(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        code = x @ weights["directions"].t()  # (n, code)
        return (x - code @ weights["directions"]).square()  # (n, width)

    def raw_score(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Mean squared error of each row."""
        return self._errors(weights, x).mean(dim=1)

    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean squared error; a row labelled abnormal counts nothing."""
        kept = (~(y == 1)).float()
        return (self._errors(weights, x).mean(dim=1) * kept).mean()

    def attribute(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Each column's part of the score."""
        return self._errors(weights, x) / self.width
