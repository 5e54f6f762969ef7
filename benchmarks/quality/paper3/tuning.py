"""Trials that chose the settings, on records that no run uses; `python -m benchmarks.quality.paper3.tuning`.

Every trial is run with and without federation. `Effort`'s defaults, the first trial, stay unless another one's
mean of both validation accuracies is more than 0.1 points better. Writes docs/results/quality/paper3_tuning.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.data import data_directory
from benchmarks.quality.paper3.edges import tuning_edges
from benchmarks.quality.paper3.run import Effort, accuracy, encoded_edges, log_loss, probability
from streamgauge.simulation import Client, Model, RoundResult, simulate
from streamgauge.simulation.config import Mode

TARGET = Path(__file__).parents[3] / "docs" / "results" / "quality" / "paper3_tuning.json"
START = Effort()
TRIALS: tuple[Effort, ...] = (
    START,
    replace(START, learning_rate=1e-3),
    replace(START, hidden=(192, 96, 48)),
    replace(START, learning_rate=1e-3, hidden=(192, 96, 48)),
    replace(START, dropout=0.2),
    replace(START, components=40),
)
MODES: tuple[Mode, ...] = ("federated", "local")


def trial(effort: Effort, mode: Mode, edges: Sequence[Client]) -> list[dict[str, float]]:
    """Validation accuracy and loss after every round."""
    rounds: list[dict[str, float]] = []

    def watch(done: RoundResult, models: Mapping[str, Model]) -> None:
        parts = [
            (probability(m)(e.validation.x), e.validation.y) for m, e in zip(models.values(), edges, strict=True)
        ]
        rounds.append(
            {
                "validation_accuracy": float(np.mean([accuracy(p, y) for p, y in parts])),
                "validation_loss": float(np.mean([log_loss(p, y) for p, y in parts])),
            }
        )

    edges, space = encoded_edges(edges, effort)
    simulate(effort.config(mode), edges, 0, space=space, watch=watch)
    return rounds


def main() -> int:
    """Run all trials; about a minute each and mode."""
    edges = tuning_edges(data_directory(None))
    results: list[dict[str, Any]] = []
    for effort in TRIALS:
        modes = {mode: trial(effort, mode, edges) for mode in MODES}
        best = {mode: max(point["validation_accuracy"] for point in rounds) for mode, rounds in modes.items()}
        results.append({"settings": asdict(effort), "best": best, "rounds": modes})
        print(f"{asdict(effort)}: {best}", flush=True)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({"trials": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
