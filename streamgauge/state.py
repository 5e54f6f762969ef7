"""A released model in arrays: weights, the scaler's moments, merged statistics, and the tensors made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.features import FeatureSchema
from streamgauge.layout import MOMENT_PARTS, Arrays, Layout, check_arrays
from streamgauge.scaler import SCALER, Scaler, scaler_from_moments

if TYPE_CHECKING:
    from streamgauge.detectors.base import Statistics, Weights


@dataclass(frozen=True)
class ModelState:
    """What a release carries.

    Attributes:
        weights: item name -> array, every item of phase `weights`.
        moments: ``scaler.n``, ``scaler.sum``, ``scaler.sumsq``: (width,) float64.
        statistics: ``<item>.n``, ``.sum``, ``.sumsq`` of the items of phase `under_candidate`; may be empty.
    """

    weights: dict[str, NDArray[Any]]
    moments: dict[str, NDArray[np.float64]]
    statistics: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def from_arrays(cls, layout: Layout, weights: Arrays, statistics: Arrays | None) -> ModelState:
        """Split and check the arrays of a `weights` artefact and a `statistics` artefact.

        Raises:
            StateError: something is missing, unknown, misshapen or not finite.
        """
        scaler = {name: array for name, array in weights.items() if name.startswith(f"{SCALER}.")}
        rest = {name: array for name, array in weights.items() if name not in scaler}
        check_arrays(layout.of_phase("agreement"), scaler)
        check_arrays(layout.of_phase("weights"), rest)
        present = {name.rpartition(".")[0] for name in statistics or {}}
        items = tuple(item for item in layout.of_phase("under_candidate") if item.name in present)
        check_arrays(items, statistics or {})
        return cls(rest, scaler, dict(statistics or {}))

    def scaler(self, schema: FeatureSchema) -> Scaler:
        """The frozen scaler, from the merged moments and the schema's own centre and floor."""
        n, total, squares = (self.moments[f"{SCALER}.{part}"] for part in MOMENT_PARTS)
        return scaler_from_moments((n, total, squares), schema.centre(), schema.scale_floor())

    def tensors(self) -> tuple[Weights, Statistics]:
        """Weights and statistics as torch tensors (copies)."""
        import torch

        weights = {name: torch.tensor(array) for name, array in self.weights.items()}
        return weights, statistics_tensors(self.statistics)


def statistics_tensors(arrays: Arrays) -> Statistics:
    """Moments ``<item>.n/.sum/.sumsq`` (about 0) as item -> (mean, variance), float32; empty ones left out.

    Raises:
        StateError: a part is missing.
    """
    import torch

    out: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for item in sorted({name.rpartition(".")[0] for name in arrays}):
        try:
            n, total, squares = (arrays[f"{item}.{part}"] for part in MOMENT_PARTS)
        except KeyError as missing:
            raise StateError(f"statistics of {item!r} lack {missing}") from None
        if (n < 1).any():
            continue
        mean = total / n
        variance = np.maximum(squares / n - mean**2, 0.0)
        out[item] = (torch.tensor(mean, dtype=torch.float32), torch.tensor(variance, dtype=torch.float32))
    return out
