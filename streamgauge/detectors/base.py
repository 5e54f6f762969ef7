"""What a detector is: a layout without torch, and pure functions of weights, statistics and standardised rows."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from streamgauge.config import read_config
from streamgauge.errors import ConfigurationError
from streamgauge.layout import Item, Layout
from streamgauge.registry import Registry
from streamgauge.scaler import SCALER

if TYPE_CHECKING:
    import torch

    Weights = Mapping[str, torch.Tensor]
    Statistics = Mapping[str, tuple[torch.Tensor, ...]]
else:
    Weights = Mapping
    Statistics = Mapping


@dataclass(frozen=True)
class DetectorConfig:
    """Base of detectors' hyper-parameters: a frozen dataclass in the detector's file.

    A subclass checks its values in `__post_init__` with `require`.
    """

    def require(self, name: str, fits: Callable[[Any], bool], allowed: str) -> None:
        """Check one hyper-parameter.

        Raises:
            ConfigurationError: `fits` says no, or cannot even be asked; the message says what is `allowed`.
        """
        value = getattr(self, name)
        try:
            good = fits(value)
        except TypeError:
            good = False
        if not good:
            raise ConfigurationError(f"{name}={value!r}: use {allowed}")


def whole(value: Any, least: int = 1, most: int = 100_000) -> bool:
    """Whether it is a whole number in the range; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


class Detector(abc.ABC):
    """Scores standardised rows; higher is more abnormal.

    A detector keeps no state: weights and statistics are arguments, so that a candidate can be judged beside the
    release in force. Modules must import without torch (the aggregator lists detectors); functions may use it.

    Args:
        width: number of encoded columns, at least 1.
        config: hyper-parameters by name; unknown ones are refused.
    """

    name: ClassVar[str]
    Config: ClassVar[type[DetectorConfig]] = DetectorConfig
    optimizer: ClassVar[Literal["adam", "rmsprop"]] = "adam"
    uses_labels: ClassVar[bool] = False
    """Whether labels change what it learns, beyond leaving out the rows labelled abnormal."""

    def __init__(self, width: int, config: Mapping[str, Any] | None = None) -> None:
        if width < 1:
            raise ConfigurationError(f"detector {self.name!r} got {width} columns; a profile needs at least 1")
        self.width = width
        self.config = read_config("detector", self.name, self.Config, config or {})

    @property
    def window(self) -> int:
        """Records of a training or held-out row; above 1 rows are windows, oldest record first."""
        return 1

    @property
    def layout(self) -> Layout:
        """All items of the state; the scaler's moments first. Needs no torch."""
        scaler = Item(SCALER, (self.width,), "moments", "agreement")
        return Layout((scaler, *self.items()))

    @abc.abstractmethod
    def items(self) -> tuple[Item, ...]:
        """The detector's own items: weights, and statistics to take under a candidate."""

    @abc.abstractmethod
    def raw_score(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Score rows.

        Args:
            weights: item name -> tensor, as in the layout.
            statistics: item of phase `under_candidate` -> what its kind reads, (mean, variance) of `moments`;
                empty before the first vote, and an item lacks where too few records are behind it.
            x: (n, width) float32, standardised, finite. Not modified.
        Returns:
            (n,) float32, >= 0, finite; higher is more abnormal.
        """

    @abc.abstractmethod
    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Training loss of one batch.

        Args:
            weights: tensors that require gradients.
            x: (n, width) float32, standardised.
            y: (n,) float32: 0 normal, 1 abnormal, NaN presumed normal (no label).
            generator: source of all randomness.
        Returns:
            scalar.
        """

    @abc.abstractmethod
    def attribute(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Explain scores.

        Returns:
            (n, width) float32; what each column contributed to the raw score, larger is more.
        """

    @property
    def has_embedding(self) -> bool:
        """Whether `embed` can be used. Needs no torch."""
        return type(self).embed is not Detector.embed

    def embed(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Represent rows for client terms that compare representations (MOON, FedProto).

        Args:
            x: (n, width) float32, standardised.
        Returns:
            (n, e) float32, differentiable in the weights; no randomness.
        Raises:
            ConfigurationError: the detector has no embedding.
        """
        raise ConfigurationError(
            f"detector {self.name!r} has no embedding; choose one that has, or a client term that needs none"
        )

    def prepare(self, statistics: Statistics) -> Statistics:
        """Statistics with what every call would compute anew; scores by them are the same."""
        return statistics

    def observe(self, weights: Weights, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Values of which the kinds of the items of phase `under_candidate` make statistics.

        Args:
            x: (n, width) presumed-normal held-out rows.
        Returns:
            item name -> (n, ...) as the item's kind takes it, (n, *item.shape) for `moments`; empty if the
            detector has no such items.
        """
        return {}


DETECTORS: Registry[type[Detector]] = Registry("detector", "streamgauge.detectors")
"""All detectors by name."""
