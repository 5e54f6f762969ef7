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


def distance(statistics: Statistics, item: str, ridge: float, vectors: torch.Tensor) -> torch.Tensor:
    """(n,) squared Mahalanobis distance of (n, d) vectors, over d: about 1 where the statistics are from."""
    centre, white = whitening(statistics, item, ridge)
    return ((vectors - centre) @ white.t()).square().mean(dim=1)


def distance_shares(
    statistics: Statistics, item: str, ridge: float, vectors: torch.Tensor, width: int
) -> torch.Tensor:
    """What each of `width` columns contributed to `distance`: (n, width); a share may be negative.

    The vectors are (n, d) with d a multiple of `width`: several figures of each column, block after block.
    """
    centre, white = (part.double() for part in whitening(statistics, item, ridge))
    apart = vectors.double() - centre
    parts = apart * (apart @ white.t() @ white) / vectors.shape[1]
    return parts.reshape(len(parts), vectors.shape[1] // width, width).sum(dim=1).float()
