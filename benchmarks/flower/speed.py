"""Wall time of a round beside Flower's simulation: same clients, rows, model, effort and training code."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import PROJECT, machine
from benchmarks.quality.data import data_directory, load
from streamgauge.detectors import DETECTORS
from streamgauge.layout import initial_weights
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import SimulationConfig, SimulationResult, Space, simulate
from streamgauge.simulation.division import Divided, Division, divide

CLIENT = Path(__file__).with_name("simulated.py")
THRESHOLD = log(2.0)
"""Raw score of `mlp` at a probability of one half."""
FIRST = 1
"""Rounds at the start that do not count: both load code in them."""


@dataclass(frozen=True)
class Sizes:
    """How much is simulated."""

    clients: int = 10
    rows: int = 5_000
    rounds: int = 20
    seed: int = 0


def compare_speed(python: Path, data: Path | None = None, sizes: Sizes | None = None) -> dict[str, Any]:
    """Simulate here and in Flower's environment, one after the other.

    Args:
        python: interpreter of Flower's environment, with torch and scipy in it.
        data: folder with the data sets; None: the environment's.
        sizes: None: in full.
    Raises:
        subprocess.CalledProcessError: Flower's side failed; its output says why.
    """
    sizes = sizes or Sizes()
    profile = load_profile("nsl-kdd")
    table = load("nsl-kdd", data_directory(data), ("KDDTrain+.txt",))
    division = Division(clients=sizes.clients, kind="iid", rows=sizes.rows)
    divided = divide(table, profile, division, sizes.seed)
    config = SimulationConfig(detector="mlp", rounds=sizes.rounds, threshold="fixed", fixed_threshold=THRESHOLD)
    head = machine(("torch", "numpy"))
    start = time.perf_counter()
    ours = simulate(config, divided.clients, sizes.seed, space=Space.of(profile.schema), clock=time.perf_counter)
    whole = time.perf_counter() - start
    theirs = _flower(python, config, divided, ours, sizes)
    head["load_after"] = os.getloadavg()[0]
    return {
        "machine": head,
        "flower": theirs["version"],
        "sizes": {"clients": sizes.clients, "rounds": sizes.rounds, "seed": sizes.seed},
        "training_rows": sum(len(client.train) for client in divided.clients),
        "ours": _ours(ours, whole),
        "theirs": _theirs(theirs),
    }


def _ours(result: SimulationResult, whole: float) -> dict[str, Any]:
    counted = result.rounds[FIRST:]
    rows = [part.rows for part in result.final.clients.values()]
    accuracy = np.average([part.accuracy for part in result.final.clients.values()], weights=rows)
    return {
        "round_s": _spread([r.seconds for r in counted]),
        "training_s": _spread([r.train_seconds for r in counted]),
        "whole_s": whole,
        "accuracy": float(accuracy),
    }


def _theirs(answer: dict[str, Any]) -> dict[str, Any]:
    counted = answer["rounds"][FIRST:]
    return {
        "round_s": _spread([r["end"] - r["start"] for r in counted]),
        "learning_s": _spread([r["learned"] - r["start"] for r in counted]),
        "training_s": _spread([r["trained"] for r in counted]),
        "whole_s": answer["whole_s"],
        "accuracy": answer["rounds"][-1]["accuracy"],
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": float(np.median(seconds)), "least": min(seconds), "most": max(seconds)}


def _flower(
    python: Path, config: SimulationConfig, divided: Divided, ours: SimulationResult, sizes: Sizes
) -> dict[str, Any]:
    model = next(iter(ours.models.values()))
    detector = DETECTORS[config.detector](model.scaler.mean.shape[0], {})
    weights = initial_weights(detector.layout, sizes.seed)
    settings = {
        name: getattr(config, name) for name in ("detector", "rounds", "epochs", "batch_size", "learning_rate")
    }
    settings |= {"names": list(weights), "clients": len(divided.clients), "threshold": THRESHOLD}
    given: dict[str, NDArray[Any]] = {"settings": np.array(json.dumps(settings))}
    given |= {f"weights.{name}": value for name, value in weights.items()}
    for i, client in enumerate(divided.clients):
        given |= {f"{i}.x": model.scaler.apply(client.train.x), f"{i}.y": client.train.y}
        given |= {f"{i}.test_x": model.scaler.apply(client.test.x), f"{i}.test_y": client.test.y}
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory) / "given.npz", Path(directory) / "times.json"
        np.savez(source, allow_pickle=False, **given)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
        subprocess.run([python, CLIENT, source, target], check=True, env=environment)
        answer: dict[str, Any] = json.loads(target.read_text())
        return answer
