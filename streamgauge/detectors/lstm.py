"""Federated LSTM (paper 4): forecasts the next record; abnormal by the Mahalanobis distance of the error.

The paper fixes the forecast (equation 11) and the distance `(beta - mu)^T Sigma^-1 (beta - mu)` of the error
vector beta (equation 12); that mu and Sigma are those of the errors on normal held-out records, window, units,
learning rate and how Sigma is kept invertible are not stated and are ours, as is the carried state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from streamgauge.detectors.base import DETECTORS, DetectorConfig, Statistics, Weights, whole
from streamgauge.detectors.layers import dense, dense_items
from streamgauge.detectors.mahalanobis import distance, distance_shares, prepared
from streamgauge.detectors.recent import look_back, mean, recent_size, stillness
from streamgauge.detectors.sequence import SequenceDetector
from streamgauge.layout import Item

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

ERROR = "error"
"""Item of phase `under_candidate`: mean and covariance of the forecasts' errors on presumed-normal windows."""


@dataclass(frozen=True)
class LstmConfig(DetectorConfig):
    """Hyper-parameters.

    Attributes:
        units: of the LSTM layer.
        window: records of a training window, the last of which is what counts while voting and calibrating.
        gap_s: an entity silent for longer starts with an empty state, seconds of event time.
        settle: so many records after an empty state are not scored.
        ridge: added to every variance of the errors, in squared standard deviations of a column; keeps the
            covariance invertible and limits what a column forecast almost exactly can add.
        span: beside the error of a record, its mean over so many records and how long each column stood still are
            judged (ADR 043); 1: the error alone, as in the paper.
    """

    units: int = 32
    window: int = 16
    gap_s: float = 600.0
    settle: int = 4
    ridge: float = 0.05
    span: int = 1

    def __post_init__(self) -> None:
        self.require("units", lambda v: whole(v, most=4096), "a whole number from 1 to 4096")
        self.require("window", lambda v: whole(v, 2, 1000), "a whole number from 2 to 1000")
        self.require("gap_s", lambda v: 0 < v <= 1e9, "a number above 0, at most 1e9")
        self.require("settle", lambda v: whole(v, 0, 1000), "a whole number from 0 to 1000")
        self.require("ridge", lambda v: 1e-4 <= v <= 100, "a number from 0.0001 to 100")
        self.require("span", lambda v: whole(v, most=1000), "a whole number from 1 to 1000")


@DETECTORS.register("lstm")
class Lstm(SequenceDetector):
    """One LSTM layer reads an entity's records; a dense layer forecasts the next; the error is the score.

    Raw score = squared Mahalanobis distance of the error / columns: about 1 for normal records. Mean and
    covariance of the errors are taken under the candidate on held-out windows and merged over the nodes; before
    the first vote the errors count as uncorrelated with variance 1. Attribution: each column's share of the
    quadratic form, exact; a share may be negative where a column's error fits those of the others.
    State: 2 * units float32 an entity. Cost: 4 * units * (width + units) multiplications a record and width^2 for
    the distance, in one call for a whole chunk.
    Fails when: records of an entity do not follow from those before (shuffled rows: it is then a Mahalanobis
    distance from the mean), or an anomaly is so slow that each record follows from the last.
    """

    name = "lstm"
    Config = LstmConfig
    config: LstmConfig

    def __init__(self, width: int, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(width, config)
        self.gap_s, self.settle = self.config.gap_s, self.config.settle
        span, units = self.config.span, self.config.units
        self._remembered = recent_size(width, span) if span > 1 else 0
        self.state_size = 2 * units + 2 * self._remembered

    @property
    def window(self) -> int:
        """Records of a training row."""
        return self.config.window

    def items(self) -> tuple[Item, ...]:
        """The cell's two matrices and bias, the dense layer, and the comoments of the errors."""
        units = self.config.units
        init = f"uniform:{1 / math.sqrt(units):.9g}"
        return (
            Item("cell.input", (4 * units, self.width), "mean", "weights", init=init),
            Item("cell.hidden", (4 * units, units), "mean", "weights", init=init),
            Item("cell.bias", (4 * units,), "mean", "weights"),
            *dense_items("forecast", units, self.width),
            Item(ERROR, (self.error_size,), "comoments", "under_candidate"),
        )

    @property
    @override
    def error_size(self) -> int:
        return self.width if self.config.span == 1 else 3 * self.width

    def forecast(
        self, weights: Weights, x: torch.Tensor, sizes: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One fused call of the cell over all sequences; gates in torch's order: input, forget, cell, output."""
        import torch

        units = self.config.units
        h, c = state[:, :units], state[:, units : 2 * units]
        parameters = [weights["cell.input"], weights["cell.hidden"], weights["cell.bias"], self._remember(x)]
        start = (h.unsqueeze(0).contiguous(), c.unsqueeze(0).contiguous())
        out, last_h, last_c = torch.lstm(x, sizes, start, parameters, True, 1, 0.0, False, False)
        before = torch.cat([sizes[:1], sizes[:-1]]).repeat_interleave(
            sizes
        )  # how far back the record before stands
        known = torch.cat([h, out])[torch.arange(len(x)) + len(h) - before]  # (n, units)
        forecasts, after = dense(weights, "forecast", known), torch.cat([last_h[0], last_c[0]], dim=1)
        if self.config.span == 1:
            return forecasts, after
        records, errors = state[:, 2 * units :].chunk(2, dim=1)
        seen = look_back(x, sizes, records, self.config.span)
        missed = look_back(x - forecasts, sizes, errors, self.config.span)
        together = torch.cat([forecasts, mean(missed), stillness(seen)], dim=1)
        return together, torch.cat([after, seen.state, missed.state], dim=1)

    @override
    def compare(self, x: torch.Tensor, forecasts: torch.Tensor) -> torch.Tensor:
        """The error; with a span also its mean over the last records and each column's stillness."""
        import torch

        expected, rest = forecasts[:, : self.width], forecasts[:, self.width :]
        return torch.cat([x - expected, rest], dim=1)

    def _remember(self, x: torch.Tensor) -> torch.Tensor:
        """Fixed second bias: 1 at the forget gate, so that a fresh cell remembers (Gers et al. 2000)."""
        bias = x.new_zeros(4, self.config.units)
        bias[1] = 1.0
        return bias.reshape(-1)

    def loss(self, weights: Weights, x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Mean squared error over all records of the windows not labelled abnormal."""
        kept = x[~(y == 1)]
        if not len(kept):
            return cast("torch.Tensor", sum(w.sum() * 0 for w in weights.values()))
        return self.errors(weights, kept)[..., : self.width].square().mean()

    def observe(self, weights: Weights, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Errors of the windows' last records: (n, error_size)."""
        return {ERROR: self.errors(weights, x)[:, -1]}

    def prepare(self, statistics: Statistics) -> Statistics:
        """With the whitening matrix, so that not every call inverts the covariance."""
        return prepared(statistics, ERROR, self.config.ridge) if ERROR in statistics else statistics

    def score_errors(self, statistics: Statistics, errors: torch.Tensor) -> torch.Tensor:
        """Squared Mahalanobis distance / columns, as a sum of squares: no cancellation."""
        if ERROR not in statistics:
            return errors[:, : self.width].square().mean(dim=1)
        return distance(statistics, ERROR, self.config.ridge, errors)

    def attribute_errors(self, statistics: Statistics, errors: torch.Tensor) -> torch.Tensor:
        """(beta - mu)_j (Sigma^-1 (beta - mu))_j / size, summed by column; they add up to the score."""
        if ERROR not in statistics:
            return errors[:, : self.width].square() / self.width
        return distance_shares(statistics, ERROR, self.config.ridge, errors, self.width)
