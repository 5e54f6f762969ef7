"""The measurements, each on one broker."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.processes import children, resident
from benchmarks.speed.sensors import MACHINES, bad_kind
from benchmarks.speed.site import (
    PARTITIONS,
    PROJECT,
    SCORED,
    Site,
    results,
    run_json,
    stop,
)
from services.edge_node.bundle import Bundle
from services.edge_node.checkpoint import Checkpoint
from services.runtime.tensorfile import load_tensors

Row = dict[str, Any]
Say = Callable[[str], None]
WARM_UP_SHARE = 0.1
ABNORMAL = (0.001, 0.1, 1.0)


@dataclass(frozen=True)
class Sizes:
    """How much each measurement takes.

    Attributes:
        throughput, naive, river: records read.
        latency_s: seconds at each rate; the first two do not count.
        memory: records sent.
        memory_rate: records a second while memory is watched.
        demo_s: seconds that the demo runs.
        bad: records of which one in a hundred is bad.
        replay: records that the replay sends.
    """

    throughput: int
    naive: int
    river: int
    latency_s: int
    memory: int
    memory_rate: int
    demo_s: int
    bad: int
    replay: int


FULL = Sizes(200_000, 30_000, 15_000, 20, 1_000_000, 12_000, 60, 1_000_000, 600_000)
QUICK = Sizes(60_000, 10_000, 4_000, 6, 100_000, 12_000, 40, 100_000, 200_000)
COLUMNAR_ROWS = 500
COLUMNAR_TIMES = 10
"""So many times the records of the other rows: they take a tenth of the time."""


def throughput(site: Site, sizes: Sizes, say: Say) -> list[Row]:
    """Records a second and a core second of the node at three shares of abnormal records, and of the others."""
    rows = []
    for share in ABNORMAL:
        topic = site.topic("throughput")
        site.fill(topic, sizes.throughput, share)
        rows.append({"what": "edge node", "abnormal": share, **_node_speed(site, topic, sizes.throughput)})
        say(_speed_line(rows[-1]))
        if share == ABNORMAL[0]:
            slower = _node_speed(site, topic, sizes.throughput, CLIENT="kafka-python")
            rows.append({"what": "edge node, kafka-python", "abnormal": share, **slower})
            say(_speed_line(rows[-1]))
            rows.append({"what": "edge node, columnar", "abnormal": 0.0, **_columnar_speed(site, sizes)})
            say(_speed_line(rows[-1]))
            where = ("--bootstrap", site.bootstrap, "--topic", topic, "--partitions", str(PARTITIONS))
            for kind, n in (("naive", sizes.naive), ("river", sizes.river)):
                speed = run_json("baselines", kind, *where, "--n", str(n))
                rows.append({"what": kind, "abnormal": share, **speed})
                say(_speed_line(rows[-1]))
    return with_ratios(rows)


def with_ratios(rows: list[Row]) -> list[Row]:
    """Each row beside the naive loop."""
    naive = next(row for row in rows if row["what"] == "naive")
    unit = ("records_per_s", "records_per_core_s")
    return [{**row, **{f"{name}_ratio": row[name] / naive[name] for name in unit}} for row in rows]


def _speed_line(row: Row) -> str:
    speed = f"{row['records_per_s']:,.0f} records/s, {row['records_per_core_s']:,.0f} a core second"
    return f"{row['what']}, {row['abnormal']:.1%} abnormal: {speed}"


def _node_speed(site: Site, topic: str, n: int, **changes: str) -> Row:
    name = "-".join((topic, *changes.values()))
    out = site.directory / f"{name}.npz"
    node = site.node(topic, out, site.prepared_state(f"state-{name}"), **changes)
    node.wait(SCORED, n, 60 + n / 2000)
    alerts = node.metric("streamgauge_edge_alerts_total")
    stop(node)
    steps = results(out)["steps"]
    steps = steps[steps[:, 2] >= WARM_UP_SHARE * n]
    wall, cpu, handled = steps[-1] - steps[0]
    return {
        "records_per_s": handled / wall,
        "records_per_core_s": handled / cpu,
        "records": int(handled),
        "alerts": int(alerts),
    }


def _columnar_speed(site: Site, sizes: Sizes) -> Row:
    topic, n = site.topic("columnar"), COLUMNAR_TIMES * sizes.throughput
    site.fill(topic, n, rows=COLUMNAR_ROWS)
    return _node_speed(site, topic, n)


def bad_records(site: Site, sizes: Sizes, say: Say) -> list[Row]:
    """The node's speed without bad records and with one in a hundred; what became of the bad ones."""
    rows, n = [], sizes.bad
    for bad in (0, 1):
        topic = site.topic("bad")
        site.fill(topic, n, ABNORMAL[0], bad=bad)
        expected = expected_letters(topic, n) if bad else {}
        row = {"bad": len(expected), **_node_speed(site, topic, n - len(expected))}
        letters = {p: reason for p, reason in site.dead_letters().items() if p.startswith(f"{topic}:")}
        rows.append({**row, "letters": len(letters), "right": letters == expected})
        say(f"{row['bad']:,} bad of {n:,}: {row['records_per_core_s']:,.0f} a core second")
    return rows


def expected_letters(topic: str, n: int) -> dict[str, str]:
    """Position -> reason of each bad record that `load --bad 1` sends to a topic of its own."""
    expected = {}
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    for i in range(n):
        partition = i % MACHINES % PARTITIONS
        if (reason := bad_kind(i)) is not None:
            expected[f"{topic}:{partition}:{offsets[partition]}"] = reason
        offsets[partition] += 1
    return expected


def memory(site: Site, sizes: Sizes, say: Say, others: dict[str, int]) -> list[Row]:
    """Memory of each process at a quarter, half and all of a million records.

    Args:
        others: name and process id of processes to watch too (aggregator, broker).
    """
    topic, out, rows = site.topic("memory"), site.directory / "memory.npz", []
    node, api = site.node(topic, out, site.prepared_state("state-memory")), site.api()
    sent, marks = 0, [sizes.memory // 4, sizes.memory // 2, sizes.memory]
    for mark in marks:
        site.fill(topic, mark - sent, ABNORMAL[0], sizes.memory_rate, first=sent)
        node.wait(SCORED, mark, 120)
        pids = {"edge node": node.child.pid, "API": api.child.pid, **others}
        if trainer := children(node.child.pid):
            pids["trainer"] = trainer[0]
        rows.append({"records": mark, "mib": {name: resident(pid) >> 20 for name, pid in pids.items()}})
        say(f"{mark:,} records: {rows[-1]['mib']}")
        sent = mark
    stop(node)
    stop(api)
    return rows


def pinned_start(site: Site, say: Say) -> Row:
    """From starting the process to the first record and the first alert, with a pinned bundle."""
    path = site.directory / "bundle.safetensors"
    saved_bundle(site.checkpoint).save(path)
    topic, out = site.topic("start"), site.directory / "start.npz"
    site.fill(topic, 2000, 0.1)
    start = time.time()
    node = site.node(topic, out, site.directory / "state-start", PINNED_BUNDLE=path)
    node.wait("streamgauge_edge_alerts_total", 1, 60)
    stop(node)
    record, alert = results(out)["first"] - start
    say(f"first record after {record:.2f} s, first alert after {alert:.2f} s")
    return {"first_record_s": float(record), "first_alert_s": float(alert)}


def saved_bundle(checkpoint: Path) -> Bundle:
    """The bundle in a node's checkpoint."""
    identity = load_tensors(checkpoint.read_bytes())[0]["identity"]
    bundle = Checkpoint.load(checkpoint, identity).bundle
    assert bundle is not None
    return bundle


def demo_start(seconds: int, broker: str, say: Say) -> dict[str, float]:
    """The demo's own milestones, in seconds after its start."""
    options = ["--for", str(seconds), "--broker", broker, "--api-port", "0"]
    command = [sys.executable, "-m", "services.cli", "demo", *options]
    wide = {**os.environ, "COLUMNS": "5000"}  # or the line would be broken
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, env=wide)
    line = next((line for line in done.stdout.splitlines() if line.startswith("Start: ")), "Start: ")
    parts = [part.removesuffix(" s").rpartition(" ") for part in line.removeprefix("Start: ").split(", ") if part]
    milestones = {name: float(value) for name, _, value in parts}
    say(f"demo: {milestones}")
    return milestones
