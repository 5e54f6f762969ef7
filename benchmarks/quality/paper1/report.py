"""Below the sections: the paper's numbers, recall by attack type, and what the figures say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.quality.paper1.rules import MAIN
from benchmarks.quality.report import markdown_table
from benchmarks.quality.table import ALWAYS_ALARM, Result
from benchmarks.quality.verdicts import NOT_SHOWN, difference, listed, shown, standing

RECALL, DEVICE = "recall_", "auc_ton-iot-"
"""How the figures by attack type and by device begin."""


def extra(result: Result) -> Sequence[str]:
    """Markdown lines."""
    lines = ["## Who wins", ""]
    lines += [line for part in result["sections"] if (line := verdict(part))]
    lines += ["", "## Recall by attack type, at the line of 1 % false alarms", ""]
    for part in result["sections"]:
        lines += [f"### {part['title']}", "", *columns(part, RECALL, percent)]
    devices = [(part, columns(part, DEVICE, four_digits)) for part in result["sections"]]
    if any(found for _, found in devices):
        lines += ["## ROC-AUC by device", ""]
    for part, found in devices:
        lines += [f"### {part['title']}", "", *found] if found else []
    lines += [
        "## The paper's Table 1, SWaT",
        "",
        "SWaT cannot be redistributed: `streamgauge bench paper1 --swat DIR` measures it where its files are.",
        "",
    ]
    stated = [
        (rule.label, *(f"{100 * value:.1f}" for value in rule.paper)) for rule in MAIN.values() if rule.paper
    ]
    return lines + markdown_table(("rule", "F1", "precision", "AUC"), stated)


def verdict(part: dict[str, Any]) -> str:
    """Which row has the best mean AUC and F1, where the contrastive rule stands, and who is better."""
    rows = [row for row in part["rows"] if {"auc", "f1"} <= row["figures"].keys()]
    ours = next((row for row in rows if row["key"].endswith("-contrastive")), None)
    if ours is None or len(rows) < 2:
        return ""
    best = {name: max(rows, key=lambda row: row["figures"][name]["mean"]) for name in ("auc", "f1")}
    beside = standing(ours, [row for row in rows if row is not ours], "auc")
    text = (
        f"- {part['title']}: best AUC {_mean(best['auc'], 'auc'):.4f} ({best['auc']['label']}), best F1 "
        f"{100 * _mean(best['f1'], 'f1'):.2f} ({best['f1']['label']}); contrastive "
        f"{_mean(ours, 'auc'):.4f} and {100 * _mean(ours, 'f1'):.2f}. "
    )
    better, level = (listed(rows, "auc", 1.0, 4) for rows in (beside.better, beside.level))
    text += f"Better by AUC: {better}. {NOT_SHOWN.capitalize()}: {level}. "
    sign = shown(difference(ours, "f1", ours, ALWAYS_ALARM))
    what = {1: "above", 0: "not shown to differ from", -1: "below"}[sign]
    return text + f'Its F1 is {what} that of "always alarm" ({100 * _mean(ours, ALWAYS_ALARM):.2f}).'


def columns(part: dict[str, Any], prefix: str, text: Callable[[float], str]) -> list[str]:
    """A row a rule, a column for every figure whose name begins so; nothing where none does."""
    names = sorted({name for row in part["rows"] for name in row["figures"] if name.startswith(prefix)})
    lines = []
    for row in part["rows"]:
        figures = [row["figures"].get(name) for name in names]
        lines.append([row["label"], *(f"{text(f['mean'])} ± {text(f['std'])}" if f else "" for f in figures)])
    return markdown_table(["row", *(name.removeprefix(prefix) for name in names)], lines) if names else []


def percent(share: float) -> str:
    """One digit."""
    return f"{100 * share:.1f}"


def four_digits(number: float) -> str:
    """As AUCs are printed."""
    return f"{number:.4f}"


def _mean(row: dict[str, Any], name: str) -> float:
    return float(row["figures"][name]["mean"])
