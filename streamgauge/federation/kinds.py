"""The kinds of state: what a valid contribution is and how contributions merge.

The aggregator knows kinds, not detectors. `mean` items merge as one vector by the federation's rule
(`streamgauge.federation.rules`); the merges here are for statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamgauge.errors import StateError
from streamgauge.federation.rules_base import Vector
from streamgauge.layout import Arrays, Item

Merged = dict[str, NDArray[np.float64]]
Check = Callable[[Item, Arrays, int, float], None]
Merge = Callable[[Item, Sequence[Arrays], Vector, Vector], Merged]

TOLERANCE = 1e-6
"""Relative slack of the inequality of moments: sums of many float64 are not exact."""


@dataclass(frozen=True)
class Kind:
    """How one kind of state is checked and merged.

    Attributes:
        travels: False if it never leaves the node.
        check: ``check(item, arrays, records, limit)`` raises StateError if the values cannot come from `records`
            records whose values are within +-`limit` of the centre. Shapes and dtypes were checked before.
        merge: ``merge(item, parts, counts, capped)``: parts are the contributions, counts (n,) the records behind
            each, capped (n,) the records that may count. Independent of order.
        robust: the same against parts that lie.
    """

    travels: bool
    check: Check
    merge: Merge
    robust: Merge


def _stack(name: str, parts: Sequence[Arrays]) -> NDArray[np.float64]:
    if not parts:
        raise StateError(f"nobody contributed to {name}")
    return np.stack([np.asarray(part[name], np.float64) for part in parts])  # (n, *shape)


def _along(weights: Vector, stacked: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights.reshape(-1, *([1] * (stacked.ndim - 1)))


def _check_mean(item: Item, arrays: Arrays, records: int, limit: float) -> None:
    if not (np.abs(arrays[item.name]) <= limit).all():
        raise StateError(f"{item.name} has values beyond +-{limit:g}")


def _merge_mean(item: Item, parts: Sequence[Arrays], counts: Vector, capped: Vector) -> Merged:
    stacked = _stack(item.name, parts)
    return {item.name: (stacked * _along(capped / capped.sum(), stacked)).sum(axis=0)}


def _robust_mean(item: Item, parts: Sequence[Arrays], counts: Vector, capped: Vector) -> Merged:
    return {item.name: np.median(_stack(item.name, parts), axis=0)}


def _check_moments(item: Item, arrays: Arrays, records: int, limit: float) -> None:
    n, total, squares = (arrays[f"{item.name}.{part}"] for part in ("n", "sum", "sumsq"))
    if not ((n >= 0).all() and (n <= records).all() and (n == np.floor(n)).all()):
        raise StateError(f"{item.name}.n must be whole numbers from 0 to the {records} records of the update")
    if not (np.abs(total) <= n * limit).all():
        raise StateError(f"{item.name}.sum is beyond n x {limit:g}, which no values within the limit add up to")
    slack = TOLERANCE * (np.abs(squares) + 1)
    if not (squares + slack >= total**2 / np.maximum(n, 1)).all():
        raise StateError(f"{item.name}.sumsq is below sum^2 / n: no numbers have such moments")
    if not (squares <= n * limit**2).all():
        raise StateError(f"{item.name}.sumsq is beyond n x {limit:g}^2")


def _merge_moments(item: Item, parts: Sequence[Arrays], counts: Vector, capped: Vector) -> Merged:
    scale = capped / np.maximum(counts, 1)  # one factor on n, sum and sumsq leaves mean and variance alone
    merged = {}
    for name in item.arrays():
        stacked = _stack(name, parts)
        merged[name] = (stacked * _along(scale, stacked)).sum(axis=0)
    return merged


def _robust_moments(item: Item, parts: Sequence[Arrays], counts: Vector, capped: Vector) -> Merged:
    """Per element the median of the nodes' means and variances; n is the capped sum."""
    n = _stack(f"{item.name}.n", parts)
    mean = np.where(n > 0, _stack(f"{item.name}.sum", parts) / np.maximum(n, 1), np.nan)
    variance = _stack(f"{item.name}.sumsq", parts) / np.maximum(n, 1) - mean**2
    count = (n * _along(capped / np.maximum(counts, 1), n)).sum(axis=0)
    centre, spread = _nan_median(mean), np.maximum(_nan_median(variance), 0.0)
    parts_of = (count, count * centre, count * (spread + centre**2))
    return dict(zip(item.arrays(), parts_of, strict=True))


def _nan_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over the first axis of what is not NaN, 0 where all is; numpy's own warns then."""
    empty = np.isnan(values).all(axis=0)
    return np.asarray(np.nanmedian(np.where(empty, 0.0, values), axis=0), np.float64)


def _refuse(item: Item, *_: object) -> Merged:
    raise StateError(f"item {item.name!r} is of kind 'local' and never leaves its node")


def _refuse_check(item: Item, arrays: Arrays, records: int, limit: float) -> None:
    _refuse(item)


KINDS: Mapping[str, Kind] = {
    "mean": Kind(True, _check_mean, _merge_mean, _robust_mean),
    "moments": Kind(True, _check_moments, _merge_moments, _robust_moments),
    "local": Kind(False, _refuse_check, _refuse, _refuse),
}
"""All kinds by name; `comoments`, `range`, `centroids` and `prototypes` are reserved."""
