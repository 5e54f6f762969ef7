"""Trials for the further attempts, on UNSW-NB15's reserved records; `python -m benchmarks.quality.paper4.tuning`.

Every trial is the federated LSTM, trained on two thirds of the records that no row of the table trains or tests on
and measured on the last third. Writes docs/results/quality/paper4_tuning.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.data import data_directory
from benchmarks.quality.paper4.data import RESERVED, drawn_to_tune
from benchmarks.quality.paper4.fits import LEARNING, in_rounds
from benchmarks.quality.paper4.preparing import Preparation

TARGET = Path(__file__).parents[3] / "docs" / "results" / "quality" / "paper4_tuning.json"
TRAIN = RESERVED * 2 // 3
SEEDS = 2
TRIALS: tuple[tuple[Preparation, Mapping[str, Any]], ...] = (
    ("standardised", LEARNING),
    ("piecewise", LEARNING),
    ("piecewise", {**LEARNING, "learning_rate": 8e-3}),
    ("standardised", {**LEARNING, "learning_rate": 8e-3}),
    ("piecewise", {**LEARNING, "learning_rate": 16e-3}),
    ("piecewise", {**LEARNING, "learning_rate": 8e-3, "batch_size": 64}),
    ("piecewise", {**LEARNING, "learning_rate": 8e-3, "epochs": 24}),
    ("piecewise", {**LEARNING, "batch_size": 32}),
    ("piecewise", {**LEARNING, "batch_size": 64, "learning_rate": 5e-3}),
    ("piecewise", {**LEARNING, "batch_size": 64, "learning_rate": 5e-3, "units": 128}),
)


def main() -> int:
    """Run all trials; some seconds each and seed."""
    directory = data_directory(None)
    results: list[dict[str, Any]] = []
    for preparation, settings in TRIALS:
        found = [_accuracy(directory, preparation, settings, seed) for seed in range(SEEDS)]
        trial = {"preparation": preparation, "settings": dict(settings), "accuracy": found}
        results.append({**trial, "mean": float(np.mean(found))})
        print(results[-1], flush=True)
    TARGET.write_text(
        json.dumps({"train": TRAIN, "validation": RESERVED - TRAIN, "trials": results}, indent=1) + "\n"
    )
    return 0


def _accuracy(directory: Path, preparation: Preparation, settings: Mapping[str, Any], seed: int) -> float:
    data = drawn_to_tune("unsw", directory, seed, TRAIN, preparation)
    score, _ = in_rounds("lstm_classifier", settings)(data, seed)
    return float(((score(data.test.x) > 0) == (data.test.y == 1)).mean())


if __name__ == "__main__":
    sys.exit(main())
