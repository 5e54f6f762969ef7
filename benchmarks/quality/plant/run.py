"""One run of a row: what would have been alarmed in the hours with attacks, and the figures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.figures import decisions
from benchmarks.quality.plant.learning import (
    ROUNDS,
    Known,
    Learn,
    Score,
    alarm_line,
    federation,
    normal_part,
    with_stream,
)
from benchmarks.quality.plant.streams import EVERY_S, Stream
from benchmarks.quality.table import Outcome
from streamgauge.evaluation.metrics import auc
from streamgauge.plant.attacks import CLASSES
from streamgauge.simulation.config import Mode

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
BLOCKS = ROUNDS
"""Of the hours with attacks: each is scored by the model of one round more."""
RETRAINED = 3
"""Stretches of the hours with attacks; after each, the plants learn anew with what is known by then."""
SETTLED_S = 1800
"""A process is taken as calm so long after an attack."""
ENDS = 1
"""Blocks at the beginning and at the end each whose accuracy the table prints."""


@dataclass
class Margins:
    """Score over alarm line of every record of the hours with attacks, plant by plant; an alarm from 1 on.

    Attributes:
        streams: the plants.
        values: (attacked,) each; NaN where not scored yet.
    """

    streams: Sequence[Stream]
    values: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = [np.full(len(s.kind) - s.normal, np.nan) for s in self.streams]

    def score(self, score: Score, known: Sequence[Known], part: int, parts: int) -> None:
        """Score one of equal parts of them, with lines from what is known."""
        for stream, values, held in zip(self.streams, self.values, known, strict=True):
            rows = np.array_split(np.arange(len(values)), parts)[part]
            line = max(alarm_line(score, stream, held), 1e-12)
            values[rows] = score(stream, rows + stream.normal) / line


def normal_only(streams: Sequence[Stream], detector: str, mode: Mode, floor: float, seed: int) -> Outcome:
    """Learned without attacks; scored by the last round's model, and block by block by the rounds' models."""
    known = [normal_part(stream) for stream in streams]
    growing, last = Margins(streams), Margins(streams)

    def watch(number: int, score: Score) -> None:
        growing.score(score, known, number - 1, BLOCKS)

    last.score(federation(detector, mode, floor, watch)(streams, known, seed), known, 0, 1)
    return outcome(last, growing)


def normal_only_baseline(streams: Sequence[Stream], learn: Learn, seed: int) -> Outcome:
    """The same of a baseline, which knows no rounds."""
    known = [normal_part(stream) for stream in streams]
    margins = Margins(streams)
    margins.score(learn(streams, known, seed), known, 0, 1)
    return outcome(margins, margins)


def with_verdicts(streams: Sequence[Stream], learn: Learn, late_s: int | None, seed: int) -> Outcome:
    """Learned anew after every stretch of the hours with attacks; every stretch is scored before it is learned."""
    margins = Margins(streams)
    for part in range(RETRAINED):
        known = [with_stream(s, s.normal + part * (len(s.kind) - s.normal) // RETRAINED, late_s) for s in streams]
        margins.score(learn(streams, known, seed), known, part, RETRAINED)
    return outcome(margins, margins)


def outcome(margins: Margins, growing: Margins) -> Outcome:
    """Figure 2 of `margins`, Figure 3 of `growing`."""
    streams = margins.streams
    tests = [slice(s.normal, None) for s in streams]
    kind = np.concatenate([s.kind[t] for s, t in zip(streams, tests, strict=True)])
    number = np.concatenate([1000 * i + s.number[t] for i, (s, t) in enumerate(zip(streams, tests, strict=True))])
    false = np.concatenate([s.false[t] for s, t in zip(streams, tests, strict=True)])
    calm = np.concatenate([_calm(s.truth[t]) for s, t in zip(streams, tests, strict=True)])
    values = np.concatenate(margins.values)
    alarm, truth = values >= 1.0, kind >= 0
    blocks = _accuracies(growing)
    figures = {
        **decisions(alarm, truth),
        "auc": auc(values[~truth], values[truth]),
        "false_alarms_calm": float(alarm[calm].mean()),
        "recall_saw": float((values[truth] > np.quantile(values[~truth], 0.99)).mean()),
        "first": float(np.mean(blocks["accuracy"][:ENDS])),
        "last": float(np.mean(blocks["accuracy"][-ENDS:])),
    }
    recalls = []
    for i, name in enumerate(CLASSES):
        of = kind == i
        if not of.any():
            continue
        attacks = np.unique(number[of])
        figures[f"recall_{name}"] = float(alarm[of].mean())
        recalls.append(figures[f"recall_{name}"])
        figures[f"found_{name}"] = float(np.isin(attacks, number[of & alarm]).mean())
        figures[f"attacks_{name}"] = float(len(attacks))
        figures[f"shows_false_{name}"] = float(false[of].mean())
        if (of & false).any():
            figures[f"recall_false_{name}"] = float(alarm[of & false].mean())
        if (of & ~false).any():
            figures[f"recall_true_{name}"] = float(alarm[of & ~false].mean())
    figures["recall_mean"] = float(np.mean(recalls))
    return Outcome(figures, blocks)


def _calm(truth: Bools) -> Bools:
    """(n,) True where no attack is under way or was shortly before."""
    rows = SETTLED_S // EVERY_S
    ended = np.convolve(truth, np.ones(rows + 1), "full")[: len(truth)]
    return np.asarray(ended == 0)


def _accuracies(margins: Margins) -> dict[str, list[float]]:
    """Share of right decisions in every block, all plants together; and of never alarming."""
    right: list[list[Bools]] = [[] for _ in range(BLOCKS)]
    silent: list[list[Bools]] = [[] for _ in range(BLOCKS)]
    for stream, values in zip(margins.streams, margins.values, strict=True):
        truth = stream.truth[stream.normal :]
        parts = np.array_split(np.arange(len(values)), BLOCKS)
        for i, rows in enumerate(parts):
            right[i].append((values[rows] >= 1.0) == truth[rows])
            silent[i].append(~truth[rows])
    return {
        name: [float(np.concatenate(block).mean()) for block in blocks]
        for name, blocks in (("accuracy", right), ("never", silent))
    }
