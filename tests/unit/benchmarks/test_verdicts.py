"""What a page may call better: only what the interval over the seeds shows."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.result import spread
from benchmarks.quality.verdicts import difference, listed, shown, standing

VALUES = st.lists(st.floats(-1, 1, allow_nan=False), min_size=2, max_size=6)


def row(label: str, values: list[float], **others: list[float]) -> dict[str, Any]:
    figures = {name: spread(of) for name, of in {"f1": values, **others}.items()}
    return {"label": label, "seeds": list(range(len(values))), "figures": figures}


def test_rows_are_sorted_by_the_interval_not_by_the_mean() -> None:
    ours = row("ours", [0.50, 0.60, 0.55])
    others = [
        row("always a little more", [0.51, 0.61, 0.56]),
        row("more by chance", [0.70, 0.50, 0.60]),
        row("less", [0.40, 0.50, 0.45]),
        row("the same", [0.50, 0.60, 0.55]),
        {"label": "without it", "seeds": [0], "figures": {}},
    ]
    found = standing(ours, others, "f1")
    assert listed(found.better, "f1") == "always a little more (56.00)"
    assert [one["label"] for one in found.level] == ["more by chance", "the same"]
    assert listed([], "f1") == "none"


def test_figures_of_one_row_can_be_compared() -> None:
    found = difference(
        row("a", [0.5, 0.6], always=[0.7, 0.8]), "f1", row("a", [0.5, 0.6], always=[0.7, 0.8]), "always"
    )
    assert shown(found) == -1


def test_what_cannot_be_paired_shows_nothing() -> None:
    assert difference(row("a", [0.5]), "f1", row("b", [0.9]), "f1") is None
    lacking = row("b", [0.9, 0.9]) | {"seeds": [0, 1, 2]}
    assert shown(difference(row("a", [0.5, 0.6]), "f1", lacking, "f1")) == 0


@given(VALUES, VALUES)
def test_better_one_way_is_worse_the_other(first: list[float], second: list[float]) -> None:
    a, b = row("a", first), row("b", second)
    assert shown(difference(a, "f1", b)) == -shown(difference(b, "f1", a))
