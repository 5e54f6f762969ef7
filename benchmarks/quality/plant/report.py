"""The page beyond the common tables: the paper's figures, what there is to see of a class, the two figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.plant.run import RETRAINED
from benchmarks.quality.plant.streams import STREAM_HOURS
from benchmarks.quality.plant.twins import SHOWN_BY
from benchmarks.quality.report import markdown_table
from benchmarks.quality.table import ALWAYS_ALARM, Result
from benchmarks.quality.verdicts import NOT_SHOWN, difference, shown
from streamgauge.plant.attacks import CLASSES

PAPER: Mapping[str, tuple[float, float]] = {
    "command-injection": (0.94, 0.94),
    "replay": (0.88, 0.90),
    "data-injection": (0.88, 0.90),
    "denial-of-service": (0.0, 0.88),
    "timing": (0.0, 0.88),
}
"""Of the paper's Figure 2: from, to; from 0 is "below". Control-logic manipulation is in its text only."""
PAPER_STREAM = (0.87, 0.95)
"""Its Figure 3: accuracy at the beginning and at the end of the stream."""
COLOURS = (
    *(
        "#0b6e99",
        "#67b7d1",
        "#d97706",
        "#facc15",
        "#4d7c0f",
        "#86c232",
        "#9333ea",
        "#c4b5fd",
        "#be123c",
        "#525252",
    ),
)
STRETCH = STREAM_HOURS // RETRAINED
"""Hours."""
ENDS = 2
"""Stretches at the beginning and at the end each whose mean the table prints."""


POOR = 0.5
"""A class of which no row finds so much of the records is poor."""
WHY: Mapping[str, str] = {
    "command-injection": "actuators stand as the controllers never let them stand together, and their feedback "
    "says so; what is missed are those that change little by themselves, such as a dosing pump",
    "replay": "what is shown are the sensor's own readings of the minutes before, each of them usual; only that "
    "they do not fit the other tags tells, and where the tags are those of a whole stage hardly that",
    "data-injection": "one sensor of 25, and half of the attacks drift slowly: they begin within the noise",
    "denial-of-service": "the last reading stays, which one record does not show; a flow that stands at 0 stands "
    "still anyway",
    "timing": "readings and commands are right, minutes late; nothing shows before what is late has changed",
    "control-logic": "no reading and no command is false; nothing at all happens before the changed set point is "
    "reached",
}
"""Why a class is hard to see in this plant: ours, from what the attacks do; what shows is measured."""


def extra(result: Result) -> list[str]:
    """Figure 2 beside the paper's, attacks found, what there is to see; Figure 3."""
    rows = [row for section in result["sections"] for row in section["rows"] if row["figures"]]
    return [
        "## Figure 2 beside the paper's",
        "",
        "Recall of a class's records, in per cent; the paper's are its own attacks on SWaT.",
        "",
        *markdown_table(
            ["", *CLASSES],
            [
                ["paper, `contrastive`", *(_stated(name) for name in CLASSES)],
                *(_line(row, "recall") for row in rows),
            ],
        ),
        "## Attacks of which at least one record was alarmed",
        "",
        "In per cent of the attacks of a class. Chance helps: an attack has about 65 records, and one in a "
        "hundred false alarms, if they came singly, would hit about half of the attacks.",
        "",
        *markdown_table(["", *CLASSES], [_line(row, "found") for row in rows]),
        *_seen(rows),
        *_poor(rows),
        *_stream(result["sections"][1]["rows"]),
    ]


def _stated(name: str) -> str:
    low, high = PAPER.get(name, (0.0, 0.0))
    if not high:
        return "not stated"
    return (
        f"below {100 * high:.0f}" if not low else f"{100 * low:.0f}" + (f"-{100 * high:.0f}" if high > low else "")
    )


def _line(row: Result, what: str) -> list[str]:
    return [row["label"], *(_text(row, f"{what}_{name}") for name in CLASSES)]


def _text(row: Result, figure: str) -> str:
    found = row["figures"].get(figure)
    return f"{100 * found['mean']:.1f} ± {100 * found['std']:.1f}" if found else ""


def _seen(rows: list[Result]) -> list[str]:
    """How much of an attack shows at all, and recall where it does."""
    return [
        "## What there is to see",
        "",
        "Each attack is set against a twin: the same plant with the same noise, without this attack. A record "
        f"*shows* it where a reading is off by more than {SHOWN_BY:g} standard deviations of the sensor's noise, "
        "or an actuator stands otherwise. What does not show in one record can at best be found in several; what "
        "shows may still be as usual as what it replaces, such as a tank that is filled some minutes later.",
        "",
        *markdown_table(
            ["", *CLASSES],
            [
                ["attacks a run", *(_count(rows[0], name) for name in CLASSES)],
                ["records that show it", *(_text(rows[0], f"shows_{name}") for name in CLASSES)],
            ],
        ),
        "Recall of the records that show it:",
        "",
        *markdown_table(["", *CLASSES], [_line(row, "recall_shown") for row in rows]),
    ]


def _poor(rows: list[Result]) -> list[str]:
    """What is found badly and why, and who is no better than one who always alarms."""
    lines = ["## Where it is poor, and why", ""]
    lines += [
        "The reasons follow from what an attack does (`docs/plant.md`); how much of it shows stands above.",
        "",
    ]
    for name in CLASSES:
        best = max(rows, key=lambda row: row["figures"].get(f"recall_{name}", {"mean": 0.0})["mean"])
        reached = best["figures"].get(f"recall_{name}", {"mean": 0.0})["mean"]
        verdict = "poor" if reached < POOR else "found by some"
        lines.append(
            f"- {name}: {verdict} (best recall {100 * reached:.1f}, {best['label']}). Why not more: {WHY[name]}."
        )
    signs = [(row["label"], shown(difference(row, "f1", row, ALWAYS_ALARM))) for row in rows]
    worse, level = ("; ".join(name for name, is_it in signs if is_it == sign) or "none" for sign in (-1, 0))
    lines += ["", f'F1 below that of "always alarm": {worse}. {NOT_SHOWN.capitalize()}: {level}.', ""]
    settled = [row["label"] for row in rows if _mostly_after(row)]
    return [
        *lines,
        "Rows whose false alarms fall to less than half where no attack was under way for half an hour, that is, "
        f"which mostly alarm while the process comes back from an attack: {'; '.join(settled) or 'none'}.",
        "",
    ]


def _mostly_after(row: Result) -> bool:
    figures = row["figures"]
    return bool(figures["false_alarms_calm"]["mean"] < figures["false_alarms"]["mean"] / 2)


def _count(row: Result, name: str) -> str:
    found = row["figures"].get(f"attacks_{name}")
    return f"{found['mean']:.1f}" if found else ""


def _stream(rows: list[Result]) -> list[str]:
    hours = STRETCH * ENDS
    lines = [
        "## Figure 3: over the stream",
        "",
        "Every record is decided before it is learned from, by what was learned up to then (*learned once*: "
        "before the first attack). The paper's figure is an accuracy, and an accuracy follows the share of "
        "attacks: never alarming stands below. *Balanced* is the mean of recall and of the share of other records "
        "without an alarm; never alarming has 50 there, always alarming too. Its rise contains which attacks "
        "happened to come when, so the difference to the same detector that learned once, on the same records, is "
        "what learning on brings.",
        "",
    ]
    names = (("balanced", "balanced accuracy"), ("accuracy", "accuracy"))
    for what, title in names:
        table = [_ends(row["label"], _runs(row, what)) for row in rows if row["details"]]
        if what == "accuracy" and table:
            table.append(_ends("never alarm", _runs(rows[0], "never")))
            table.append(["paper", *(f"about {100 * end:.0f}" for end in PAPER_STREAM), "+8"])
        lines += markdown_table([title, f"first {hours} h", f"last {hours} h", "change"], table)
    return [*lines, *_gains(rows)]


def _runs(row: Result, what: str) -> NDArray[np.float64]:
    """(seeds, stretches)."""
    return np.array([run[what] for run in row["details"]])


def _ends(label: str, runs: NDArray[np.float64]) -> list[str]:
    first, last = 100 * runs[:, :ENDS].mean(axis=1), 100 * runs[:, -ENDS:].mean(axis=1)
    return [label, _spread(first), _spread(last), f"{_spread(last - first, '+')}"]


def _spread(values: NDArray[np.float64], sign: str = "") -> str:
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return f"{values.mean():{sign}.1f} ± {spread:.1f}"


def _gains(rows: list[Result]) -> list[str]:
    """Balanced accuracy above that of the same detector that learned once, stretch by stretch."""
    by_key = {row["key"]: row for row in rows if row["details"]}
    table = []
    for key, row in by_key.items():
        base = by_key.get("-".join(key.split("-")[:2]) + "-once")
        if base is not None and base is not row:
            gain = 100 * (_runs(row, "balanced") - _runs(base, "balanced"))
            table.append([row["label"], *(_spread(part, "+") for part in gain.T)])
    heads = [f"{STRETCH * i}-{STRETCH * (i + 1)} h" for i in range(RETRAINED)]
    return [
        "Balanced accuracy above that of the same detector, federated and learned once, in points:",
        "",
        *markdown_table(["", *heads], table),
    ]


def plot(result: Result, path: Path) -> list[str]:
    """Above recall by class, without labels and with verdicts; below accuracies over the stream."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    normal, stream = ([row for row in section["rows"] if row["details"]] for section in result["sections"])
    figure, axes = plt.subplots(2, 2, figsize=(15, 12), layout="constrained")
    _bars(axes[0, 0], normal, "Figure 2: learned on the hours without attacks, no labels")
    _bars(axes[0, 1], stream, f"Figure 2: learned anew every {STRETCH} h; verdicts an hour late")
    _curves(axes[1, 0], stream, "accuracy")
    _curves(axes[1, 1], stream, "balanced")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return [path.name]


def _below(axes: Any) -> None:
    """The legend where it covers nothing."""
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _bars(axes: Any, rows: list[Result], title: str) -> None:
    width = 0.8 / max(len(rows), 1)
    for i, row in enumerate(rows):
        means = [100 * row["figures"].get(f"recall_{name}", {"mean": 0.0})["mean"] for name in CLASSES]
        spreads = [100 * row["figures"].get(f"recall_{name}", {"std": 0.0})["std"] for name in CLASSES]
        x = [j - 0.4 + (i + 0.5) * width for j in range(len(CLASSES))]
        axes.bar(x, means, width, yerr=spreads, color=COLOURS[i], label=row["label"], error_kw={"linewidth": 0.7})
    for j, name in enumerate(CLASSES):
        if name in PAPER:
            low, high = (100 * end for end in PAPER[name])
            mark = "v" if not low else "D"
            label = {0: "paper (on SWaT)", 3: "paper: below (on SWaT)"}.get(j)
            axes.plot([j], [high if not low else (low + high) / 2], mark, color="black", markersize=6, label=label)
    axes.set_xticks(range(len(CLASSES)), ["\n".join(name.split("-")) for name in CLASSES], fontsize=8)
    axes.set_ylabel("recall of records at a nominal 1 % false alarms, per cent", fontsize=8)
    axes.set_ylim(0, 120)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(alpha=0.3, axis="y")
    axes.set_title(title, fontsize=10)
    _below(axes)


def _curves(axes: Any, rows: list[Result], what: str) -> None:
    hours = [STRETCH * (i + 0.5) for i in range(RETRAINED)]
    for i, row in enumerate(rows):
        style = "--" if row["key"].endswith("-once") else ":" if row["key"].endswith("-none") else "-"
        mean = 100 * _runs(row, what).mean(axis=0)
        axes.plot(hours, mean, style, color=COLOURS[i], marker=".", label=row["label"])
    if what == "accuracy" and rows:
        axes.plot(hours, 100 * _runs(rows[0], "never").mean(axis=0), "k-.", linewidth=1, label="never alarm")
        begin, end = (100 * value for value in PAPER_STREAM)
        axes.plot(
            [0, STREAM_HOURS], [begin, end], color="grey", linewidth=1, label="paper (on SWaT), from its ends"
        )
    else:
        axes.axhline(50, color="black", linestyle="-.", linewidth=1, label="never alarm")
    axes.set_xlabel(f"hour with attacks; a point is {STRETCH} h of all plants and seeds", fontsize=8)
    axes.set_ylabel(f"{what if what == 'accuracy' else 'balanced accuracy'} of records, per cent", fontsize=8)
    axes.grid(alpha=0.3)
    axes.set_title(
        f"Figure 3: {'accuracy' if what == 'accuracy' else 'mean of recall and specificity'}", fontsize=10
    )
    _below(axes)
