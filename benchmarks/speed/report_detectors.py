"""What each detector costs, as a table and a plot, beside the targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed.report_table import table

Row = dict[str, Any]
TARGETS = {"mlp": "an epoch of `mlp` in 0.1 s", "lstm": "a record of `lstm` in 2 us, in chunks"}
EPOCH_TARGET_S, CHUNK_TARGET_US = 0.1, 2.0


def detectors_text(measured: dict[str, Any]) -> list[str]:
    """The section's lines."""
    head, rows = measured["measured"], measured["rows"]
    batches = list(next(iter(rows[0]["scoring_us"].values())))
    scoring = [
        (row["detector"], case, *(f"{costs[batch]:.2f}" for batch in batches))
        for row in rows
        for case, costs in row["scoring_us"].items()
    ]
    training = [
        (row["detector"], case, f"{seconds:.3f}") for row in rows for case, seconds in row["epoch_s"].items()
    ]
    return [
        "## Detectors, by themselves on one core",
        "",
        f"Measured {head['date']}, commit {head['commit']}, load average {head['load_before']:.1f} before. "
        "CPU time from standardised rows of 51 columns to raw scores, in polls of three sizes; sequences with "
        "carried state.",
        "",
        *table(("detector", "records", *(f"us a record, polls of {batch}" for batch in batches)), scoring),
        "An epoch over 10,000 rows x 51 columns (windows of 16 records: each row 816 numbers) in batches of 128. "
        "Without labels `mlp` and `contrastive` train on as many corrupted copies beside; `pca` has no weights.",
        "",
        *table(("detector", "rows", "s an epoch"), training),
        *_targets({row["detector"]: row for row in rows}),
        "",
    ]


def _targets(rows: dict[str, Row]) -> list[str]:
    lines = []
    if "mlp" in rows:
        epochs = rows["mlp"]["epoch_s"]
        lines += [_target(TARGETS["mlp"], epochs, EPOCH_TARGET_S, "s")]
    if "lstm" in rows:
        chunks = {
            f"{case}, {batch}": cost
            for case, costs in rows["lstm"]["scoring_us"].items()
            for batch, cost in costs.items()
            if int(batch) > 1
        }
        lines += [_target(TARGETS["lstm"], chunks, CHUNK_TARGET_US, "us")]
    return lines


def _target(text: str, values: dict[str, float], most: float, unit: str) -> str:
    said = "; ".join(
        f"{case}: {value:.3g} {unit} ({'met' if value <= most else 'missed'})" for case, value in values.items()
    )
    return f"- Target {text}: {said}"


def detectors_plot(rows: list[Row], path: Path) -> None:
    """Microseconds a record over the size of a poll, and seconds an epoch."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for row in rows:
        for case, costs in row["scoring_us"].items():
            label = row["detector"] + ("" if len(row["scoring_us"]) == 1 else f", {case}")
            left.plot([int(batch) for batch in costs], list(costs.values()), marker="o", label=label)
    left.axhline(CHUNK_TARGET_US, color="grey", linestyle=":", linewidth=1)
    left.set(xscale="log", yscale="log", xlabel="records a poll", title="Scoring (dotted: target of lstm)")
    left.set_ylabel("us a record")
    left.legend(frameon=False, fontsize=8)
    bars = [(f"{row['detector']}, {case}", s) for row in rows for case, s in row["epoch_s"].items() if s > 1e-3]
    names, seconds = zip(*reversed(bars), strict=True)
    right.barh(names, seconds, color="#0b6e99")
    right.axvline(EPOCH_TARGET_S, color="grey", linestyle=":", linewidth=1)
    right.set(xlabel="s", title="An epoch of 10,000 rows (dotted: target of mlp)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)
