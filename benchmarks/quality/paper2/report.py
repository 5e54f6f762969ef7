"""Paper 2's page beyond the common tables: gains over the central model, recall by family, beeswarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.paper2.drift import draw
from benchmarks.quality.report import markdown_table, points
from benchmarks.quality.table import ALWAYS_ALARM, Result
from benchmarks.quality.verdicts import NOT_SHOWN, difference, listed, shown, standing

PAPER_GAIN = "+15 % (on DIAD-2024; relative or points is not said)"
CENTRAL = ("central", "central-larger", "central-kmeans")
SIMPLE = ("zscore", "kmeans", "pca", "isolation_forest")
SETS = {
    "five": "CICIoT2023, five nodes",
    "five-longer": "CICIoT2023, five nodes, twice the rounds",
    "ton": "TON_IoT, seven devices",
    "diad": "CIC IoT-DIAD 2024, five nodes",
}


def extra(result: Result) -> list[str]:
    """Gains, what is better than the federation or as good, and recall by family."""
    rows = {row["key"]: row for section in result["sections"] for row in section["rows"]}
    lines = ["## Gain of the federation over the central model, F1", ""]
    head = ["data", "central row", "points", "relative", "the paper"]
    lines += markdown_table(head, [line for name in SETS for line in _gains(rows, name)])
    for name, title in SETS.items():
        lines += _beaten(rows, name, title)
    return [*lines, *_families(rows)]


def _f1(rows: dict[str, Any], key: str) -> float | None:
    figure = rows[key]["figures"].get("f1") if key in rows else None
    return figure["mean"] if figure else None


def _gains(rows: dict[str, Any], name: str) -> list[list[str]]:
    ours = _f1(rows, name)
    lines = []
    for key in CENTRAL:
        other = _f1(rows, f"{name}-{key}")
        if ours is not None and other:
            relative = f"{100 * (ours / other - 1):+.1f} %"
            label = rows[f"{name}-{key}"]["label"]
            lines.append([SETS[name], label, f"{100 * (ours - other):+.2f}", relative, PAPER_GAIN])
    return lines


def _beaten(rows: dict[str, Any], name: str, title: str) -> list[str]:
    """Say it where a simple row is better than the federated one, or as good."""
    ours = _f1(rows, name)
    if ours is None:
        return []
    others = [rows[key] for part in (*SIMPLE, "local", "shared", *CENTRAL) if (key := f"{name}-{part}") in rows]
    found = standing(rows[name], others, "f1")
    always = shown(difference(rows[name], "f1", rows[name], ALWAYS_ALARM))
    level = rows[name]["figures"][ALWAYS_ALARM]["mean"]
    return [
        f"{title}: on F1 **better than the federation** ({100 * ours:.2f}): {listed(found.better, 'f1')}. "
        f"{NOT_SHOWN.capitalize()}: {listed(found.level, 'f1')}. "
        f'"Always alarm" ({100 * level:.2f}): '
        f"{ {1: 'worse', 0: NOT_SHOWN, -1: '**better**'}[always] }.",
        "",
    ]


def _families(rows: dict[str, Any]) -> list[str]:
    """Recall of every family at the threshold, federated and central."""
    table: list[list[str]] = []
    for key in ("five", "five-local", "five-central"):
        details = rows[key]["details"] if key in rows else []
        if not details:
            continue
        nodes = [node for run in details for node in run["nodes"].values()]
        names = sorted(name for name in nodes[0] if name.startswith("recall_") and name != "recall_1")
        means = [f"{100 * float(np.mean([node[name] for node in nodes])):.1f}" for name in names]
        if not table:
            table.append(["row", *(name.removeprefix("recall_") for name in names)])
        table.append([rows[key]["label"], *means])
    if not table:
        return []
    return ["## CICIoT2023: recall by family at 5 %", "", *markdown_table(table[0], table[1:])]


def plot(result: Result, path: Path) -> list[str]:
    """Points of all rows; beeswarms of the first seed; the drift of the ranking."""
    images = points(result, path)
    rows = {row["key"]: row for section in result["sections"] for row in section["rows"]}
    if "drift" in rows and rows["drift"]["details"]:
        target = path.with_name(f"{path.stem}_drift.png")
        draw(rows["drift"]["details"], target)
        images = [*images, target.name]
    details = rows["shap"]["details"] if "shap" in rows else []
    swarms = next((run["swarms"] for run in details if run.get("swarms")), None)
    if swarms is None:
        return images
    target = path.with_name(f"{path.stem}_beeswarm.png")
    _beeswarms(swarms, target)
    return [*images, target.name]


def _beeswarms(swarms: dict[str, Any], target: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1, len(swarms), figsize=(4.2 * len(swarms), 5), layout="constrained", squeeze=False
    )
    for axis, (name, swarm) in zip(axes[0], swarms.items(), strict=True):
        shap, values = np.array(swarm["shap"]), np.array(swarm["values"])
        order = np.argsort(np.abs(shap).mean(axis=0))
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(shap))
        for place, column in enumerate(order):
            dots = axis.scatter(
                shap[:, column], place + spread, c=values[:, column], cmap="coolwarm", vmin=-2, vmax=2, s=9
            )
        axis.set_yticks(range(len(order)), [swarm["columns"][i] for i in order], fontsize=7)
        axis.set_title(f"{name}, attacks", fontsize=9)
        axis.set_xlabel("KernelSHAP value (part of the raw score)", fontsize=8)
        axis.axvline(0, color="#888888", linewidth=0.6)
    figure.colorbar(dots, ax=axes[0, -1], label="standardised value")
    figure.savefig(target, dpi=110)
    plt.close(figure)
