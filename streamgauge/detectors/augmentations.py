"""Random copies of standardised rows: views that mean the same, and corrupted ones that stand for "abnormal"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SPREAD = 2.0
"""Standard deviation of the noise on the corrupted columns, in standard deviations of a column."""


def view(x: torch.Tensor, share: float, jitter: float, generator: torch.Generator) -> torch.Tensor:
    """A copy of each row that means the same: some columns hidden, some resampled, all jittered.

    Args:
        x: (n, width) standardised. Not modified.
        share: of the columns that are changed, in [0, 1]: half of them set to 0, the mean, as a masked cell is;
            half set to the column's value in another row, so that its marginal stays.
        jitter: standard deviation of the Gaussian noise on all columns.
        generator: source of all randomness.
    Returns:
        (n, width).
    """
    drawn = x.new_empty(x.shape).uniform_(generator=generator)
    resampled = _resampled(x, generator)
    noise = jitter * x.new_empty(x.shape).normal_(generator=generator)
    changed = resampled.where(drawn < share, x).masked_fill(drawn < share / 2, 0.0)
    return changed + noise


def corrupted(x: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """A copy of each row that stands for "abnormal": some columns resampled, with wide noise (ours).

    Args:
        x: (n, width) standardised. Not modified.
        share: of the columns that are replaced, in (0, 1]; at least one.
        generator: source of all randomness.
    Returns:
        (n, width).
    """
    chosen = x.new_empty(x.shape).uniform_(generator=generator) < share
    chosen[:, 0] |= ~chosen.any(dim=1)
    resampled = _resampled(x, generator)
    spread = x.new_empty(x.shape).normal_(std=SPREAD, generator=generator)
    return (resampled + spread).where(chosen, x)


def _resampled(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every cell from its own column, of a row drawn for it alone."""
    most = max(len(x) - 1e-3, 1e-3)
    donors = x.new_empty(x.shape).uniform_(0, most, generator=generator).long()
    return x.gather(0, donors) if len(x) else x
