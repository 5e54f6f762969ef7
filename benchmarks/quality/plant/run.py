"""One run of a row: what would have been alarmed in the hours with attacks, and the figures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.figures import decisions
from benchmarks.quality.plant.learning import Known, Learn, Score, alarm_line, normal_part, with_stream
from benchmarks.quality.plant.streams import EVERY_S, Stream
from benchmarks.quality.table import Outcome
from streamgauge.evaluation.metrics import auc
from streamgauge.plant.attacks import CLASSES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
RETRAINED = 6
"""Stretches of the hours with attacks; after each, the plants learn anew with what is known by then."""
SETTLED_S = 1800
"""A process is taken as calm so long after an attack."""


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


def normal_only(streams: Sequence[Stream], learn: Learn, seed: int) -> Outcome:
    """Learned without attacks."""
    known = [normal_part(stream) for stream in streams]
    margins = Margins(streams)
    margins.score(learn(streams, known, seed), known, 0, 1)
    return outcome(margins)


def along_the_stream(
    streams: Sequence[Stream], learn: Learn, late_s: int | None, seed: int, *, once: bool = False
) -> Outcome:
    """Learned anew after every stretch of the hours with attacks; every stretch is scored before it is learned.

    `once`: only before the first stretch, model and line.
    """
    margins = Margins(streams)
    for part in range(RETRAINED):
        if not part or not once:
            known = [
                with_stream(s, s.normal + part * (len(s.kind) - s.normal) // RETRAINED, late_s) for s in streams
            ]
            score = learn(streams, known, seed)
        margins.score(score, known, part, RETRAINED)
    return outcome(margins)


def outcome(margins: Margins) -> Outcome:
    """Figure 2, and Figure 3 stretch by stretch."""
    streams = margins.streams
    tests = [slice(s.normal, None) for s in streams]
    kind = np.concatenate([s.kind[t] for s, t in zip(streams, tests, strict=True)])
    number = np.concatenate([1000 * i + s.number[t] for i, (s, t) in enumerate(zip(streams, tests, strict=True))])
    shows = np.concatenate([s.shows[t] for s, t in zip(streams, tests, strict=True)])
    calm = np.concatenate([_calm(s.truth[t]) for s, t in zip(streams, tests, strict=True)])
    values = np.concatenate(margins.values)
    alarm, truth = values >= 1.0, kind >= 0
    blocks = _stretches(margins)
    figures = {
        **decisions(alarm, truth),
        "auc": auc(values[~truth], values[truth]),
        "false_alarms_calm": float(alarm[calm].mean()),
        "recall_saw": float((values[truth] > np.quantile(values[~truth], 0.99)).mean()),
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
        figures[f"shows_{name}"] = float(shows[of].mean())
        if (of & shows).any():
            figures[f"recall_shown_{name}"] = float(alarm[of & shows].mean())
    figures["recall_mean"] = float(np.mean(recalls))
    return Outcome(figures, blocks)


def _calm(truth: Bools) -> Bools:
    """(n,) True where no attack is under way or was shortly before."""
    rows = SETTLED_S // EVERY_S
    ended = np.convolve(truth, np.ones(rows + 1), "full")[: len(truth)]
    return np.asarray(ended == 0)


def _stretches(margins: Margins) -> dict[str, list[float]]:
    """In every stretch, all plants together: accuracy, that of never alarming, mean of recall and specificity.

    A stretch without an attack, or with nothing else, has the accuracy as the last.
    """
    found: dict[str, list[float]] = {"accuracy": [], "never": [], "balanced": []}
    for part in range(RETRAINED):
        alarms, truths = [], []
        for stream, values in zip(margins.streams, margins.values, strict=True):
            rows = np.array_split(np.arange(len(values)), RETRAINED)[part]
            alarms.append(values[rows] >= 1.0)
            truths.append(stream.truth[stream.normal :][rows])
        alarm, truth = np.concatenate(alarms), np.concatenate(truths)
        right = alarm == truth
        sides = [right[side].mean() for side in (truth, ~truth) if side.any()]
        found["accuracy"].append(float(right.mean()))
        found["never"].append(float((~truth).mean()))
        found["balanced"].append(float(np.mean(sides)))
    return found
