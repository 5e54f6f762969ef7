"""Distance from normal vectors in units of their covariance. Imports torch only when called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from streamgauge.detectors.base import Statistics

_WHITENING = ".whitening"


def prepared(statistics: Statistics, item: str, ridge: float) -> Statistics:
    """Statistics with the item's whitening matrix, so that not every call inverts the covariance."""
    return {**statistics, item + _WHITENING: whitening(statistics, item, ridge)}


def whitening(statistics: Statistics, item: str, ridge: float) -> tuple[torch.Tensor, ...]:
    """Mean (d,) and W (d, d) with W^T W = (Sigma + ridge I)^-1, W lower triangular.

    The squared norm of W (v - mean) is the squared Mahalanobis distance, as a sum of squares: no cancellation.
    Where Sigma is not positive semidefinite (a robust merge of hostile parts), its diagonal alone counts.

    Args:
        statistics: with (mean, covariance) of `item`, an item of kind `comoments`; prepared ones are read.
        item: its name.
        ridge: added to every variance, above 0; keeps the covariance invertible.
    """
    import torch

    if item + _WHITENING in statistics:
        return statistics[item + _WHITENING]
    mean, covariance = statistics[item]
    added = ridge * torch.eye(len(mean))
    factor, failed = torch.linalg.cholesky_ex(covariance.clamp(-1e6, 1e6) + added)
    if failed or not bool(factor.isfinite().all()):
        factor = (covariance.diagonal().clamp(min=0.0).diag() + added).sqrt()
    return mean, torch.linalg.solve_triangular(factor, torch.eye(len(mean)), upper=False)
