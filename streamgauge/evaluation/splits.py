"""Which rows train, validate and test: pure functions of columns, shares and a seed; they return row numbers.

Every function gives back int64 row numbers, disjoint between parts, and the same ones for the same seed.
De-duplicate first (`distinct_rows`): a record that stands on both sides of a split is no test.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import ConfigurationError

Rows = NDArray[np.int64]
Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of three parts, disjoint; a part may be empty if its share or count is 0."""

    train: Rows
    validation: Rows
    test: Rows


def distinct_rows(columns: Sequence[Column]) -> Rows:
    """The first row of every group of equal rows, rising.

    Args:
        columns: (n,) each, numbers or objects; NaN equals NaN and None equals None. Add the labels as a column to
            keep equal records that are labelled differently.
    Cost: sorts the rows; about a second for half a million of 41 columns.

    >>> distinct_rows([np.array([1.0, 2.0, 1.0]), np.array(["a", "b", "a"], object)])
    array([0, 1])
    """
    if not columns or not len(columns[0]):
        return np.empty(0, np.int64)
    cells = np.stack([_as_numbers(column) for column in columns], axis=1)
    rows = np.ascontiguousarray(cells).view(f"V{cells.itemsize * cells.shape[1]}")[:, 0]
    return np.sort(np.unique(rows, return_index=True)[1]).astype(np.int64)


def _as_numbers(column: Column) -> NDArray[np.float64]:
    """Equal cells as the same 8 bytes."""
    if column.dtype == object:
        known: dict[Hashable, int] = {}
        return np.array([known.setdefault(cell, len(known)) for cell in column.tolist()], np.float64)
    numbers = column.astype(np.float64) + 0.0  # -0.0 becomes 0.0
    numbers[np.isnan(numbers)] = np.nan
    return numbers


def ratio_split(n: int, shares: Sequence[float], seed: int, *, limit: int | None = None) -> Split:
    """A random split of `n` rows by shares, e.g. (6, 1, 3); of at most `limit` rows drawn without replacement.

    The papers' kind: on a time series it leaks, see `time_split`.

    Raises:
        ConfigurationError: not three shares of at least 0 with a sum above 0.
    """
    _check_shares(shares)
    drawn = np.random.default_rng(seed).permutation(n)[:limit]
    return Split(*np.split(drawn, _bounds(len(drawn), shares)))


def count_splits(n: int, parts: int, counts: Sequence[int], seed: int) -> tuple[Split, ...]:
    """`parts` random splits with fixed counts of (train, validation, test) rows each, all disjoint.

    Raises:
        ConfigurationError: more rows are asked for than there are.
    """
    if len(counts) != 3 or min(counts) < 0 or parts < 1:
        raise ConfigurationError(f"counts {tuple(counts)} of {parts} parts; give three counts of at least 0")
    if (needed := parts * sum(counts)) > n:
        raise ConfigurationError(f"{parts} x {tuple(counts)} rows are {needed}, there are {n}; ask for fewer")
    drawn = np.random.default_rng(seed).permutation(n)[:needed]
    inner = np.cumsum(counts)[:2]
    return tuple(Split(*np.split(block, inner)) for block in np.split(drawn, parts))


def time_split(times: NDArray[np.floating], shares: Sequence[float], *, gap_s: float = 0.0) -> Split:
    """Earlier rows train, later ones validate, the last test; rows of one time are never parted.

    Args:
        times: (n,) seconds, finite, in any order.
        shares: of train, validation and test, e.g. (6, 1, 3).
        gap_s: rows within this after the end of the part before are left out (neighbours in time are not
            independent).
    Returns:
        Parts sorted by time; rows of one time in their order.
    Raises:
        ConfigurationError: a time is missing; shares as in `ratio_split`.
    """
    _check_shares(shares)
    _check_times(times)
    order = np.argsort(times, kind="stable").astype(np.int64)
    ordered = times[order]
    first, second = (_later_than(ordered, bound, 0.0) for bound in _bounds(len(order), shares))
    validation = order[_later_than(ordered, first, gap_s) : second]
    return Split(order[:first], validation, order[_later_than(ordered, second, gap_s) :])


def _later_than(ordered: NDArray[np.floating], count: int, gap_s: float) -> int:
    """Index of the first time more than a gap after the last of the first `count`."""
    return int(np.searchsorted(ordered, ordered[count - 1] + gap_s, "right")) if count else 0


def time_blocks(times: NDArray[np.floating], blocks: int) -> tuple[Rows, ...]:
    """Consecutive blocks of nearly equal numbers of rows, sorted by time: nodes that see one stretch each."""
    _check_times(times)
    if not 1 <= blocks <= len(times):
        raise ConfigurationError(f"{blocks} blocks of {len(times)} rows; give 1 to {len(times)}")
    return tuple(np.array_split(np.argsort(times, kind="stable").astype(np.int64), blocks))


def by_value(column: Column) -> dict[Any, Rows]:
    """Rows of every value of a column (device, run, file), values in order of appearance, rows rising."""
    groups: dict[Any, list[int]] = {}
    for row, value in enumerate(column.tolist()):
        groups.setdefault(value, []).append(row)
    return {value: np.array(rows, np.int64) for value, rows in groups.items()}


def group_split(column: Column, shares: Sequence[float], seed: int) -> Split:
    """Whole groups (files, devices) go to train, validation or test, drawn at random; shares are of groups.

    Every part with a share above 0 gets a group where there are enough; rows rise within a part.
    """
    _check_shares(shares)
    groups = list(by_value(column).values())
    if len(groups) < sum(share > 0 for share in shares):
        raise ConfigurationError(f"{len(groups)} groups for shares {tuple(shares)}; each part needs one")
    order = np.random.default_rng(seed).permutation(len(groups))
    first, second = _bounds(len(groups), shares)
    first = min(max(first, shares[0] > 0), len(groups) - (shares[1] > 0) - (shares[2] > 0))
    second = min(max(second, first + (shares[1] > 0)), len(groups) - (shares[2] > 0))
    parts = (order[:first], order[first:second], order[second:])
    return Split(*(_joined([groups[g] for g in part.tolist()]) for part in parts))


def heads(column: Column, count: int) -> tuple[Rows, Rows]:
    """The first `count` rows of every group (e.g. of each SKAB run), and all others; both rising."""
    groups = by_value(column).values()
    return _joined([rows[:count] for rows in groups]), _joined([rows[count:] for rows in groups])


def _joined(parts: Sequence[Rows]) -> Rows:
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)


def _check_shares(shares: Sequence[float]) -> None:
    if len(shares) != 3 or not all(np.isfinite(shares)) or min(shares) < 0 or sum(shares) <= 0:
        raise ConfigurationError(f"shares {tuple(shares)}; give three numbers of at least 0, e.g. (6, 1, 3)")


def _check_times(times: NDArray[np.floating]) -> None:
    if missing := int((~np.isfinite(times)).sum()):
        raise ConfigurationError(f"{missing} of {len(times)} rows have no time; such data cannot be split by time")


def _bounds(n: int, shares: Sequence[float]) -> tuple[int, int]:
    """Where the second and the third part begin, to the nearest row."""
    total = sum(shares)
    return round(n * shares[0] / total), round(n * (shares[0] + shares[1]) / total)
