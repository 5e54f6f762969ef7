"""Produced to acknowledged, record by record."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.measures import ABNORMAL, Row, Say, Sizes
from benchmarks.speed.processes import busy, trainer_seconds
from benchmarks.speed.site import PARTITIONS, READY, SCORED, Site, results, stop, wait_for

RATES = (1000, 5000, 20_000)
FIRST = 2000
"""Records before the first rate: the node has started once it has scored them."""
SETTLE_S = 2.0
"""Not counted at the beginning of each rate."""


def latency(site: Site, sizes: Sizes, say: Say, training: bool) -> list[Row]:
    """Produced to acknowledged, of every record, with 0.1 % abnormal ones; one node for all rates."""
    topic = site.topic("latency")
    name = f"latency-{'training' if training else 'alone'}"
    out = site.directory / f"{name}.npz"
    node = site.node(topic, out, site.prepared_state(f"state-{name}"))
    loads, first = [], 0
    trainer_cpu = 0.0
    try:
        site.fill(topic, FIRST)
        node.wait(SCORED, FIRST, 60)
        first = FIRST
        if training:
            wait_for(lambda: busy(node) > 0.3, "the trainer trains", 60, lambda: node.child.running)
        for rate in RATES:
            n, stamps = rate * sizes.latency_s, site.directory / f"{name}-{rate}.npz"
            before, start = trainer_seconds(node), time.monotonic()
            late_s = site.fill(topic, n, ABNORMAL[0], rate, first=first, stamps=stamps)
            trainer_cpu = (trainer_seconds(node) - before) / (time.monotonic() - start)
            loads.append({"rate": rate, "stamps": stamps, "late_s": late_s, "trainer_cpu": trainer_cpu})
            first += n
            node.wait(SCORED, first, 60)
            say(f"{rate:,} records/s sent, trainer busy {trainer_cpu:.0%}")
    finally:
        stop(node)
    return _said(delays_of(results(out), loads, training), say)


def floor(site: Site, sizes: Sizes, say: Say) -> list[Row]:
    """Produced to scored, by a loop that polls, decodes and scores and does nothing else."""
    topic, out, loads, first = site.topic("floor"), site.directory / "floor.npz", [], FIRST
    bare = site.bare(topic, FIRST + sizes.latency_s * sum(RATES), out)
    try:
        wait_for(lambda: bare.output().endswith(READY), "the bare loop reads", 60, lambda: bare.running)
        site.fill(topic, FIRST)
        for rate in RATES:
            n, stamps = rate * sizes.latency_s, site.directory / f"floor-{rate}.npz"
            late_s = site.fill(topic, n, ABNORMAL[0], rate, first=first, stamps=stamps)
            loads.append({"rate": rate, "stamps": stamps, "late_s": late_s, "trainer_cpu": 0.0})
            first += n
        wait_for(lambda: not bare.running, "the bare loop ends", 60, lambda: True)
    finally:
        bare.stop(10)
    return _said([{**row, "what": "bare loop"} for row in delays_of(results(out), loads, False)], say)


def _said(rows: list[Row], say: Say) -> list[Row]:
    for row in rows:
        what = row.get("what", f"training {row['training']}")
        say(f"{row['rate']:,} records/s, {what}: p50 {row['p50_ms']:.1f}, p99 {row['p99_ms']:.1f} ms")
    return rows


def delays_of(noted: dict[str, Any], loads: list[Row], training: bool) -> list[Row]:
    """Join what the load stamped with what the node noted, by partition and order."""
    acked = [_in_order(noted, number) for number in range(PARTITIONS)]
    at = [FIRST // PARTITIONS] * PARTITIONS
    rows = []
    for load in loads:
        stamped = results(load["stamps"])
        delays = np.empty(len(stamped["sent"]))
        for number in range(PARTITIONS):
            mine = np.flatnonzero(stamped["partition"] == number)
            delays[mine] = acked[number][at[number] : at[number] + len(mine)] - stamped["sent"][mine]
            at[number] += len(mine)
        counted = 1000 * delays[stamped["sent"] >= stamped["sent"][0] + SETTLE_S]
        quantiles = dict(zip(("p50_ms", "p90_ms", "p99_ms", "max_ms"), percentiles(counted), strict=True))
        kept = {name: load[name] for name in ("rate", "late_s", "trainer_cpu")}
        rows.append({"training": training, **kept, **quantiles, "records": len(counted)})
    return rows


def _in_order(noted: dict[str, Any], number: int) -> NDArray[np.float64]:
    mine = noted["partition"] == number
    acked: NDArray[np.float64] = noted["acked"][mine][np.argsort(noted["offset"][mine], kind="stable")]
    return acked


def percentiles(values: NDArray[np.float64]) -> list[float]:
    """50, 90, 99 and 100 per cent."""
    return [float(q) for q in np.percentile(values, (50, 90, 99, 100))]
