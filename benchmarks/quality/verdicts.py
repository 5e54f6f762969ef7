"""Words for the difference of two rows: only what its 95 % interval over the seeds shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.quality.result import paired

NOT_SHOWN = "no difference shown"
"""Said where the interval touches zero."""


def difference(
    row: Mapping[str, Any], figure: str, other: Mapping[str, Any], other_figure: str | None = None
) -> dict[str, float] | None:
    """Mean and interval of `figure` of a row minus that of another (by `paired`), both as in NAME.json.

    None where they have fewer than two seeds in common, or runs without the figure.
    """
    ours, others = _by_seed(row, figure), _by_seed(other, other_figure or figure)
    return paired(ours, others) if len(ours.keys() & others.keys()) > 1 else None


def shown(found: Mapping[str, float] | None) -> int:
    """1 where the whole interval is above zero, -1 below, 0 where it touches zero or there is none.

    >>> shown({"low": 0.1, "high": 0.4}), shown({"low": -0.1, "high": 0.4}), shown(None)
    (1, 0, 0)
    """
    if found is None:
        return 0
    return int(found["low"] > 0) - int(found["high"] < 0)


@dataclass(frozen=True)
class Standing:
    """Where others stand beside a row.

    Attributes:
        better: rows shown to have more of the figure.
        level: rows of which no difference is shown.
    """

    better: list[Mapping[str, Any]]
    level: list[Mapping[str, Any]]


def standing(ours: Mapping[str, Any], others: Iterable[Mapping[str, Any]], figure: str) -> Standing:
    """Of the rows that have the figure."""
    found = [(row, shown(difference(row, figure, ours))) for row in others if figure in row["figures"]]
    return Standing([row for row, sign in found if sign > 0], [row for row, sign in found if sign == 0])


def listed(rows: Iterable[Mapping[str, Any]], figure: str, factor: float = 100.0, digits: int = 2) -> str:
    """Labels with the figure's means; "none" if there are none."""
    texts = [f"{row['label']} ({factor * row['figures'][figure]['mean']:.{digits}f})" for row in rows]
    return "; ".join(texts) or "none"


def _by_seed(row: Mapping[str, Any], figure: str) -> dict[int, float]:
    values = row["figures"].get(figure, {"values": []})["values"]
    return dict(zip(row["seeds"], values, strict=True)) if len(values) == len(row["seeds"]) else {}
