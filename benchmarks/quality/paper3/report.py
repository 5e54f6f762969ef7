"""Paper 3's page beyond the common tables: the six figures of every edge, the matrices, Figures 5 and 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.report import markdown_table, points
from benchmarks.quality.table import Result
from benchmarks.quality.verdicts import NOT_SHOWN, listed, standing

NAMES = {"fl": "Federated", "non-fl": "Each edge alone"}
BASELINES = ("tree", "tree-central", "central")
FIGURES = (
    ("Figure 5: loss", ("train_loss", "validation_loss")),
    ("Figure 6: accuracy", ("train_accuracy", "validation_accuracy")),
)


def extra(result: Result) -> list[str]:
    """Six figures per edge and the matrices, mean and spread over seeds."""
    rows = {row["key"]: row for section in result["sections"] for row in section["rows"]}
    lines = ["## Table III, every edge", ""]
    head = [
        "edge",
        *(f"{part} {what}" for what in ("accuracy", "loss") for part in ("training", "valid.", "test")),
    ]
    for key, name in NAMES.items():
        details = rows[key]["details"]
        if not details:
            continue
        lines += [f"{name}:", "", *markdown_table(head, _edges(details))]
    lines += ["## Every edge's model on every edge's test records", ""]
    lines += ["Accuracy. The federation's models are each edge's own after its last local training, unmerged.", ""]
    for key, name in NAMES.items():
        details = rows[key]["details"]
        if not details:
            continue
        count = len(details[0]["matrix"])
        head = ["model of", *(f"tested on edge {i + 1}" for i in range(count))]
        lines += [f"{name}:", "", *markdown_table(head, _matrix(details))]
    return lines


def beaten(result: Result) -> list[str]:
    """Say it where a simple baseline is better than the federated network, or as good."""
    rows = {row["key"]: row for section in result["sections"] for row in section["rows"]}
    ours, figure = rows["fl"], "test_accuracy"
    if figure not in ours["figures"]:
        return []
    found = standing(ours, [rows[key] for key in BASELINES if key in rows], figure)
    return [
        f"On test accuracy better than the federated network ({100 * ours['figures'][figure]['mean']:.2f}): "
        f"{listed(found.better, figure)}. {NOT_SHOWN.capitalize()}: {listed(found.level, figure)}.",
        "",
    ]


def _edges(details: Sequence[Any]) -> list[list[str]]:
    columns = list(details[0]["edges"])
    values = np.array([[run["edges"][column] for column in columns] for run in details])  # (seeds, columns, edges)
    return [
        [f"Edge {edge + 1}", *(_text(values[:, column, edge]) for column in range(len(columns)))]
        for edge in range(values.shape[2])
    ]


def _matrix(details: Sequence[Any]) -> list[list[str]]:
    values = np.array([run["matrix"] for run in details])  # (seeds, models, edges)
    count = values.shape[1]
    return [[f"Edge {i + 1}", *(_text(values[:, i, j]) for j in range(count))] for i in range(count)]


def _text(values: Any) -> str:
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{100 * values.mean():.2f} ± {100 * spread:.2f}"


def plot(result: Result, path: Path) -> list[str]:
    """Bars of all rows, and Figures 5 and 6: every seed's curves over the rounds, federated."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    images = points(result, path)
    rows = {row["key"]: row for section in result["sections"] for row in section["rows"]}
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, (title, names) in zip(axes, FIGURES, strict=True):
        for name, colour in zip(names, ("#0b6e99", "#d97706"), strict=True):
            for i, details in enumerate(rows["fl"]["details"]):
                x = [point["round"] for point in details["curves"]]
                y = [100 * point[name] for point in details["curves"]]
                label = name.replace("_", " ") if i == 0 else None
                axis.plot(x, y, color=colour, alpha=0.7, linewidth=1.2, marker=".", label=label)
        axis.set_title(f"{title}, federated, every seed", fontsize=10)
        axis.set_xlabel("round")
        axis.set_ylabel("per cent")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        if rows["fl"]["details"]:
            axis.legend(frameon=False, fontsize=8)
    target = path.with_name(f"{path.stem}_figures_5_6.png")
    figure.savefig(target, dpi=130)
    plt.close(figure)
    return [*images, target.name]
