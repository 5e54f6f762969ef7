"""Charts as SVG texts, which stand in an HTML page without any help from outside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from services.backtest.score_line import ScoreLine, moment

WIDTH, LEFT, BOTTOM = 1080, 56, 34
_HEIGHT, _TOP, _RIGHT = 280, 12, 12
_LABELS = 6


def score_chart(scores: ScoreLine, attacks: Sequence[tuple[int, int]]) -> str:
    """Highest and median score over the rows, on a logarithmic axis, attacks shaded and the alarm line drawn.

    Args:
        scores: of all rows.
        attacks: first and last row of each.
    """
    n, edges = scores.rows, scores.edges
    highest, middle = np.maximum(scores.highest, 1e-3), np.maximum(scores.middle, 1e-3)
    low, high = math.log10(max(1e-3, min(0.5, middle.min()))), math.log10(max(2.0, highest.max()) * 1.2)

    def x(row: float) -> float:
        return LEFT + row / n * (WIDTH - LEFT - _RIGHT)

    def y(score: float) -> float:
        return _TOP + (high - math.log10(max(score, 10**low))) / (high - low) * (_HEIGHT - _TOP - BOTTOM)

    parts = [
        f'<rect class="attack" x="{x(a):.1f}" y="{_TOP}" width="{max(1.0, x(b + 1) - x(a)):.1f}" '
        f'height="{_HEIGHT - _TOP - BOTTOM}"/>'
        for a, b in attacks
    ]
    for power in range(math.ceil(low), math.floor(high) + 1):
        parts.append(_grid(y(10.0**power), f"{10.0**power:g}"))
    centres = (edges[:-1] + edges[1:]) / 2
    for name, line in (("highest", highest), ("middle", middle)):
        points = " ".join(f"{x(c):.1f},{y(v):.1f}" for c, v in zip(centres.tolist(), line.tolist(), strict=True))
        parts.append(f'<polyline class="{name}" points="{points}"/>')
    parts.append(f'<line class="alarm" x1="{LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(1.0):.1f}" y2="{y(1.0):.1f}"/>')
    for at in np.linspace(0, len(highest) - 1, min(len(highest), _LABELS)).astype(int).tolist():
        if not math.isnan(scores.times[at]):
            anchor = "start" if at == 0 else "end" if at == len(highest) - 1 else "middle"
            parts.append(
                _text(x(float(centres[at])), _HEIGHT - 12, moment(scores.times[at])[:16].replace("T", " "), anchor)
            )
    return _svg(_HEIGHT, parts, "score over the records")


def curve_chart(recall: NDArray[np.float64], precision: NDArray[np.float64], at: tuple[float, float]) -> str:
    """Precision over recall; `at` is (recall, precision) of the alarm line."""
    size, left = 320, 46
    side = size - left - 12

    def x(value: float) -> float:
        return left + value * side

    def y(value: float) -> float:
        return 12 + (1 - value) * side

    kept = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), 500)).astype(int))
    points = " ".join(f"{x(recall[i]):.1f},{y(precision[i]):.1f}" for i in kept.tolist())
    parts = [_grid(y(v), f"{v:g}", left, size - 12) for v in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts += [_text(x(v), size - 14, f"{v:g}", "middle") for v in (0.0, 0.5, 1.0)]
    parts.append(f'<polyline class="highest" points="{points}"/>')
    parts.append(f'<circle class="point" cx="{x(at[0]):.1f}" cy="{y(at[1]):.1f}" r="5"/>')
    return _svg(size, parts, "precision over recall", size)


def bar_chart(values: Mapping[str, float], unit: str, title: str) -> str:
    """Horizontal bars, the values as texts beside."""
    width, row, label = 520, 22, 190
    most = max(values.values(), default=0.0) or 1.0
    parts = []
    for i, (name, value) in enumerate(values.items()):
        top = 8 + i * row
        length = value / most * (width - label - 90)
        parts.append(_text(label - 8, top + 12, name if len(name) < 28 else name[:27] + "…", "end"))
        parts.append(f'<rect class="bar" x="{label}" y="{top}" width="{max(1.0, length):.1f}" height="14"/>')
        parts.append(_text(label + length + 6, top + 12, f"{value:,.3g}{unit}", "start"))
    return _svg(16 + row * len(values), parts, title, width)


def _grid(y: float, label: str, left: float = LEFT, right: float = WIDTH - _RIGHT) -> str:
    line = f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(left - 6, y + 4, label, "end")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str], title: str, width: float = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )
