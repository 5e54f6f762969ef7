"""The result as a Markdown table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.machine import BUSY
from benchmarks.speed.report_detectors import detectors_plot, detectors_text
from benchmarks.speed.report_table import table

Result = dict[str, Any]
COLOURS = {"kafka": "#0b6e99", "embedded": "#d97706"}
NAMES = {
    "edge node": "edge node, everything on",
    "edge node, kafka-python": "edge node, reading with kafka-python",
    "edge node, columnar": "edge node, 500 records a message (Arrow)",
    "naive": "naive loop",
    "river": "River HalfSpaceTrees",
}


def write_report(result: Result, directory: Path) -> None:
    """Write speed.md, speed.png and, of the detectors, speed_detectors.png beside the JSON."""
    lines = [*_head(result), *_stages(result)]
    if "detectors" in result:
        lines += detectors_text(result["detectors"])
        detectors_plot(result["detectors"]["rows"], directory / "speed_detectors.png")
    for part in result["brokers"].values():
        lines += _broker(part)
    (directory / "speed.md").write_text("\n".join(lines).rstrip() + "\n")
    _plot(result, directory / "speed.png")


def _head(result: Result) -> list[str]:
    machine, sizes = result["machine"], result["sizes"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    shared = (
        f"**The machine was shared: load average {machine['load_before']:.1f} before the run and "
        f"{machine['load_after']:.1f} after it. Speeds are too low and delays too long; what "
        "counts is ratios within the run.**\n"
        if machine["load_before"] > BUSY
        else ""
    )
    return [
        "# Speed",
        "",
        "Written by `make bench-speed`" + (" (`--quick`)." if result["quick"] else "."),
        "",
        f"{machine['date']}, commit {machine['commit']}; {machine['cores']} cores ({machine['cpu']}), "
        f"{machine['memory_gib']} GiB, {machine['system']}, Python {machine['python']}; {versions}. Broker, load, "
        "node, trainer and aggregator all on this machine.",
        "",
        shared,
        "The edge node is the real process with everything on: federation link, learner with quarantine, "
        "checkpoints, alerts with explanations, metrics. Records: one JSON object of 51 floats a message (1.1 kB) "
        "from 100 machines at 1 Hz of event time, 4 partitions, profile with `missing = last`. Abnormal records "
        "come at random.",
        "",
        f"Settings: {sizes['throughput']:,} records for throughput ({sizes['naive']:,} naive, {sizes['river']:,} "
        f"River), the first tenth not counted; {sizes['latency_s']} s at each rate, the first 2 s not counted.",
        "",
    ]


def _stages(result: Result) -> list[str]:
    if "stages" not in result:
        return []
    rows = [(name, f"{value:.2f}") for name, value in result["stages"].items()]
    return ["## Stages in one process, without a broker", "", *table(("stage", "us a record"), rows)]


def _broker(part: Result) -> list[str]:
    if "skipped" in part:
        return ["## A broker that was not there", "", part["skipped"], ""]
    lines = [f"## {part['name']}", ""]
    if "throughput" in part:
        lines += ["### Throughput", "", *_throughput(part["throughput"])]
    if "bad" in part:
        lines += ["### One bad record in a hundred", "", *_bad(part["bad"])]
    delays = [*part.get("latency", []), *part.get("floor", []), *part.get("training", [])]
    if delays:
        lines += ["### From produced to scored and acknowledged", "", *_delays(delays)]
    if "replay" in part:
        lines += ["### Replay", "", *_replay(part["replay"])]
    if "memory" in part:
        lines += ["### Memory (RSS, MiB)", "", *_memory(part["memory"])]
    if "start" in part or "demo" in part:
        lines += ["### Start", "", *_start(part)]
    for name, head in part.get("again", {}).items():
        loads = f"load average {head['load_before']:.1f} before and {head['load_after']:.1f} after"
        lines.append(f"- {name}: measured again, {head['date']}, commit {head['commit']}, {loads}")
    return lines + [
        f"- failed: {name}: {why.splitlines()[0][:200]}" for name, why in part.get("failed", {}).items()
    ]


def _throughput(rows: list[Result]) -> list[str]:
    head = ("what", "abnormal", "records/s", "x naive", "records/core-second", "x naive", "alerts")
    cells = [
        (
            NAMES[row["what"]],
            f"{row['abnormal']:.1%}",
            f"{row['records_per_s']:,.0f}",
            f"{row['records_per_s_ratio']:.1f}",
            f"{row['records_per_core_s']:,.0f}",
            f"{row['records_per_core_s_ratio']:.1f}",
            row.get("alerts", ""),
        )
        for row in rows
    ]
    return table(head, cells)


def _bad(rows: list[Result]) -> list[str]:
    head = (
        "bad records",
        "good ones scored",
        "dead letters",
        "each with the right reason",
        "records/core-second",
        "of none bad",
    )
    none = rows[0]["records_per_core_s"]
    cells = [
        (
            f"{row['bad']:,}",
            "all",
            f"{row['letters']:,}",
            "yes" if row["right"] else "NO",
            f"{row['records_per_core_s']:,.0f}",
            f"{row['records_per_core_s'] / none:.2f}",
        )
        for row in rows
    ]
    return table(head, cells)


def _delays(rows: list[Result]) -> list[str]:
    head = (
        "what",
        "records/s",
        "training beside",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "longest ms",
        "load late by at most",
    )
    cells = [
        (
            row.get("what", "edge node"),
            f"{row['rate']:,}",
            f"yes (trainer busy {row['trainer_cpu']:.0%})" if row["training"] else "no",
            *(f"{row[name]:.1f}" for name in ("p50_ms", "p90_ms", "p99_ms", "max_ms")),
            f"{row['late_s'] * 1000:.0f} ms",
        )
        for row in rows
    ]
    return table(head, cells)


def _replay(rows: list[Result]) -> list[str]:
    head = ("client", "file", "form", "compression", "records", "records/s", "CPU us a record, start included")
    cells = [
        (
            row["client"],
            row["file"],
            row["form"],
            row["compression"],
            f"{row['records']:,}",
            f"{row['records_per_s']:,.0f}",
            f"{row['cpu_us']:.1f}",
        )
        for row in rows
    ]
    said = "51 floats a record; broker and replay share the machine. Aim: 60,000 as JSON, 600,000 columnar."
    return [said, "", *table(head, cells)]


def _memory(rows: list[Result]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row["mib"]))
    return table(("records", *names), [(f"{r['records']:,}", *(r["mib"].get(n, "") for n in names)) for r in rows])


def _start(part: Result) -> list[str]:
    rows = []
    if "start" in part:
        rows = [
            ("node with a pinned bundle: first record scored", f"{part['start']['first_record_s']:.1f}"),
            ("node with a pinned bundle: first alert acknowledged", f"{part['start']['first_alert_s']:.1f}"),
        ]
    rows += [(f"demo: {name}", f"{seconds:.1f}") for name, seconds in part.get("demo", {}).items()]
    return table(("from the start of the process to", "s"), rows)


def _plot(result: Result, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, part in result["brokers"].items():
        _plot_delays(left, part, name)
    _plot_throughput(right, result)
    left.set(xscale="log", yscale="log", xlabel="records/s", ylabel="ms", title="Produced to scored: p50 and p99")
    right.set(xlabel="records a core second", title="Throughput (share of abnormal records)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    if left.has_data():
        left.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def _plot_delays(axes: Any, part: Result, name: str) -> None:
    for kind, style in (("latency", "-"), ("training", "--")):
        rows = [row for row in part.get(kind, []) if "what" not in row]
        beside = " with training" if kind == "training" else ""
        for quantile, marker in (("p50_ms", "o"), ("p99_ms", "^")):
            if rows:
                x, y = [row["rate"] for row in rows], [row[quantile] for row in rows]
                label = f"{name}{beside}, {quantile[:3]}"
                axes.plot(x, y, style, marker=marker, color=COLOURS[name], label=label)


def _plot_throughput(axes: Any, result: Result) -> None:
    bars = [
        (f"{row['what']} {row['abnormal']:.1%}, {name}", row["records_per_core_s"], COLOURS[name])
        for name, part in result["brokers"].items()
        for row in part.get("throughput", [])
    ]
    if bars:
        labels, values, colours = zip(*reversed(bars), strict=True)
        axes.barh(labels, values, color=colours)
