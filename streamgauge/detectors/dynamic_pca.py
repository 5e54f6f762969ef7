"""Dynamic principal component analysis: a record is judged together with the entity's last ones.

That lagged columns let PCA see relations over time is Ku, Storer and Georgakis (1995). Which columns (change,
mean, stillness in place of the lags themselves), all axes in place of some, and the federated form are ours (ADR
043).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from streamgauge.detectors.base import DETECTORS, DetectorConfig, Statistics, Weights, whole
from streamgauge.detectors.mahalanobis import distance, distance_shares, prepared
from streamgauge.detectors.recent import look_back, mean, oldest, recent_size, stillness
from streamgauge.detectors.sequence import SequenceDetector
from streamgauge.layout import Item

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

RECENT = "recent"
"""Item of phase `under_candidate`: comoments of what the last records show, on presumed-normal windows."""
FIGURES = 4
"""Of a column: where it is, how far it came, its mean, how long it stood still."""


@dataclass(frozen=True)
class DynamicPcaConfig(DetectorConfig):
    """Hyper-parameters.

    Attributes:
        span: records that are judged together; as many as the process needs to show itself.
        ridge: added to the variance along each axis, in standard deviations of a column squared: how far records
            may lie off where normal ones never vary.
        gap_s: an entity silent for longer starts anew, seconds of event time.
    """

    span: int = 4
    ridge: float = 0.001
    gap_s: float = 600.0

    def __post_init__(self) -> None:
        self.require("span", lambda v: whole(v, 2, 1000), "a whole number from 2 to 1000")
        self.require("ridge", lambda v: 1e-4 <= v <= 100, "a number from 0.0001 to 100")
        self.require("gap_s", lambda v: 0 < v <= 1e9, "a number above 0, at most 1e9")


@DETECTORS.register("dynamic_pca")
class DynamicPca(SequenceDetector):
    """Raw score = mean over all principal axes of ``y^2 / (variance + ridge)``, about 1 for normal records.

    The axes are those of four figures a column: the value, its change over the last `span` records, its mean over
    them, and the share of them over which it stood still. So a level that rises faster than the flows fill it, a
    command without its effect, or a sensor that froze lie far out though each value is usual. The sum over all
    axes is a squared Mahalanobis distance, and is computed as one.

    It has no weights: a round trains nothing, and the vote takes the comoments, which need more windows than
    figures. Without them the score is the mean square of the record. Attribution: each column's figures together,
    exact; a share may be negative. The first `span` - 1 records after an empty state are not scored. State:
    (span - 1) * width + 1 float32 an entity. Cost: span additions and 16 * width multiplications a column.
    Fails when: records of an entity do not follow from one another; or relations that hardly varied drift, the
    more the smaller the ridge. What was abnormal is in sight of the next `span` - 1 records too.
    """

    name = "dynamic_pca"
    Config = DynamicPcaConfig
    config: DynamicPcaConfig

    def __init__(self, width: int, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(width, config)
        self.gap_s, self.settle = self.config.gap_s, self.config.span - 1
        self.state_size = recent_size(width, self.config.span)

    @property
    @override
    def window(self) -> int:
        return self.config.span

    @property
    @override
    def error_size(self) -> int:
        return FIGURES * self.width

    @override
    def items(self) -> tuple[Item, ...]:
        least = max(20, self.error_size + 1)  # of fewer windows they would tell about single ones
        return (Item(RECENT, (self.error_size,), "comoments", "under_candidate", min_count=least),)

    @override
    def forecast(
        self, weights: Weights, x: torch.Tensor, sizes: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nothing is forecast: (n, 3 * width) of the record `span` - 1 before, mean and stillness."""
        import torch

        recent = look_back(x, sizes, state, self.config.span)
        return torch.cat([oldest(recent), mean(recent), stillness(recent)], dim=1), recent.state

    @override
    def compare(self, x: torch.Tensor, forecasts: torch.Tensor) -> torch.Tensor:
        """The four figures of each column: (n, 4 * width)."""
        import torch

        before, rest = forecasts[:, : self.width], forecasts[:, self.width :]
        return torch.cat([x, x - before, rest], dim=1)

    @override
    def score_errors(self, statistics: Statistics, errors: torch.Tensor) -> torch.Tensor:
        if RECENT not in statistics:
            return errors[:, : self.width].square().mean(dim=1)
        return distance(statistics, RECENT, self.config.ridge, errors)

    @override
    def attribute_errors(self, statistics: Statistics, errors: torch.Tensor) -> torch.Tensor:
        if RECENT not in statistics:
            return errors[:, : self.width].square() / self.width
        return distance_shares(statistics, RECENT, self.config.ridge, errors, self.width)

    @override
    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """0: there is nothing to train."""
        return x.new_zeros(())

    @override
    def observe(self, weights: Weights, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """The figures of the windows' last records, of which only sums leave the node."""
        return {RECENT: self.errors(weights, x)[:, -1]}

    @override
    def prepare(self, statistics: Statistics) -> Statistics:
        """With the whitening matrix, so that not every call inverts the covariance."""
        return prepared(statistics, RECENT, self.config.ridge) if RECENT in statistics else statistics
