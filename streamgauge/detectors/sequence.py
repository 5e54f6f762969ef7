"""Detectors that score a record by the entity's records before it, with a state that is carried along."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from streamgauge.detectors.base import Detector, Statistics, Weights

if TYPE_CHECKING:
    import torch


class SequenceDetector(Detector):
    """Forecasts each record from the ones before it and scores the error of the forecast.

    A stream is scored with carried state, one record a step (`streamgauge.stream.sequences`). Training rows and
    held-out rows are windows: `window` consecutive records of one entity in one row of `window * width` columns,
    oldest first; their score is that of the last record, forecast from an empty state and the records before it. A
    row of `width` columns is a sequence of one.

    Attributes:
        gap_s: seconds between two records of an entity beyond which the state starts empty again.
        settle: records after an empty state that are not scored (0): what the state knows is too little yet.
    """

    gap_s: float
    settle: int
    state_size: int
    """float32 numbers of state an entity has; an empty state is zeros."""

    @property
    def error_size(self) -> int:
        """d, numbers of an error."""
        return self.width

    @abc.abstractmethod
    def forecast(
        self, weights: Weights, x: torch.Tensor, sizes: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forecast every record of m sequences, each from the records before it.

        Args:
            x: (n, width) float32, standardised; first the first record of every sequence, then the second of those
                that have one, and so on. Longer sequences stand before shorter ones. Not modified.
            sizes: (longest,) int64, how many sequences have a record at each step; sizes[0] = m, falling, sum n.
            state: (m, state_size) float32, before the first record. Not modified.
        Returns:
            (n, e) forecasts, in the order of `x`: what was expected of each
            record, and whatever else `compare` needs; and the (m, state_size) state after the last record.
        """

    def compare(self, x: torch.Tensor, forecasts: torch.Tensor) -> torch.Tensor:
        """Errors (n, d) of records (n, width) against forecasts (n, e): record minus forecast."""
        return x - forecasts

    @abc.abstractmethod
    def score_errors(self, statistics: Statistics, errors: torch.Tensor) -> torch.Tensor:
        """Raw scores (n,), >= 0 and finite, of errors (n, d)."""

    @abc.abstractmethod
    def attribute_errors(self, statistics: Statistics, errors: torch.Tensor) -> torch.Tensor:
        """What each column contributed to the raw scores of errors (n, d): (n, width)."""

    def errors(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Error of each record of windows, each forecast from an empty state and the records before it.

        Args:
            x: (n, k * width) for any k >= 1: windows of k records.
        Returns:
            (n, k, d).
        """
        n, steps = len(x), x.shape[1] // self.width
        packed = x.reshape(n, steps, self.width).transpose(0, 1).reshape(n * steps, self.width)
        if not n:
            return x.new_zeros(0, steps, self.error_size)
        forecasts, _ = self.forecast(weights, packed, _sizes(n, steps), x.new_zeros(n, self.state_size))
        errors = self.compare(packed, forecasts)
        return errors.reshape(steps, n, self.error_size).transpose(0, 1)

    def raw_score(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """Score of the last record of each window (n, k * width)."""
        return self.score_errors(statistics, self.errors(weights, x)[:, -1])

    def attribute(self, weights: Weights, statistics: Statistics, x: torch.Tensor) -> torch.Tensor:
        """What each column of the last record contributed: (n, width)."""
        return self.attribute_errors(statistics, self.errors(weights, x)[:, -1])


def _sizes(n: int, steps: int) -> torch.Tensor:
    import torch

    return torch.full((steps,), n, dtype=torch.int64)
