"""Networks A, B and C as three clients: private input layers, a shared LSTM; federated against local only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.quality.figures import decisions, ranking
from benchmarks.quality.paper4.data import NETWORKS, TEST, TRAIN, drawn
from benchmarks.quality.paper4.fits import EPOCHS, LEARNING, point
from benchmarks.quality.table import Column, Comparison, Context, Outcome, Protocol, Row, Section
from streamgauge.evaluation.baselines.federated import train_rounds
from streamgauge.evaluation.baselines.networks import NetworkConfig, initialise, output
from streamgauge.evaluation.baselines.recurrent import STEPS, reader

SIZE = 8
"""Numbers a step that each private input layer makes of a record."""


def three_section() -> Section:
    """Does sharing the LSTM over the three networks help?"""
    protocol = Protocol(
        "ours",
        f"as above, {TRAIN:,} training and {TEST:,} test records of each network, random",
        "all labels of the training records, two classes",
        "probability 0.5",
        "none",
        (
            f"Every network has its own linear input layer to {STEPS} steps of {SIZE} numbers; the LSTM and the "
            f"output are shared: {EPOCHS} rounds of one local epoch, averaged by rows. Local only: the same, "
            "never averaged. Ours: the paper's A and B share 41 features, for C it states no way",
        ),
    )
    columns = tuple(Column(f"accuracy_{key}", f"accuracy, {network.title}") for key, network in NETWORKS.items())
    columns += (Column("accuracy", "mean accuracy"), Column("auc", "mean ROC-AUC", ".4f"))
    settings = {**LEARNING, "train": TRAIN, "test": TEST, "size": SIZE}
    rows = (
        Row("three-federated", "LSTM shared by A, B and C", _run(True), settings),
        Row("three-local", "LSTM, each network alone", _run(False), settings),
    )
    comparisons = tuple(
        Comparison("three-federated", "three-local", column.figure)
        for column in columns
        if column.style == "percent"
    )
    return Section("Federation of the three networks", protocol, columns, rows, (), comparisons)


def _run(federated: bool) -> Callable[[Context], Outcome]:
    def run(context: Context) -> Outcome:
        import torch

        data = {key: drawn(key, context.data, context.seed) for key in NETWORKS}
        heads = [initialise(reader(torch.nn.LSTM, SIZE, 64), context.seed) for _ in NETWORKS]
        networks = [
            torch.nn.Sequential(
                initialise(torch.nn.Linear(part.train.x.shape[1], STEPS * SIZE), context.seed),
                torch.nn.ELU(),
                head,
            )
            for part, head in zip(data.values(), heads, strict=True)
        ]
        config = replace(NetworkConfig(**LEARNING), epochs=1)
        shared = heads if federated else []
        parts = [(part.train.x, part.train.y) for part in data.values()]
        curve: list[dict[str, float]] = []

        def watch(number: int) -> None:
            curve.append({"round": float(number), **point(networks, list(data.values()))})

        train_rounds(networks, shared, parts, config, EPOCHS, context.seed, watch=watch)
        figures: dict[str, float] = {}
        found = []
        for (key, part), network in zip(data.items(), networks, strict=True):
            scores, truth = output(network, part.test.x), part.test.y == 1
            found.append({**decisions(scores > 0, truth), **ranking(scores, truth)})
            figures[f"accuracy_{key}"] = found[-1]["accuracy"]
        means = {name: float(np.mean([f[name] for f in found])) for name in ("accuracy", "auc")}
        return Outcome({**figures, **means}, {"curve": curve})

    return run
