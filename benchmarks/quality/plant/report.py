"""The page beyond the common tables: the paper's figures, what there is to see of a class, the two figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.plant.run import BLOCKS, ENDS, RETRAINED
from benchmarks.quality.plant.streams import HOURS
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
COLOURS = ("#0b6e99", "#d97706", "#4d7c0f", "#9333ea", "#be123c", "#c4b5fd", "#fda4af", "#525252")
PER_BLOCK = HOURS // BLOCKS
"""Hours."""


POOR = 0.5
"""A class of which no row finds so much of the records is poor."""
WHY: Mapping[str, str] = {
    "command-injection": "actuators stand as the controllers never let them stand together; what is missed are "
    "those that change little by themselves, such as a dosing pump",
    "replay": "what is shown are the sensor's own readings of the minutes before, each of them usual; only that "
    "they do not fit the other tags can tell",
    "data-injection": "one sensor of 25, and half of the attacks drift slowly; a level or flow that is off often "
    "stays within its range, and the analysers' columns are standardised coarsely",
    "denial-of-service": "the last reading stays, which one record does not show",
    "timing": "readings and commands are right, minutes late; tanks take many minutes to fill",
    "control-logic": "no reading and no command is false; unusual is a level, some time later",
}
"""Why a class is hard to see in this plant: ours, from what the attacks do; not measured apart."""


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
        "In per cent of the attacks of a class. Chance helps: an attack has about 45 records, and one in a "
        "hundred false alarms, if they came singly, would hit 36 % of the attacks.",
        "",
        *markdown_table(["", *CLASSES], [_line(row, "found") for row in rows]),
        *_seen(rows),
        *_poor(rows),
        *_stream(rows),
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
    """How much of an attack shows in its readings, and recall where it does and where it does not."""
    lines = [
        "## What there is to see",
        "",
        "A record is *clearly false* where the attack makes one of its readings differ from what the sensor sent "
        "by more than five standard deviations of the sensor's noise. Command injection and control-logic "
        "manipulation falsify no reading: they can only be seen by what the plant then does.",
        "",
        *markdown_table(
            ["", *CLASSES],
            [
                ["attacks a run", *(_count(rows[0], name) for name in CLASSES)],
                ["records that are clearly false", *(_text(rows[0], f"shows_false_{name}") for name in CLASSES)],
            ],
        ),
    ]
    for title, what in (("clearly false", "recall_false"), ("not clearly false", "recall_true")):
        lines += [f"Recall of records that are {title}:", ""]
        lines += markdown_table(["", *CLASSES], [_line(row, what) for row in rows])
    return lines


def _poor(rows: list[Result]) -> list[str]:
    """What is found badly and why, and who is no better than one who always alarms."""
    lines = ["## Where it is poor, and why", ""]
    lines += [
        "The reasons follow from what an attack does (`docs/plant.md`); they were not measured one by one.",
        "",
    ]
    for name in CLASSES:
        best = max(rows, key=lambda row: row["figures"].get(f"recall_{name}", {"mean": 0.0})["mean"])
        reached = best["figures"].get(f"recall_{name}", {"mean": 0.0})["mean"]
        verdict = "poor" if reached < POOR else "found by the best, not by all"
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
    hours = PER_BLOCK * ENDS
    lines = [
        "## Figure 3: accuracy over the stream",
        "",
        "Every record is decided before it is learned from. Learned on the hours without attacks alone: "
        "every hour is decided by the model of one round more, from the first to the "
        "last. With verdicts, or without: by what was learned up to then. What "
        "knows no rounds (isolation forest; `pca`: its comoments are exact after one) cannot rise.",
        "",
        "A rise that never alarming has too comes from where the attacks lie, not from learning.",
        "",
    ]
    table = [
        [
            row["label"],
            _text(row, "first"),
            _text(row, "last"),
            f"{100 * (row['figures']['last']['mean'] - row['figures']['first']['mean']):+.1f}",
        ]
        for row in rows
    ]
    never = [_mean([run["never"] for run in rows[0]["details"]])[i] for i in range(BLOCKS)]
    ends = (sum(never[:ENDS]) / ENDS, sum(never[-ENDS:]) / ENDS)
    table.append(["never alarm", *(f"{100 * end:.1f}" for end in ends), f"{100 * (ends[1] - ends[0]):+.1f}"])
    table.append(["paper", *(f"about {100 * end:.0f}" for end in PAPER_STREAM), "+8"])
    return [*lines, *markdown_table(["accuracy", f"first {hours} h", f"last {hours} h", "change"], table)]


def _mean(runs: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*runs, strict=True)]


def plot(result: Result, path: Path) -> list[str]:
    """Left to right: recall by class, accuracy over the stream; above without labels, below with verdicts."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    sections = result["sections"]
    figure, axes = plt.subplots(len(sections), 2, figsize=(15, 5 * len(sections)), layout="constrained")
    titles = (
        "learned on the hours without attacks, no labels",
        f"learned anew every {HOURS // RETRAINED} h; verdicts an hour late",
    )
    for (left, right), section, title in zip(axes, sections, titles, strict=True):
        rows = [row for row in section["rows"] if row["details"]]
        _bars(left, rows)
        _curves(right, rows)
        left.set_title(f"Figure 2: {title}", fontsize=10)
        right.set_title(f"Figure 3: {title}", fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return [path.name]


def _bars(axes: Any, rows: list[Result]) -> None:
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
    axes.set_ylim(0, 160)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(alpha=0.3, axis="y")
    axes.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")


def _curves(axes: Any, rows: list[Result]) -> None:
    hours = [PER_BLOCK * (i + 0.5) for i in range(BLOCKS)]
    for i, row in enumerate(rows):
        accuracy = _mean([run["accuracy"] for run in row["details"]])
        axes.plot(hours, [100 * value for value in accuracy], color=COLOURS[i], marker=".", label=row["label"])
    never = _mean([run["never"] for run in rows[0]["details"]]) if rows else []
    axes.plot(hours[: len(never)], [100 * value for value in never], "k--", linewidth=1, label="never alarm")
    begin, end = (100 * value for value in PAPER_STREAM)
    axes.plot([0, HOURS], [begin, end], ":", color="grey", label="paper (on SWaT), from its ends")
    axes.set_xlabel(f"hour with attacks; a point is {PER_BLOCK} h of all plants and seeds", fontsize=8)
    axes.set_ylabel("accuracy of records, per cent", fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7)
