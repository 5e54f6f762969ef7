"""What a baseline is: fitted once on rows, then it scores; higher is more abnormal."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from streamgauge.config import read_config
from streamgauge.errors import ConfigurationError, StateError
from streamgauge.registry import Registry

Matrix = NDArray[np.float32]
Scores = NDArray[np.float64]
Labels = NDArray[np.float32]


@dataclass(frozen=True)
class BaselineConfig:
    """Base of baselines' hyper-parameters: a frozen dataclass in the baseline's file."""


class Baseline(abc.ABC):
    """A method to compare with, held in memory only: nothing of it is saved.

    Subclasses fill in `_fit` and `_score`, which may import scikit-learn, River or torch.

    Args:
        seed: of everything random; same seed and rows, same scores.
        config: hyper-parameters by name; unknown ones are refused.
    """

    name: ClassVar[str]
    supervised: ClassVar[bool] = False
    """Whether it needs labels of both classes; the others train on all rows that are not labelled abnormal."""
    Config: ClassVar[type[BaselineConfig]] = BaselineConfig

    def __init__(self, seed: int = 0, config: Mapping[str, Any] | None = None) -> None:
        self.seed = seed
        self.config = read_config("baseline", self.name, self.Config, config or {})
        self._width: int | None = None

    def fit(self, x: Matrix, y: Labels | None = None) -> None:
        """Learn from rows; a second call starts anew.

        Args:
            x: (n, d) float32, standardised, finite, n at least 2. Not modified.
            y: (n,) 0 normal, 1 abnormal, NaN not labelled (which counts as normal); None: no labels.
        Raises:
            ConfigurationError: too few rows, a value that is not finite, or a class is missing.
        """
        if x.ndim != 2 or not np.isfinite(x).all():
            raise ConfigurationError(f"baseline {self.name!r} needs finite rows (n, d), got shape {x.shape}")
        abnormal = np.zeros(len(x), bool) if y is None else y == 1
        if self.supervised and (not abnormal.any() or abnormal.all()):
            raise ConfigurationError(
                f"baseline {self.name!r} learns from labels: got {int(abnormal.sum())} abnormal of {len(x)} rows; "
                "both classes are needed"
            )
        x = np.ascontiguousarray(x)
        rows, labels = (x, abnormal) if self.supervised else (x[~abnormal], abnormal[~abnormal])
        if len(rows) < 2:
            raise ConfigurationError(f"baseline {self.name!r} got {len(rows)} rows to learn from; 2 are the least")
        self._width = x.shape[1]
        self._fit(rows, labels)

    def score(self, x: Matrix) -> Scores:
        """Score rows.

        Args:
            x: (n, d) as in `fit`. Not modified.
        Returns:
            (n,) float64, finite; higher is more abnormal. Rows are scored one by one of another, none is learned.
        Raises:
            StateError: not fitted, or on other columns.
        """
        if x.ndim != 2 or self._width != x.shape[1]:
            raise StateError(
                f"baseline {self.name!r} was fitted on {self._width} columns, got shape {x.shape}; fit it first"
            )
        return np.asarray(self._score(np.ascontiguousarray(x)), np.float64) if len(x) else np.zeros(0)

    @abc.abstractmethod
    def _fit(self, x: Matrix, abnormal: NDArray[np.bool_]) -> None:
        """Learn; an unsupervised baseline gets rows that are not abnormal only."""

    @abc.abstractmethod
    def _score(self, x: Matrix) -> NDArray[np.floating]:
        """Score at least one row."""


BASELINES: Registry[type[Baseline]] = Registry("baseline", "streamgauge.evaluation.baselines")
"""All baselines by name."""


def subsample(x: Matrix, most: int, seed: int) -> Matrix:
    """At most `most` rows, drawn without replacement, in their order."""
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(seed).permutation(len(x))[:most])]
