"""A small made-up plant: its profile, its records and a bundle trained on it. Same seed, same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from services.edge_node.bundle import Bundle, BundleInfo
from services.runtime.log import Outgoing
from streamgauge.calibration.threshold import Threshold
from streamgauge.detectors import DETECTORS
from streamgauge.features import FeatureSchema
from streamgauge.judging import score_rows, take_statistics
from streamgauge.layout import initial_weights
from streamgauge.profiles.profile import Profile, parse_profile
from streamgauge.scaler import SCALER
from streamgauge.state import ModelState
from streamgauge.training import TrainingPlan, train
from streamgauge.windows import windows_of

START_S = 1_750_000_000.0
ENTITIES = 6
PROFILE = """
name = "plant"
title = "A made-up plant"
context = ["asset"]
[time]
field = "time"
format = "unix_s"
[entity]
field = "machine"
[label]
field = "label"
normal = ["ok"]
[[numeric]]
field = "flow"
min = -10
max = 10
missing = "last:600"
[[numeric]]
field = "level"
min = -10
max = 10
missing = "constant:0"
[[numeric]]
field = "pressure"
min = -10
max = 10
missing = "mask"
[[numeric]]
field = "power"
min = 0
max = 1000
transform = "log1p"
[[categorical]]
field = "mode"
categories = ["auto", "manual"]
missing = "mask"
"""
LONG_PROFILE = PROFILE.replace('context = ["asset"]', 'context = ["asset"]\nlayout = "long"').replace(
    "[time]", '[long]\ntag = "tag"\nvalue = "value"\ntick_s = 1\n[time]'
)
"""The same plant, sending one tag a message."""
TAGS = ("flow", "level", "pressure", "power", "mode")


def plant_profile() -> Profile:
    return parse_profile(PROFILE, "plant")


def write_profile(directory: Path) -> Path:
    path = directory / "plant.toml"
    path.write_text(PROFILE)
    return path


def plant_records(n: int, seed: int = 0, attacks: bool = True, step_s: float = 1.0) -> list[dict[str, Any]]:
    """JSON objects in order of time; from a tenth on, every now and then a machine misbehaves for a while."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 2))
    records = []
    bad_until = dict.fromkeys(range(ENTITIES), -1)
    for i in range(n):
        machine = int(rng.integers(ENTITIES))
        if attacks and i > n // 10 and rng.random() < 0.01:
            bad_until[machine] = i + int(rng.integers(5, 60))
        bad = i <= bad_until[machine]
        a, b = latent[i]
        record: dict[str, Any] = {
            "time": START_S + i * step_s,
            "machine": f"machine-{machine}",
            "asset": f"hall {machine % 2}",
            "flow": round(a + 0.1 * rng.normal() + (6.0 + rng.random() if bad else 0.0), 6),
            "level": round(a - b + 0.1 * rng.normal(), 6),
            "pressure": round(b + 0.1 * rng.normal() - (6.0 + rng.random() if bad else 0.0), 6),
            "power": round(float(np.exp(3 + 0.3 * a + 0.02 * rng.normal())), 6),
            "mode": "manual" if rng.random() < 0.2 else "auto",
            "label": "bad" if bad else "ok",
        }
        if rng.random() < 0.02:
            record.pop(("flow", "level", "pressure", "mode")[int(rng.integers(4))])
        records.append(record)
    return records


def messages(topic: str, records: list[dict[str, Any]], partitions: int) -> Iterator[Outgoing]:
    """As a collector would send them: key and partition by machine."""
    for record in records:
        number = int(record["machine"].rpartition("-")[2]) % partitions
        value = json.dumps(record).encode()
        yield Outgoing(topic, record["machine"].encode(), value, (), number, int(record["time"] * 1000))


def tag_records(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A record as one message a tag; a missing tag is not sent."""
    common = {name: record[name] for name in ("time", "machine", "asset", "label")}
    return [{**common, "tag": tag, "value": record[tag]} for tag in TAGS if tag in record]


def encoded(records: list[dict[str, Any]], schema: FeatureSchema) -> NDArray[np.float32]:
    """Rows of complete records."""
    names = [f.name for f in schema.numeric]
    values = np.array([[r[name] for name in names] for r in records], np.float64)
    codes = np.array([[("auto", "manual").index(r["mode"])] for r in records], np.int64)
    return schema.encode(values, codes)


@cache
def trained_bundle(detector_name: str, schema: FeatureSchema, records: int = 3000) -> Bundle:
    """A bundle trained on normal records, its threshold above all their scores; shared, so only read it."""
    torch.set_num_threads(1)  # as the services do; two threads on a busy machine wait for each other
    complete = [r for r in plant_records(records, 1000, attacks=False) if len(r) == 9]
    x = encoded(complete, schema)
    centred = x.astype(np.float64) - schema.centre()
    parts = {"n": np.full(schema.width, float(len(x))), "sum": centred.sum(0), "sumsq": (centred**2).sum(0)}
    moments = {f"{SCALER}.{part}": value for part, value in parts.items()}
    detector = DETECTORS[detector_name](schema.width, {})
    weights = initial_weights(detector.layout, 0)
    model = ModelState(weights, moments)
    rows = model.scaler(schema).apply(x)
    if detector.window > 1:
        machines = np.array([int(r["machine"].rpartition("-")[2]) for r in complete])
        rows, _ = windows_of(rows, machines, detector.window)
    labels = np.full(len(rows), np.nan, np.float32)
    trained = train(detector, weights, (rows, labels), TrainingPlan(epochs=8, learning_rate=2e-3))
    weights = {name: weights[name] + trained.delta[name] for name in weights}
    tensors, _ = ModelState(weights, moments).tensors(detector.layout)
    model = ModelState(weights, moments, take_statistics(detector, tensors, rows))
    scores = np.sort(score_rows(detector, *model.tensors(detector.layout), rows))
    threshold = Threshold(float(scores[-1] * 1.5), "event_rate", None, 0, False).beside(scores)
    return Bundle(BundleInfo(detector_name, asdict(detector.config), schema.hash, 0, threshold), model)
