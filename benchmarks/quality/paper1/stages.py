"""SWaT's stages as nodes: tags and input layer of their own, a shared trunk behind it (ours)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.columns import MB_SENT
from benchmarks.quality.paper1.inputs import STREAMS
from benchmarks.quality.paper1.nodes import Kind, Sizes, pools
from benchmarks.quality.paper1.rules import BATCH, EPOCHS, LEARNING_RATES, ROUNDS
from benchmarks.quality.paper1.run import RATE, TUNING_SEED, line, measured
from benchmarks.quality.paper1.sections import COLUMNS, protocol
from benchmarks.quality.table import Context, Outcome, Row, Section
from streamgauge.detectors.contrast import contrastive_loss
from streamgauge.evaluation.baselines.federated import average
from streamgauge.evaluation.baselines.networks import NetworkConfig, fit_network, initialise, output
from streamgauge.evaluation.metrics import auc
from streamgauge.profiles.loaders.swat import stage_of
from streamgauge.profiles.profile import load_profile
from streamgauge.simulation import Examples
from streamgauge.simulation.clients import pooled

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
HIDDEN, EMBEDDING, PROJECTION, TAU = 96, 32, 16, 0.2
TRIALS = tuple(product(LEARNING_RATES, (BATCH, 2 * BATCH)))
STAGES: Mapping[str, tuple[str, bool, bool]] = {
    "stages-contrastive": ("Stages, contrastive, trunk shared", True, True),
    "stages-fedavg": ("Stages, cross-entropy, trunk shared", False, True),
    "stages-local-nt-xent": ("Stages, contrastive, each alone", True, False),
    "stages-local": ("Stages, cross-entropy, each alone", False, False),
}
"""Key -> label, whether the contrastive term is in the loss, whether the trunk is averaged."""


@dataclass(frozen=True, eq=False)
class _Stage:
    """A stage's columns, its scaler and its network."""

    columns: NDArray[np.int64]
    mean: Floats
    scale: Floats
    network: torch.nn.Module

    def rows(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = (x[:, self.columns] - self.mean) / self.scale
        return np.nan_to_num(scaled).astype(np.float32)

    def score(self, x: NDArray[np.float32]) -> Floats:
        """-log(1 - p) of the class head."""
        return np.logaddexp(0.0, output(self.network, self.rows(x))[:, 0])


def stage_section(kind: Kind, sizes: Sizes) -> Section:
    """The second division of SWaT into nodes."""
    stated = protocol("swat", kind, sizes)
    remarks = (
        "Nodes are the six stages, all with the same rows (those of the time blocks together): an input layer of "
        f"each stage's own to {HIDDEN} units, then a shared trunk and heads. A record is abnormal where the stage "
        "most sure of it says so; the line is that of all stages together",
        "Contrastive: rows of a class attract each other, without augmented views, lambda2 = 0; batches as drawn. "
        "MOON, FedProto and FedCAC have no row here: their terms work on one network for all",
        f"{len(TRIALS)} trials for each row (two learning rates, two batch sizes), by AUC on validation rows",
    )
    rows = tuple(_row(kind, key, sizes) for key in STAGES)
    columns = tuple(column for column in COLUMNS if column != MB_SENT)
    what = "later data" if kind == "strict" else "random split"
    own = type(stated)(stated.kind, stated.split, stated.labels, stated.threshold, remarks[2], remarks[:2])
    return Section(f"SWaT, stages as nodes: {what}", own, columns, rows)


def _row(kind: Kind, key: str, sizes: Sizes) -> Row:
    label, contrastive, shared = STAGES[key]

    def run(context: Context) -> Outcome:
        return stage_run(kind, key, sizes, context.data, context.seed)

    config = {"contrastive": contrastive, "shared": shared, "rounds": ROUNDS, "epochs": EPOCHS, **asdict(sizes)}
    return Row(f"swat-{kind}-{key}", label, run, config)


def stage_run(kind: Kind, key: str, sizes: Sizes, data: Path, seed: int) -> Outcome:
    """Train with the tuned settings and measure."""
    known = pools("swat", kind, data)
    (rate, batch), tried = tuned(kind, key, sizes, data)
    stages, validation = _learned(kind, key, sizes, data, rate, batch, seed)
    lines = [line(stage.score(validation.x), validation.y) for stage in stages]
    level = np.quantile(_surest(stages, lines, validation.x)[validation.y == 0], 1 - RATE)
    ratios = [_surest(stages, lines, known.x[rows]) / level for rows in known.tests]
    return Outcome(measured(known, ratios), {"tuned": {"learning rate": rate, "batch": batch, "tried": tried}})


@cache
def tuned(kind: Kind, key: str, sizes: Sizes, data: Path) -> tuple[tuple[float, int], dict[str, float]]:
    """Learning rate and batch size with the best AUC on validation rows, and that of all."""
    found = {}
    for rate, batch in TRIALS:
        stages, validation = _learned(kind, key, sizes, data, rate, batch, TUNING_SEED)
        lines = [line(stage.score(validation.x), validation.y) for stage in stages]
        scores = _surest(stages, lines, validation.x)
        found[rate, batch] = auc(scores[validation.y == 0], scores[validation.y == 1])
    best = max(found, key=lambda one: found[one])
    return best, {f"learning rate {rate:g}, batch {batch}": value for (rate, batch), value in found.items()}


def _surest(stages: Sequence[_Stage], lines: Sequence[float], x: NDArray[np.float32]) -> Floats:
    """The largest score in units of a stage's line."""
    ratios = [stage.score(x) / own for stage, own in zip(stages, lines, strict=True)]
    surest: Floats = np.max(ratios, axis=0)
    return surest


def _learned(
    kind: Kind, key: str, sizes: Sizes, data: Path, rate: float, batch: int, seed: int
) -> tuple[list[_Stage], Examples]:
    """Trained stages, and the validation rows that all of them have."""
    import torch

    _, contrastive, shared = STAGES[key]
    known = pools("swat", kind, data)
    clients = known.clients(sizes, seed)
    train, validation = (pooled([getattr(client, part) for client in clients]) for part in ("train", "validation"))
    names = np.array([stage_of(field.field) for field in load_profile("swat").numeric] * STREAMS["swat"].blocks)
    trunks = [initialise(_trunk(), seed) for _ in np.unique(names)]
    stages = []
    for number, trunk in zip(np.unique(names), trunks, strict=True):
        columns = np.flatnonzero(names == number)
        own = train.x[:, columns].astype(np.float64)
        scale = np.maximum(np.nanstd(own, axis=0), known.space.floor[columns])
        private = initialise(torch.nn.Linear(len(columns), HIDDEN), seed + int(number))
        network = torch.nn.Sequential(private, torch.nn.ELU(), trunk)
        stages.append(_Stage(columns, np.nanmean(own, axis=0), scale, network))
    config = NetworkConfig(epochs=EPOCHS, batch_size=batch, learning_rate=rate)
    for number in range(ROUNDS):
        for index, stage in enumerate(stages):
            part = (stage.rows(train.x), train.y)
            fit_network(stage.network, _loss(contrastive), part, config, seed + 1000 * number + index)
        if shared:
            average(trunks, np.full(len(trunks), 1 / len(trunks)))
    return stages, validation


def _trunk() -> torch.nn.Module:
    """(n, hidden) -> (n, 1 + projection): logit and projected embedding."""
    import torch

    encoder = torch.nn.Linear(HIDDEN, EMBEDDING)
    return torch.nn.Sequential(encoder, torch.nn.ELU(), torch.nn.Linear(EMBEDDING, 1 + PROJECTION))


def _loss(contrastive: bool) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Of a network's output and labels."""
    import torch

    def loss(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        classes = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], y)
        return classes + contrastive_loss(out[:, 1:], y.long(), TAU) if contrastive else classes

    return loss
