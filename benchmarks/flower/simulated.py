"""Runs in Flower's environment: `simulated.py IN OUT` is Flower's simulation of the given clients, with its times.

The clients train with this project's own `train` on the same detector and rows, so that what differs is the
framework around them. Files are NumPy's .npz without pickle, and JSON. A client that fails ends the run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"

import flwr
import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation
from numpy.typing import NDArray

from streamgauge.judging import score_rows
from streamgauge.training import TrainingPlan, train

Arrays = list[NDArray[Any]]


class Trainee:
    """One client: its rows from the file, the detector's weights as a list of arrays."""

    def __init__(self, source: Path, number: int) -> None:
        from streamgauge.detectors import DETECTORS  # here: Ray would send a global by value, an empty registry

        torch.set_num_threads(1)
        with np.load(source, allow_pickle=False) as given:
            settings = json.loads(str(given["settings"]))
            self._rows = given[f"{number}.x"], given[f"{number}.y"]
            self._test = given[f"{number}.test_x"], given[f"{number}.test_y"]
        self._names, self._number = settings["names"], number
        self._effort = {name: settings[name] for name in ("epochs", "batch_size", "learning_rate")}
        self._detector = DETECTORS[settings["detector"]](self._rows[0].shape[1], {})
        self._threshold = settings["threshold"]

    def fit(self, parameters: Arrays, config: dict[str, Any]) -> tuple[Arrays, int, dict[str, Any]]:
        """Train from the given weights."""
        base = dict(zip(self._names, parameters, strict=True))
        plan = TrainingPlan(**self._effort, seed=1000 * int(config["round"]) + self._number)
        start = time.perf_counter()
        delta = train(self._detector, base, self._rows, plan).delta
        spent = time.perf_counter() - start
        return [base[name] + delta[name] for name in self._names], len(self._rows[0]), {"seconds": spent}

    def evaluate(self, parameters: Arrays, config: dict[str, Any]) -> tuple[float, int, dict[str, Any]]:
        """Accuracy on the client's own test rows."""
        x, y = self._test
        weights = {name: torch.tensor(value) for name, value in zip(self._names, parameters, strict=True)}
        right = float(((score_rows(self._detector, weights, {}, x) >= self._threshold) == (y == 1)).mean())
        return 0.0, len(x), {"accuracy": right}


class Timed:
    """Flower's federated averaging; notes when each part of a round begins and ends, bears no failed client."""

    def __init__(self, **settings: Any) -> None:
        self._inner = FedAvg(**settings)
        self.times: list[dict[str, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
        self.times.append({"start": time.perf_counter()})
        return self._inner.configure_fit(server_round, parameters, client_manager)

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        if failures:
            raise RuntimeError(f"{len(failures)} clients failed, the first with {failures[0]}")
        merged = self._inner.aggregate_fit(server_round, results, failures)
        trained = sum(float(answer.metrics["seconds"]) for _, answer in results)
        self.times[-1] |= {"learned": time.perf_counter(), "trained": trained, "clients": len(results)}
        return merged

    def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> Any:
        if failures:
            raise RuntimeError(f"{len(failures)} clients failed, the first with {failures[0]}")
        self.times[-1] |= {"end": time.perf_counter()}
        right, rows = (
            sum(values)
            for values in zip(
                *((a.metrics["accuracy"] * a.num_examples, a.num_examples) for _, a in results), strict=True
            )
        )
        self.times[-1] |= {"accuracy": right / rows}
        return self._inner.aggregate_evaluate(server_round, results, failures)


def _client(source: Path, context: Context) -> Any:
    trainee = Trainee(source, int(context.node_config["partition-id"]))
    made: Any = type("Client", (NumPyClient,), {"fit": trainee.fit, "evaluate": trainee.evaluate})()
    return made.to_client()


def _server(strategy: Timed, rounds: int, context: Context) -> ServerAppComponents:
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=rounds))


def _round(number: int) -> dict[str, int]:
    return {"round": number}


def main(source: Path, target: Path) -> None:
    """Simulate; the times of every round as JSON."""
    with np.load(source, allow_pickle=False) as given:
        settings = json.loads(str(given["settings"]))
        start = [given[f"weights.{name}"] for name in settings["names"]]
    strategy = Timed(
        initial_parameters=ndarrays_to_parameters(start),
        accept_failures=False,
        min_fit_clients=settings["clients"],
        min_evaluate_clients=settings["clients"],
        min_available_clients=settings["clients"],
        on_fit_config_fn=_round,
    )
    begun = time.perf_counter()
    server: Callable[[Context], ServerAppComponents] = partial(_server, strategy, settings["rounds"])
    run_simulation(
        ServerApp(server_fn=server),
        ClientApp(client_fn=partial(_client, source)),
        num_supernodes=settings["clients"],
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    whole = time.perf_counter() - begun
    if len(strategy.times) != settings["rounds"] or "end" not in strategy.times[-1]:
        raise RuntimeError(f"Flower ended after {len(strategy.times)} of {settings['rounds']} rounds")
    answer = {"version": flwr.__version__, "whole_s": whole, "rounds": strategy.times}
    target.write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
